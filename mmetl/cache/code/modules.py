"""One Python file of a project, cut into its top-level statements: what each binds, uses, and does on import."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

from mmetl.cache.code.canonical import canonical, is_text
from mmetl.cache.code.names import Bound, Function, Import, Use, Uses, bound, chain_of, imported, own_nodes, uses
from mmetl.errors import ParamError, Where
from mmetl.utils.hashing import xxh3_hex

_CONTAINERS = frozenset({"list", "dict", "set", "defaultdict", "OrderedDict", "deque", "Counter", "ChainMap"})
_READING = frozenset({"copy", "count", "endswith", "format", "get", "index", "items", "join", "keys", "lower"})
_READING_TOO = frozenset({"replace", "split", "startswith", "strip", "union", "upper", "values"})


@dataclass(eq=False)
class Unit:
    """One top-level statement. `names` are those that it binds; `acts` says that its import does more than bind them."""

    node: ast.stmt
    names: frozenset[str]
    acts: bool

    @cached_property
    def uses(self) -> Uses:
        """What it uses, nested functions included."""
        return uses([self.node])

    @cached_property
    def is_state(self) -> bool:
        """Does it bind an object that other statements may change?"""
        if isinstance(self.node, ast.ClassDef):
            return self.hooks_subclasses or any(_is_container(n) for n in self.node.body)
        return not isinstance(self.node, Function) and not _is_immutable(getattr(self.node, "value", None))

    @cached_property
    def hooks_subclasses(self) -> bool:
        """Is it a class that learns of its subclasses?"""
        if not isinstance(self.node, ast.ClassDef):
            return False
        metaclasses = [chain_of(k.value)[-1:] for k in self.node.keywords if k.arg == "metaclass"]
        names = [n.name for n in self.node.body if isinstance(n, Function)]
        return "__init_subclass__" in names or any(m != ("ABCMeta",) for m in metaclasses)

    @cached_property
    def calls(self) -> tuple[Use, ...]:
        """What it calls while its module is imported, decorators included: calls that may register it somewhere."""
        called: list[ast.expr] = []
        statements = [self.node, *(self.node.body if isinstance(self.node, ast.ClassDef) else ())]
        for node in own_nodes(statements):
            if isinstance(node, Function | ast.ClassDef):
                called += node.decorator_list
            elif isinstance(node, ast.Call) and not _only_reads(node.func):
                called.append(node.func)
        return tuple(uses(called).names)

    @cached_property
    def bases(self) -> tuple[Use, ...]:
        """The bases of a class."""
        return tuple(uses(self.node.bases).names) if isinstance(self.node, ast.ClassDef) else ()

    def text(self, *, docstrings: bool) -> str:
        """Return its canonical text."""
        if docstrings:
            return canonical(self.node, docstrings=True)
        return self._text

    @cached_property
    def _text(self) -> str:
        return canonical(self.node)


@dataclass(eq=False)
class Module:
    """A module of the project.

    Attributes:
        file: project-relative path; of a package its `__init__.py`; empty for a folder without one.
        folders: where its submodules are; empty unless it is a package.
        units: its top-level statements besides imports, in order.
        by_name: name -> statements that bind or rebind it.
        rebinders: name -> statements with a function that declares it `global`.
        imports: name -> what the module imports under it.
        runs: modules that its own import imports.
        stars: `from x import *`.
        opaque: fingerprint of the bytes of a file that is not Python source; empty for source.
    """

    file: str
    folders: tuple[str, ...] = ()
    units: list[Unit] = field(default_factory=list)
    by_name: dict[str, list[Unit]] = field(default_factory=dict)
    rebinders: dict[str, list[Unit]] = field(default_factory=dict)
    imports: dict[str, list[Import]] = field(default_factory=dict)
    runs: list[Import] = field(default_factory=list)
    stars: list[Import] = field(default_factory=list)
    opaque: str = ""

    def binds(self, name: str) -> bool:
        """Does the module's text define the name?"""
        return name in self.by_name or name in self.imports or name in self.rebinders

    @property
    def functions(self) -> tuple[str, ...]:
        """Names of its top-level functions."""
        return tuple(u.node.name for u in self.units if isinstance(u.node, Function))

    @property
    def defined(self) -> frozenset[str]:
        """All names that its text binds."""
        return frozenset({*self.by_name, *self.imports, *self.rebinders})

    def add(self, statement: ast.stmt) -> None:
        """Add one top-level statement."""
        if is_text(statement) or isinstance(statement, ast.Pass):
            return
        if isinstance(statement, ast.If) and _is_test(statement, "__main__"):  # the block is not run on import
            for other in statement.orelse:
                self.add(other)
            return
        binds = bound([statement])
        self._add_imports(statement, binds)
        if isinstance(statement, ast.Import | ast.ImportFrom):
            return
        unit = Unit(statement, frozenset(binds.names), _acts(statement))
        self.units.append(unit)
        for name in sorted(binds.names):
            self.by_name.setdefault(name, []).append(unit)
        for node in ast.walk(statement):
            if isinstance(node, ast.Global):
                for name in node.names:
                    self.rebinders.setdefault(name, []).append(unit)

    def _add_imports(self, statement: ast.stmt, binds: Bound) -> None:
        for name, targets in binds.imports.items():
            if name == "*":
                self.stars += targets
            else:
                self.imports.setdefault(name, []).extend(targets)
        if not _is_test(statement, "TYPE_CHECKING"):
            self.runs += runs_of(own_nodes([statement]))


