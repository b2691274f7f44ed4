"""Which names a piece of syntax binds, and which it uses: Python's scope rules, read from the tree."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Function = ast.FunctionDef | ast.AsyncFunctionDef
Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


class Import(NamedTuple):
    """What one name of an import statement stands for.

    Attributes:
        level: dots of a relative import, 0 for an absolute one.
        module: dotted, may be empty in a relative import.
        name: imported from the module; empty for the module itself, `*` for all its names.
        line: where it is written.
    """

    level: int
    module: str
    name: str
    line: int

    @property
    def text(self) -> str:
        """Its meaning: what decides which object the name stands for."""
        return f"import {'.' * self.level}{self.module} {self.name}"


@dataclass
class Bound:
    """What statements bind in their own scope, nested scopes left out."""

    names: set[str] = field(default_factory=set)
    imports: dict[str, list[Import]] = field(default_factory=dict)
    global_names: set[str] = field(default_factory=set)


class Start(NamedTuple):
    """The known beginning of a computed text: the name of a module (`plugins.__name__`), then what is written out."""

    module: tuple[str, ...]
    text: str


class Use(NamedTuple):
    """A name that is read, with the attributes that follow it: `helpers.sub.f` is ("helpers", "sub", "f").

    Attributes:
        chain: the name and its attributes.
        line: where it is written.
        imports: what the name stands for when a function imports it; None when it is a name of the module.
        call: the call of it, where it is called.
        start: what the first argument of that call begins with, where its beginning is known.
        computed: an attribute whose name is computed follows.
        followed: it imports a module, which is followed like that of an import statement.
    """

    chain: tuple[str, ...]
    line: int
    imports: tuple[Import, ...] | None = None
    call: ast.Call | None = None
    start: Start | None = None
    computed: bool = False
    followed: bool = False


@dataclass
class Uses:
    """What a piece of syntax uses from outside itself.

    Attributes:
        names: read names.
        imports: modules that it imports when it runs.
        reads: what it reads of objects that their code alone does not show, and the line where: `__doc__`, the
            annotations of variables, a class's subclasses, a function's globals.
    """

    names: list[Use] = field(default_factory=list)
    imports: list[Import] = field(default_factory=list)
    reads: dict[Reading, int] = field(default_factory=dict)


Reading = Literal["docstrings", "annotations", "subclasses", "globals"]

_READINGS: dict[str, Reading] = {
    "__doc__": "docstrings",
    "getdoc": "docstrings",
    "__annotations__": "annotations",
    "__annotate__": "annotations",
    "get_annotations": "annotations",
    "get_type_hints": "annotations",
    "__subclasses__": "subclasses",
    "__globals__": "globals",
    "f_globals": "globals",
    "f_locals": "globals",
}
OWN_NAMES = frozenset({"__name__", "__package__"})
_Scope = Mapping[str, tuple[Import, ...]]  # local name -> what it imports; empty for any other local name


def bound(statements: Iterable[ast.AST]) -> Bound:
    """Return what statements bind, as the compiler would: a loop variable of a comprehension is not bound."""
    found = Bound()
    for node in own_nodes(statements):
        if isinstance(node, Function | ast.ClassDef):
            found.names.add(node.name)
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            found.names.add(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            for name, target in imported(node):
                found.names.add(name)
                found.imports.setdefault(name, []).append(target)
        elif isinstance(node, ast.Assign) and (alias := aliased(node)):
            found.imports.setdefault(alias[0], []).append(alias[1])
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            found.names.add(node.name)
        elif isinstance(node, ast.MatchMapping) and node.rest:
            found.names.add(node.rest)
        elif isinstance(node, ast.Global):
            found.global_names.update(node.names)
    return found


def own_nodes(statements: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Yield the nodes that run in the scope of the statements, in no particular order; nested bodies are left out."""
    stack = list(statements)
    while stack:
        node = stack.pop()
        yield node
        if isinstance(node, Function):
            stack += [*node.decorator_list, *_defaults(node.args)]
        elif isinstance(node, ast.Lambda):
            stack += _defaults(node.args)
        elif isinstance(node, ast.ClassDef):
            stack += [*node.decorator_list, *node.bases, *node.keywords]
        elif isinstance(node, ast.comprehension):
            stack += [node.iter, *node.ifs]
        else:
            stack.extend(ast.iter_child_nodes(node))


