"""One Python file of a project, cut into its top-level statements: what each binds, uses, and does on import."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

from mmetl.cache.code.canonical import canonical, is_text
from mmetl.cache.code.effects import Called, acts, bases, calls, classes, run_nodes, touched
from mmetl.cache.code.names import (
    Bound,
    Function,
    Import,
    Use,
    Uses,
    bound,
    chain_of,
    imported,
    imported_by_call,
    uses,
)
from mmetl.errors import ParamError, Where
from mmetl.utils.hashing import xxh3_hex

# Decorators after which a function has no state that others add to.
_TRANSPARENT = frozenset(
    [
        "abstractmethod",
        "cache",
        "cached_property",
        "classmethod",
        "contextmanager",
        "deleter",
        "field_serializer",
        "field_validator",
        "getter",
        "lru_cache",
        "model_validator",
        "overload",
        "override",
        "property",
        "register_transform",
        "setter",
        "staticmethod",
        "total_ordering",
        "validator",
        "wraps",
    ]
)
_FIELDS = frozenset({("field",), ("Field",), ("ConfigDict",), ("TypeVar",)})  # values that nothing is added to


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
    def annotation(self) -> Uses:
        """What the annotation of a variable uses."""
        return uses([self.node.annotation]) if isinstance(self.node, ast.AnnAssign) else Uses()

    @cached_property
    def is_state(self) -> bool:
        """Does it bind an object that other statements may change?"""
        if isinstance(self.node, ast.ClassDef):
            return self.hooks_subclasses or any(_is_state_of_class(n) for n in self.node.body)
        if isinstance(self.node, Function):
            defaults = (*self.node.args.defaults, *(d for d in self.node.args.kw_defaults if d))
            return _is_wrapped(self.node) or not all(_is_immutable(d) or chain_of(d) for d in defaults)
        return not _is_immutable(getattr(self.node, "value", None))

    @cached_property
    def rebinds(self) -> frozenset[str]:
        """Names of the module that a function in it declares `global`."""
        return frozenset(n for node in ast.walk(self.node) if isinstance(node, ast.Global) for n in node.names)

    @property
    def is_variable(self) -> bool:
        """Does it bind a changeable object other than a function?"""
        return self.is_state and not isinstance(self.node, Function)

    @cached_property
    def hooks_subclasses(self) -> bool:
        """Does it make a class that learns of its subclasses?"""
        for made in classes(self.node):
            metaclasses = [chain_of(k.value)[-1:] for k in made.keywords if k.arg == "metaclass"]
            names = [n.name for n in made.body if isinstance(n, Function)]
            if any("init_subclass" in n for n in names) or any(m != ("ABCMeta",) for m in metaclasses):
                return True
        return False

    @cached_property
    def makes_class(self) -> bool:
        """Does it make a class?"""
        return bool(classes(self.node))

    @cached_property
    def calls(self) -> tuple[Called, ...]:
        """What it calls while its module is imported: calls that may register it somewhere."""
        return calls(self.node)

    @cached_property
    def bases(self) -> tuple[Use, ...]:
        """The bases of the classes that it makes."""
        return bases(self.node)

    def text(self, *, docstrings: bool, annotations: bool = False) -> str:
        """Return its canonical text."""
        annotation = getattr(self.node, "annotation", None) if annotations else None
        text = canonical(self.node, docstrings=True) if docstrings else self._text
        return f"{text}: {canonical(annotation)}" if annotation else text

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
        docstring: its bare strings.
        content: fingerprint of the bytes of its file.
        opaque: the same for a file that is not Python source; empty for source.
        touched: names whose attributes or items are set somewhere in it, and those attributes.
    """

    file: str
    folders: tuple[str, ...] = ()
    units: list[Unit] = field(default_factory=list)
    by_name: dict[str, list[Unit]] = field(default_factory=dict)
    rebinders: dict[str, list[Unit]] = field(default_factory=dict)
    imports: dict[str, list[Import]] = field(default_factory=dict)
    runs: list[Import] = field(default_factory=list)
    stars: list[Import] = field(default_factory=list)
    docstring: str = ""
    content: str = ""
    opaque: str = ""
    touched: frozenset[str] = frozenset()

    @cached_property
    def acting(self) -> tuple[Unit, ...]:
        """Statements that act on import."""
        return tuple(u for u in self.units if u.acts)

    @cached_property
    def effective(self) -> tuple[Unit, ...]:
        """Statements whose import may change something that they do not bind."""
        return tuple(u for u in self.units if u.calls or u.bases)

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
        if is_text(statement):
            self.docstring += canonical(statement)
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
        unit = Unit(statement, frozenset(binds.names), acts(statement))
        self.units.append(unit)
        for name in sorted(binds.names):
            self.by_name.setdefault(name, []).append(unit)
        for name in sorted(unit.rebinds):
            self.rebinders.setdefault(name, []).append(unit)

    def _add_imports(self, statement: ast.stmt, binds: Bound) -> None:
        for name, targets in binds.imports.items():
            if name == "*":
                self.stars += targets
            else:
                self.imports.setdefault(name, []).extend(targets)
        if not _is_test(statement, "TYPE_CHECKING"):
            self.runs += runs_of(run_nodes([statement]))