def runs_of(nodes: Iterable[ast.AST]) -> Iterator[Import]:
    """Yield the modules that import statements among the nodes run."""
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            yield from (target for _, target in imported(node))
        elif isinstance(node, ast.Import):
            yield from (Import(0, alias.name, "", node.lineno) for alias in node.names)


def parse(file: str, source: bytes, folders: tuple[str, ...] = ()) -> Module:
    """Return a module from its source. Raises ParamError when it is not valid Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an invalid escape is the author's business, told when it is imported
            tree = ast.parse(source, filename=file)
    except SyntaxError as error:
        lines = source.decode("utf-8", "replace").splitlines()
        line = max(error.lineno or 1, 1)
        text = lines[line - 1] if line <= len(lines) else ""
        where = Where(file, line, max(error.offset or 1, 1), text)
        raise ParamError(f"'{file}' is not valid Python: {error.msg}", where) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise ParamError(f"'{file}' is not valid Python: {error}", Where(file, 1, 1)) from error
    module = Module(file, folders)
    for statement in tree.body:
        module.add(statement)
    return module


def opaque(file: str, content: bytes, folders: tuple[str, ...] = ()) -> Module:
    """Return a module whose file is not source: it counts by its bytes."""
    return Module(file, folders, opaque=xxh3_hex(content))


def _is_test(statement: ast.stmt, name: str) -> bool:
    """Is this `if __name__ == "__main__":` or `if TYPE_CHECKING:`?"""
    if not isinstance(statement, ast.If):
        return False
    test = statement.test
    if isinstance(test, ast.Compare):
        sides = [test.left, *test.comparators]
        texts = {s.value if isinstance(s, ast.Constant) else chain_of(s) for s in sides}
        return isinstance(test.ops[0], ast.Eq) and texts == {("__name__",), name}
    return chain_of(test)[-1:] == (name,)


def _acts(statement: ast.stmt) -> bool:
    """Does importing the module do more here than bind names?"""
    for node in own_nodes([statement]):
        if isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant):
            return True
        if isinstance(node, ast.Delete | ast.Assert | ast.Raise):
            return True
        if isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
            return True
    return False


def _only_reads(function: ast.expr) -> bool:
    """Is this a method that leaves its object as it is, such as `LIMITS.get`?"""
    return isinstance(function, ast.Attribute) and function.attr in _READING | _READING_TOO


def _is_immutable(value: object) -> bool:
    if isinstance(value, ast.UnaryOp):
        return _is_immutable(value.operand)
    if isinstance(value, ast.BinOp):
        return _is_immutable(value.left) and _is_immutable(value.right)
    if isinstance(value, ast.Tuple):
        return all(_is_immutable(v) for v in value.elts)
    return isinstance(value, ast.Constant)


def _is_container(statement: ast.stmt) -> bool:
    """Does a class keep a list, dict or set of its own here?"""
    value = statement.value if isinstance(statement, ast.Assign | ast.AnnAssign) else None
    if isinstance(value, ast.Call):
        return not _CONTAINERS.isdisjoint(chain_of(value.func)[-1:])
    return isinstance(value, ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp)