def imported(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, Import]]:
    """Yield each name that an import statement binds, with what it stands for."""
    for alias in node.names:
        if isinstance(node, ast.ImportFrom):
            yield alias.asname or alias.name, Import(node.level, node.module or "", alias.name, node.lineno)
        elif alias.asname:
            yield alias.asname, Import(0, alias.name, "", node.lineno)
        else:
            head = alias.name.partition(".")[0]
            yield head, Import(0, head, "", node.lineno)


def imported_by_call(node: ast.AST) -> Import | None:
    """Return what `import_module("a.b")` or `import_module(".b", __package__)` imports; None for any other expression."""
    if not isinstance(node, ast.Call) or chain_of(node.func)[-1:] != ("import_module",) or not node.args:
        return None
    name, *package = [text_of(a) for a in (*node.args, *(k.value for k in node.keywords))]
    if name is None:
        return None
    dotted = name.lstrip(".")
    level = len(name) - len(dotted)
    if not level:
        return Import(0, dotted, "", node.lineno)
    if package and package[0] and level == 1:
        return Import(0, f"{package[0]}.{dotted}", "", node.lineno)
    own = [chain_of(a) for a in (*node.args[1:], *(k.value for k in node.keywords))]
    return Import(level, dotted, "", node.lineno) if own == [("__package__",)] else None


def aliased(node: ast.Assign) -> tuple[str, Import] | None:
    """Return the name and the module of `name = import_module("a.b")`."""
    target = node.targets[0]
    if len(node.targets) > 1 or not isinstance(target, ast.Name):
        return None
    found = imported_by_call(node.value)
    return (target.id, found) if found else None


def text_of(node: ast.AST) -> str | None:
    """Return a text that is written out; None for any other expression."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def chain_of(node: ast.AST) -> tuple[str, ...]:
    """Return a name and the attributes that follow it; empty for any other expression."""
    attributes: list[str] = []
    while isinstance(node, ast.Attribute):
        attributes.append(node.attr)
        node = node.value
    return (node.id, *reversed(attributes)) if isinstance(node, ast.Name) else ()


def uses(nodes: Iterable[ast.AST]) -> Uses:
    """Return what nodes of a module's top level use, nested functions included."""
    reader = _Reader()
    reader.push(nodes, {})
    reader.read()
    return reader.found


