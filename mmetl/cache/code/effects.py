"""What importing a statement's module does besides binding names, as far as the statement's own text tells."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from mmetl.cache.code.names import Function, Use, chain_of, own_nodes, text_of, uses

_READING = frozenset({"copy", "count", "endswith", "format", "get", "index", "items", "join", "keys", "lower"})
_READING_TOO = frozenset({"replace", "split", "startswith", "strip", "union", "upper", "values"})

# Outside packages whose functions leave no trace but what they return, apart from those with a telling name.
_PURE_PACKAGES = frozenset(
    [
        "annotated_types",
        "attr",
        "attrs",
        "beartype",
        "cachetools",
        "dateutil",
        "deltalake",
        "duckdb",
        "httpx",
        "joblib",
        "lxml",
        "mmetl",
        "msgspec",
        "networkx",
        "numba",
        "numpy",
        "orjson",
        "pandas",
        "PIL",
        "polars",
        "pyarrow",
        "pydantic",
        "pydantic_core",
        "pytz",
        "regex",
        "requests",
        "rich",
        "scipy",
        "shapely",
        "sklearn",
        "sqlglot",
        "structlog",
        "tenacity",
        "tqdm",
        "typing_extensions",
        "xarray",
        "xxhash",
        "yaml",
    ]
)
_LEAVES_TRACES = re.compile(
    r"(^|_)(register|unregister|set|add|install|patch|seed|use|enable|disable|config\w*)(_|$)|^set|Config$"
)
_WITH_STATE = (
    "random",
    "numpy.random",
    "os.environ",
    "sys.path",
    "sys.modules",
    "sys.meta_path",
    "atexit",
    "yaml.YAMLObject",
)
_IMPURE_BUILTINS = frozenset({"exec", "eval", "__import__", "globals", "locals", "vars"})
# Outside functions that leave no trace of their own, but call what they are given, or change it.
_USING_ARGUMENTS = re.compile(
    r"builtins\.(setattr|delattr|next|map|filter|sorted|min|max|type|(list|dict|set)\..*)|functools\.reduce|heapq\..*|bisect\..*"
    r"|operator\..*|types\.new_class"
)


class Called(NamedTuple):
    """A call while a module is imported: names that the called thing is made of, and those among its arguments."""

    function: tuple[Use, ...]
    given: tuple[Use, ...] = ()
    decorates: bool = False


def run_nodes(statements: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Yield the nodes that run when the statements do, bodies of classes among them, in no particular order."""
    for node in own_nodes(statements):
        yield node
        if isinstance(node, ast.ClassDef):
            yield from run_nodes(node.body)


def calls(statement: ast.stmt) -> tuple[Called, ...]:
    """Return what a statement calls, or may change, while its module is imported; decorators and metaclasses too."""
    found: list[Called] = []
    for node in run_nodes([statement]):
        if isinstance(node, Function | ast.ClassDef):
            found += (Called(_names(d), decorates=True) for d in node.decorator_list)
        if isinstance(node, ast.ClassDef):
            aliases = [n.value for n in node.body if isinstance(n, ast.Assign) and chain_of(n.value)]
            found += (Called(_names(v), decorates=True) for v in (*(k.value for k in node.keywords), *aliases))
        elif isinstance(node, ast.Call) and not _only_reads(node.func):
            found.append(Called(_names(node.func), _names(*node.args, *node.keywords)))
        else:
            found += (Called(_names(changed), decorates=True) for changed in _operands(node))
    return tuple(c for c in found if c.function)


def bases(statement: ast.stmt) -> tuple[Use, ...]:
    """Return the bases of the classes that a statement makes."""
    return tuple(use for c in classes(statement) for use in _names(*c.bases))


def classes(statement: ast.stmt) -> tuple[ast.ClassDef, ...]:
    """Return the classes that a statement makes while its module is imported."""
    return tuple(n for n in run_nodes([statement]) if isinstance(n, ast.ClassDef))


def acts(statement: ast.stmt) -> bool:
    """Does importing the module do more here than bind names, whatever is called?"""
    for node in run_nodes([statement]):
        if isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant):
            return True
        if isinstance(node, ast.Delete | ast.Assert | ast.Raise):
            return True
        if isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
            return True
    return False


def touched(tree: ast.AST) -> frozenset[str]:
    """Return the names whose attributes or items are set anywhere in a module, and the attributes set."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
            chain = chain_of(node.value if isinstance(node, ast.Subscript) else node)
            if chain[:1] != ("self",) or len(chain) > 2:
                found.update(chain)
        elif isinstance(node, ast.Call) and chain_of(node.func) == ("setattr",) and len(node.args) > 1:
            found.update((*chain_of(node.args[0]), text_of(node.args[1]) or ""))
    return frozenset(found)


def is_pure(name: str) -> bool:
    """Is a function or class from outside the project known to leave no trace but what it returns?"""
    head, _, rest = name.partition(".")
    if head == "builtins":
        return rest not in _IMPURE_BUILTINS
    if any(name == state or name.startswith(f"{state}.") for state in _WITH_STATE):
        return name.rpartition(".")[2] in _READING
    known = head in _PURE_PACKAGES or head in sys.stdlib_module_names
    return known and (head == "mmetl" or not _LEAVES_TRACES.search(name.rpartition(".")[2]))


def changes_its_object(called: Called, use: Use) -> bool:
    """May this be a method that changes the object whose attribute it is, as `Base.register` does?"""
    return len(use.chain) > 1 and (called.decorates or _LEAVES_TRACES.search(use.chain[-1]) is not None)


def uses_arguments(name: str) -> bool:
    """Does a function from outside the project call or change what it is given?"""
    return _USING_ARGUMENTS.fullmatch(name) is not None


def _names(*nodes: ast.AST) -> tuple[Use, ...]:
    return tuple(uses(nodes).names)


def _operands(node: ast.AST) -> Iterator[ast.expr]:
    """Yield what a node other than a call may change: the target of `+=`, sides of `>>`, what is entered or stepped."""
    if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
        yield ast.copy_location(ast.Name(node.target.id, ast.Load()), node)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.LShift | ast.RShift | ast.MatMult):
        yield from (node.left, node.right)
    elif isinstance(node, ast.withitem) and not isinstance(node.context_expr, ast.Call):
        yield node.context_expr
    elif isinstance(node, ast.For | ast.AsyncFor | ast.comprehension) and not isinstance(node.iter, ast.Call):
        yield node.iter


def _only_reads(function: ast.expr) -> bool:
    """Is this a method that leaves its object as it is, such as `LIMITS.get`?"""
    return isinstance(function, ast.Attribute) and function.attr in _READING | _READING_TOO
