"""Which names a piece of syntax binds, and which it uses: Python's scope rules, read from the tree."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

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


class Use(NamedTuple):
    """A name that is read, with the attributes that follow it: `helpers.sub.f` is ("helpers", "sub", "f").

    Attributes:
        chain: the name and its attributes.
        line: where it is written.
        imports: what the name stands for when a function imports it; None when it is a name of the module.
        called: it is called.
        argument: its first argument, where that is a text written out; None for any other or none.
        arguments: how many arguments the call has.
        computed: an attribute whose name is computed follows.
    """

    chain: tuple[str, ...]
    line: int
    imports: tuple[Import, ...] | None = None
    called: bool = False
    argument: str | None = None
    arguments: int = 0
    computed: bool = False


@dataclass
class Uses:
    """What a piece of syntax uses from outside itself.

    Attributes:
        names: read names.
        imports: modules that it imports when it runs.
        docstrings: it reads docstrings, so they count.
        subclasses: the line where it asks a class for its subclasses; 0 if it does not.
    """

    names: list[Use] = field(default_factory=list)
    imports: list[Import] = field(default_factory=list)
    docstrings: bool = False
    subclasses: int = 0


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
            elif isinstance(node, ast.Import | ast.ImportFrom):
                self.import_(node)
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
        parts = chain or (getattr(node, "attr", ""),)
        if "__doc__" in parts or "getdoc" in parts:
            self.found.docstrings = True
        if "__subclasses__" in parts:
            self.found.subclasses = node.lineno
        if isinstance(node, ast.Attribute) and not chain:
            self.push((node.value,), scope, annotation=annotation)
        elif chain and (isinstance(node, ast.Attribute) or not isinstance(node.ctx, ast.Store)):
            return self.use(chain[0], chain[1:], scope, node.lineno)
        return None

    def call(self, node: ast.Call, scope: _Scope) -> None:
        rest: list[ast.AST] = [*node.args, *node.keywords]
        if not isinstance(node.func, ast.Name | ast.Attribute):
            self.push((node.func, *rest), scope)
            return
        used = self.name(node.func, scope)
        if used:
            first = node.args[0] if node.args else None
            text = first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else None
            self.found.names[-1] = used._replace(called=True, argument=text, arguments=len(rest))
            if used.chain == ("getattr",) and used.imports is None and len(node.args) > 1 and chain_of(node.args[0]):
                self.getattr_(node.args[0], node.args[1], scope)
                rest.pop(0)
        self.push(rest, scope)

    def getattr_(self, target: ast.expr, name: ast.expr, scope: _Scope) -> None:
        chain = chain_of(target)
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            self.use(chain[0], (*chain[1:], name.value), scope, target.lineno)
        elif used := self.use(chain[0], chain[1:], scope, target.lineno):
            self.found.names[-1] = used._replace(computed=True)

    def import_(self, node: ast.Import | ast.ImportFrom) -> None:
        """Note the modules that are run, all parts of a dotted name."""
        if isinstance(node, ast.ImportFrom):
            self.found.imports += [target for _, target in imported(node)]
        else:
            self.found.imports += [Import(0, alias.name, "", node.lineno) for alias in node.names]

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


def _parameters(node: ast.arguments) -> list[ast.arg]:
    optional = (node.vararg, node.kwarg)
    return [*node.posonlyargs, *node.args, *node.kwonlyargs, *(p for p in optional if p)]


def _defaults(node: ast.arguments) -> list[ast.expr]:
    return [d for d in itertools.chain(node.defaults, node.kw_defaults) if d is not None]


def _type_parameters(node: ast.AST) -> Iterator[str]:
    for parameter in getattr(node, "type_params", ()):
        yield parameter.name