class _Reader:
    """Walks syntax with the local names of each place; a work list, because generated code nests deeply."""

    def __init__(self) -> None:
        self.found = Uses()
        self.work: list[tuple[ast.AST, _Scope, bool]] = []

    def push(self, nodes: Iterable[ast.AST | None], scope: _Scope, *, annotation: bool = False) -> None:
        self.work += [(node, scope, annotation) for node in nodes if node is not None]

    def read(self) -> None:
        while self.work:
            node, scope, annotation = self.work.pop()
            if isinstance(node, Function | ast.Lambda):
                self.function(node, scope)
            elif isinstance(node, ast.ClassDef):
                self.class_(node, scope)
            elif isinstance(node, Comprehension):
                self.comprehension(node, scope)
            elif isinstance(node, ast.stmt) and self.import_(node, scope):
                continue
            elif isinstance(node, ast.AnnAssign):
                self.push((node.target, node.value), scope)
            elif isinstance(node, ast.Call):
                self.call(node, scope)
            elif isinstance(node, ast.Name | ast.Attribute):
                self.name(node, scope, annotation=annotation)
            elif isinstance(node, ast.Constant):
                if annotation and isinstance(node.value, str):
                    self.text_annotation(node.value, scope)
            else:
                if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
                    self.use(node.target.id, (), scope, node.lineno)
                self.push(ast.iter_child_nodes(node), scope, annotation=annotation)

    def use(self, name: str, attributes: tuple[str, ...], scope: _Scope, line: int) -> Use | None:
        """Note that a name is used, unless it is an ordinary local one."""
        imports = scope.get(name)
        if imports == ():
            return None
        self.found.names.append(Use((name, *attributes), line, imports))
        return self.found.names[-1]

    def name(self, node: ast.Name | ast.Attribute, scope: _Scope, *, annotation: bool = False) -> Use | None:
        chain = chain_of(node)
        for part in chain or (getattr(node, "attr", ""),):
            self.note(part, node.lineno)
        if isinstance(node, ast.Attribute) and not chain:
            self.attribute(node, scope, annotation=annotation)
        elif chain and (isinstance(node, ast.Attribute) or not isinstance(node.ctx, ast.Store)):
            return self.use(chain[0], chain[1:], scope, node.lineno)
        return None

    def note(self, name: str, line: int) -> None:
        """Note a name that reads what code alone does not show."""
        if name in _READINGS:
            self.found.reads.setdefault(_READINGS[name], line)

    def attribute(self, node: ast.Attribute, scope: _Scope, *, annotation: bool) -> None:
        """Read an attribute of something that is no name; of `import_module("a")` as if it were of `a`."""
        attributes: list[str] = []
        inner: ast.expr = node
        while isinstance(inner, ast.Attribute):
            attributes.append(inner.attr)
            inner = inner.value
        target = imported_by_call(inner)
        if target and isinstance(inner, ast.Call):
            self.import_call(inner, target, scope)
            self.found.names.append(Use(("", *reversed(attributes)), node.lineno, (target,)))
        else:
            self.push((node.value,), scope, annotation=annotation)

    def call(self, node: ast.Call, scope: _Scope) -> None:
        rest: list[ast.AST] = [*node.args, *node.keywords]
        if not isinstance(node.func, ast.Name | ast.Attribute):
            self.push((node.func, *rest), scope)
            return
        used = self.name(node.func, scope)
        if used:
            self.found.names[-1] = used._replace(call=node, start=start_of(node.args[0], scope) if node.args else None)
            if used.chain == ("getattr",) and used.imports is None and len(node.args) > 1:
                if chain_of(node.args[0]):
                    self.getattr_(node.args[0], node.args[1], scope)
                    rest.pop(0)
                self.note(text_of(node.args[1]) or "", node.lineno)
            elif used.chain in {("exec",), ("eval",)} and node.args:
                self.code(text_of(node.args[0]), scope)
        self.push(rest, scope)

    def code(self, text: str | None, scope: _Scope) -> None:
        """Read the code that `exec` or `eval` is given, where it is written out."""
        try:
            body = ast.parse(text or "").body
        except (SyntaxError, ValueError):
            return  # an error when it runs
        self.push(body, scope)
        for name, targets in bound(body).imports.items():  # found again by whoever reads the names that it leaves
            self.found.names.append(Use((name,), 0, tuple(targets)))

    def getattr_(self, target: ast.expr, name: ast.expr, scope: _Scope) -> None:
        chain = chain_of(target)
        text = text_of(name)
        if text is not None:
            self.use(chain[0], (*chain[1:], text), scope, target.lineno)
        elif used := self.use(chain[0], chain[1:], scope, target.lineno):
            self.found.names[-1] = used._replace(computed=True)

    def import_(self, node: ast.stmt, scope: _Scope) -> bool:
        """Note the modules that an import statement runs, all parts of a dotted name; `import_module("a")` is one too."""
        if isinstance(node, ast.ImportFrom):
            self.found.imports += [target for _, target in imported(node)]
        elif isinstance(node, ast.Import):
            self.found.imports += [Import(0, alias.name, "", node.lineno) for alias in node.names]
        elif isinstance(node, ast.Expr) and (target := imported_by_call(node.value)):
            self.import_call(node.value, target, scope)
        elif isinstance(node, ast.Assign) and (alias := aliased(node)):
            self.import_call(node.value, alias[1], scope)
            self.push(node.targets, scope)
        else:
            return False
        return True

    def import_call(self, node: ast.expr, target: Import, scope: _Scope) -> None:
        """Note a call of `import_module` whose module is followed."""
        self.found.imports.append(target)
        function = node.func if isinstance(node, ast.Call) else None
        if isinstance(function, ast.Name | ast.Attribute) and (used := self.name(function, scope)):
            self.found.names[-1] = used._replace(followed=True)

    def function(self, node: Function | ast.Lambda, scope: _Scope) -> None:
        outer = {**scope, **dict.fromkeys(_type_parameters(node), ())}
        self.push(_defaults(node.args), scope)
        parameters = _parameters(node.args)
        body: list[ast.AST] = [node.body] if isinstance(node, ast.Lambda) else list(node.body)
        if not isinstance(node, ast.Lambda):
            self.push(node.decorator_list, scope)
            self.push(getattr(node, "type_params", ()), outer)
            self.push((*(p.annotation for p in parameters), node.returns), outer, annotation=True)
        binds = bound(body)
        inner = {name: target for name, target in outer.items() if name not in binds.global_names}
        inner |= dict.fromkeys((p.arg for p in parameters), ())
        for name in binds.names:
            targets = tuple(binds.imports.get(name, ()))
            if name not in binds.global_names:
                inner[name] = targets
            elif targets:  # a function imports a name into the module: everybody may use it
                self.found.names.append(Use((name,), node.lineno, targets))
        self.push(body, inner)

    def class_(self, node: ast.ClassDef, scope: _Scope) -> None:
        """Read a class. Its own names do not hide those of the module: its body looks there too, its methods only there."""
        inner = {**scope, **dict.fromkeys(_type_parameters(node), ())}
        self.push(node.decorator_list, scope)
        self.push((*getattr(node, "type_params", ()), *node.bases, *node.keywords, *node.body), inner)
        for child in own_nodes(node.body):
            if isinstance(child, ast.AnnAssign):
                self.push((child.annotation,), inner, annotation=True)
        for name, targets in bound(node.body).imports.items():
            self.found.names.append(Use((name,), node.lineno, tuple(targets)))

    def comprehension(self, node: Comprehension, scope: _Scope) -> None:
        first = node.generators[0]
        self.push((first.iter,), scope)
        targets = bound(generator.target for generator in node.generators).names
        inner = {**scope, **dict.fromkeys(targets, ())}
        values = (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,)
        self.push((*values, first.target, *first.ifs, *node.generators[1:]), inner)

    def text_annotation(self, text: str, scope: _Scope) -> None:
        try:
            self.push((ast.parse(text.strip(), mode="eval").body,), scope, annotation=True)
        except (SyntaxError, ValueError):
            return  # such as Literal["two words"]: a text, not a type


