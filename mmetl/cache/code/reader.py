"""The code fingerprint of a project function: nothing is imported, nothing is run."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmetl.cache.code.closure import Changes, Closure
from mmetl.cache.code.finder import Finder, refuse_namesake
from mmetl.cache.code.follower import Follower
from mmetl.cache.code.modules import Module
from mmetl.cache.code.names import Function, Use, chain_of
from mmetl.cache.python_files import listing_fingerprint
from mmetl.contracts.artifact import Fingerprint
from mmetl.errors import ParamError
from mmetl.utils.hashing import fingerprint_json
from mmetl.utils.text import near

# Decorators after which a function still takes its own parameters.
_TRANSPARENT = frozenset({"register_transform", "cache", "lru_cache", "staticmethod", "classmethod"})

SHOWN_NAMES = 10  # of what a module or folder has, in an error's help


@dataclass(frozen=True)
class Code:
    """The project code that counts for one function.

    Attributes:
        fingerprint: over all pieces.
        pieces: `file:name` -> fingerprint of what the name is bound to; `file:<module>` of the statements that act on
            import; the bare file where all of it counts.
        whole: file -> why all of it counts, with the place that makes it so.
        files: project-relative paths that were read or looked for; the answer is void when one changes or appears.
        listings: folder -> fingerprint of the names of the Python files below it, where a computed import may mean any.
        modules: first part of an absolute import -> the file or folder of the project that it means; "" for none.
        search: the folders that Python searches for absolute imports.
    """

    fingerprint: Fingerprint
    pieces: Mapping[str, Fingerprint]
    whole: Mapping[str, str]
    files: tuple[str, ...]
    listings: Mapping[str, Fingerprint] = field(default_factory=dict)
    modules: Mapping[str, str] = field(default_factory=dict)
    search: tuple[str, ...] = ("",)


@dataclass(frozen=True)
class FunctionInfo:
    """What the text says of a function.

    Attributes:
        file: where it is defined, relative to the project.
        line: of its `def`, or of the statement that binds the name; 0 when it comes from outside the project.
        parameters: those that can be given by name, in order.
        required: those without a default, positional-only ones among them.
        takes_any: it has `**kwargs`.
        known: False when the text does not tell (another decorator, `partial`, a class): then nothing can be checked.
    """

    file: str
    line: int
    parameters: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    takes_any: bool = True
    known: bool = False


_Located = tuple[Module, tuple[str, ...], tuple[str, ...]]
"""A module, the folders searched for its absolute imports, and the paths looked for to find it."""


@dataclass(frozen=True)
class _Entry:
    """An entry found: its module, the parts of its qualname, and where absolute imports are searched."""

    module: Module
    parts: tuple[str, ...]
    search: tuple[str, ...]
    looked: tuple[str, ...]


class CodeReader:
    """Reads the code of a project; each file is parsed once, each function followed once. Use a new one a plan."""

    def __init__(self, root: Path, folders: tuple[str, ...] = ()) -> None:
        """Read the code below `root`; `folders` of it are on `sys.path` already."""
        self._root = root
        self._folders = folders
        self._imports: list[_Located] = []
        self._finder = Finder(root)
        self._entries: dict[str, _Entry] = {}
        self._codes: dict[str, Code] = {}
        self._defined: dict[str, FunctionInfo] = {}
        self._changes: dict[tuple[str, ...], Changes] = {}

    @property
    def parses(self) -> int:
        """How many files were parsed so far."""
        return self._finder.parses

    def fingerprint(self, entry: str) -> Code:
        """Return the code that counts for a function or class.

        Args:
            entry: `module:qualname`, where module is a dotted name or a path such as `./transforms.py`.

        Raises:
            ParamError: it does not exist, or a module of the project that it needs is not valid Python.
        """
        if entry not in self._codes:
            found = self._find(entry)
            closure = self._closure(found.search, found.looked)
            closure.import_(module for module, _, _ in self._imports)
            closure.reach(found.module, [Use(found.parts, 0)])
            self._codes[entry] = self._code(closure)
        return self._codes[entry]

    def imported(self, module: str) -> Code:
        """Return the code of a module that is imported before any function is called: what it does counts for all of them.

        Raises:
            ParamError: as `fingerprint` does.
        """
        located = self._module(module)
        self._imports.append(located)
        closure = self._closure(located[1], located[2])
        closure.reach(located[0], [Use((name,), 0) for name in located[0].defined])
        return self._code(closure)

    def _closure(self, search: tuple[str, ...], looked: Iterable[str]) -> Closure:
        folders = [f for _, folders, _ in self._imports for f in folders]
        search = tuple(dict.fromkeys((*search, *folders, *self._folders)))
        closure = Closure(self._finder, search, self._changes.setdefault(search, Changes()))
        closure.files.update(looked)
        return closure

    def _code(self, closure: Closure) -> Code:
        pieces = closure.pieces()
        whole = closure.whole | closure.verbatim
        listed = {file for folder in closure.folders for file in self._finder.python_files(folder)}
        shown = {f"{folder}/**/*.py".lstrip("/"): why for folder, why in closure.folders.items()}
        shown |= {file: why for file, why in sorted(whole.items()) if file not in listed}
        listings = {folder: listing_fingerprint(self._finder.python_files(folder)) for folder in closure.folders}
        fingerprint = fingerprint_json("code 2", pieces)
        return Code(fingerprint, pieces, shown, tuple(sorted(closure.files)), listings, closure.tops, closure.search)

    def define(self, entry: str) -> FunctionInfo:
        """Return what the text says of a function; raises as `fingerprint` does."""
        if entry not in self._defined:
            found = self._find(entry)
            self._defined[entry] = self._describe(found.module, found.parts, found.search, seen=set())
        return self._defined[entry]

    def _find(self, entry: str) -> _Entry:
        if entry not in self._entries:
            name, _, qualname = entry.rpartition(":")
            if not name or not qualname:
                raise ParamError(f"'{entry}' names no function", help="write 'module:function'")
            module, search, looked = self._module(name)
            found = _Entry(module, tuple(qualname.split(".")), search, looked)
            self._check(found, name)
            self._entries[entry] = found
        return self._entries[entry]

    def _module(self, name: str) -> _Located:
        return self._by_path(name) if name.endswith(".py") or "/" in name else self._by_name(name)

    def _by_path(self, path: str) -> _Located:
        file = os.path.relpath(self._root / path, self._root).replace(os.sep, "/")
        if file.startswith("../"):
            raise ParamError(f"'{path}' is outside the project", help="move the file into the project's folder")
        if not os.path.isfile(self._root / file):
            folder = (self._root / file).parent
            names = [p.name for p in folder.glob("*.py")]
            raise ParamError(f"there is no file '{file}'", help=_near(Path(file).name, names, "the folder has"))
        folder_name, _, last = file.rpartition("/")
        if not folder_name:
            refuse_namesake(last.removesuffix(".py"), file)
        package = (folder_name,) if file.endswith("__init__.py") else ()
        return self._finder.load(file, package), tuple(dict.fromkeys(("", folder_name))), (file,)

    def _by_name(self, name: str) -> _Located:
        search = ("", *self._folders)
        head, *rest = name.split(".")
        found = self._finder.find(search, head)
        looked = [*found.looked]
        for part in rest:
            folders = found.module.folders if found.module else ()
            found = self._finder.find(folders, part, top=False)
            looked += found.looked
        if not found.module or not found.module.file:
            folder, _, last = name.replace(".", "/").rpartition("/")
            names = [p.stem for p in (self._root / folder).glob("*.py")]
            raise ParamError(f"the project has no module '{name}'", help=_near(last, names, "it has"))
        return found.module, search, tuple(looked)

    def _check(self, entry: _Entry, name: str) -> None:
        """Raise unless the module may define the name."""
        module, first = entry.module, entry.parts[0]
        if module.binds(first) or module.opaque or module.stars or module.binds("__getattr__"):
            return
        raise ParamError(f"'{name}' has no function '{first}'", help=_near(first, module.functions, "it has"))

    def _describe(
        self, module: Module, parts: tuple[str, ...], search: tuple[str, ...], seen: set[str]
    ) -> FunctionInfo:
        units = module.by_name.get(parts[0], [])
        imports = module.imports.get(parts[0], [])
        if len(imports) == 1 and not units and f"{module.file}:{parts[0]}" not in seen:
            seen.add(f"{module.file}:{parts[0]}")
            target = Follower(self._finder, search).locate(module, imports[0])
            names = (imports[0].name, *parts[1:]) if imports[0].name else parts[1:]
            if target and names and target.binds(names[0]):
                return self._describe(target, names, search, seen)
        if not units:
            return FunctionInfo(module.file, imports[0].line if imports else 0)
        node: ast.stmt = units[0].node
        for part in parts[1:]:
            body = node.body if isinstance(node, ast.ClassDef) else []
            inner = next((s for s in body if isinstance(s, Function) and s.name == part), None)
            if inner is None:
                return FunctionInfo(module.file, node.lineno)
            node = inner
        if len(units) > 1 or not isinstance(node, Function) or node.name != parts[-1]:
            return FunctionInfo(module.file, node.lineno)
        return _signature(module.file, node)


def _signature(file: str, node: Function) -> FunctionInfo:
    decorators = [chain_of(d.func if isinstance(d, ast.Call) else d)[-1:] for d in node.decorator_list]
    if any(not d or d[0] not in _TRANSPARENT for d in decorators):
        return FunctionInfo(file, node.lineno)
    positional = [*node.args.posonlyargs, *node.args.args]
    required = positional[: len(positional) - len(node.args.defaults)]
    keywords = [p for p, d in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True) if d is None]
    skipped = 1 if ("classmethod",) in decorators else 0
    return FunctionInfo(
        file,
        node.lineno,
        tuple(p.arg for p in [*node.args.args, *node.args.kwonlyargs])[skipped:],
        tuple(p.arg for p in [*required, *keywords])[skipped:],
        node.args.kwarg is not None,
        known=True,
    )


def _near(name: str, names: Sequence[str], otherwise: str) -> str:
    """Return a help text: the near name, else the first few there are."""
    if close := near(name, names):
        return f"did you mean '{close}'?"
    return f"{otherwise}: {', '.join(sorted(names)[:SHOWN_NAMES])}" if names else ""