def runs_of(nodes: Iterable[ast.AST]) -> Iterator[Import]:
    """Yield the modules that import statements among the nodes run."""
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            yield from (target for _, target in imported(node))
        elif isinstance(node, ast.Import):
            yield from (Import(0, alias.name, "", node.lineno) for alias in node.names)
        elif found := imported_by_call(node):
            yield found


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
    module = Module(file, folders, content=xxh3_hex(source), touched=touched(tree))
    for statement in tree.body:
        module.add(statement)
    return module


def opaque(file: str, content: bytes, folders: tuple[str, ...] = ()) -> Module:
    """Return a module whose file is not source: it counts by its bytes."""
    return Module(file, folders, content=xxh3_hex(content), opaque=xxh3_hex(content))


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


def _is_immutable(value: object) -> bool:
    if isinstance(value, ast.UnaryOp):
        return _is_immutable(value.operand)
    if isinstance(value, ast.BinOp):
        return _is_immutable(value.left) and _is_immutable(value.right)
    if isinstance(value, ast.Tuple):
        return all(_is_immutable(v) for v in value.elts)
    return isinstance(value, ast.Constant)


def _is_wrapped(function: Function) -> bool:
    """Is a function replaced by what a decorator makes of it?"""
    return any(_TRANSPARENT.isdisjoint(chain_of(_called(d))[-1:]) for d in function.decorator_list)


def _called(decorator: ast.expr) -> ast.expr:
    return decorator.func if isinstance(decorator, ast.Call) else decorator


def _is_state_of_class(statement: ast.stmt) -> bool:
    """Does a class keep here an object of its own that may change, such as a list, or a method that others add to?"""
    if isinstance(statement, Function):
        return _is_wrapped(statement) or _sets_of_class(statement)
    if not isinstance(statement, ast.Assign | ast.AnnAssign | ast.Expr | ast.Pass):
        return True
    value = statement.value if isinstance(statement, ast.Assign | ast.AnnAssign) else None
    if isinstance(value, ast.Call):
        return chain_of(value.func)[-1:] not in _FIELDS
    return value is not None and not _is_immutable(value) and not chain_of(value)


def _sets_of_class(method: Function) -> bool:
    """Does a method set an attribute of anything but its own object?"""
    plain = not method.decorator_list and method.name not in {"__new__", "__init_subclass__", "__class_getitem__"}
    parameters = [*method.args.posonlyargs, *method.args.args]
    own = parameters[0].arg if plain and parameters else ""
    stored = [n for n in ast.walk(method) if isinstance(n, ast.Attribute) and not isinstance(n.ctx, ast.Load)]
    return any(chain_of(n)[:1] != (own,) for n in stored)