def start_of(node: ast.expr, scope: _Scope) -> Start | None:
    """Return what a computed text begins with; None where its beginning is not known."""
    if isinstance(node, ast.JoinedStr) and node.values:
        parts: list[ast.expr] = [v.value if isinstance(v, ast.FormattedValue) else v for v in node.values]
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        parts = _added(node)
    else:
        parts = [node]
    chain = chain_of(parts[0])
    if chain and chain[-1] in OWN_NAMES | {"__path__"} and chain[0] not in scope:
        text = text_of(parts[1]) if len(parts) > 1 else ""
        return Start(chain, text or "")
    text = text_of(parts[0])
    return Start((), text) if text else None


def _added(node: ast.expr) -> list[ast.expr]:
    """Return the summands of `a + b + c`."""
    parts: list[ast.expr] = []
    while isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        parts.append(node.right)
        node = node.left
    return [node, *reversed(parts)]


def _parameters(node: ast.arguments) -> list[ast.arg]:
    optional = (node.vararg, node.kwarg)
    return [*node.posonlyargs, *node.args, *node.kwonlyargs, *(p for p in optional if p)]


def _defaults(node: ast.arguments) -> list[ast.expr]:
    return [d for d in itertools.chain(node.defaults, node.kw_defaults) if d is not None]


def _type_parameters(node: ast.AST) -> Iterator[str]:
    for parameter in getattr(node, "type_params", ()):
        yield parameter.name
