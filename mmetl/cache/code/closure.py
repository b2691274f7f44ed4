"""What a piece of project code reaches: names followed through modules until nothing new is found."""

from __future__ import annotations

from collections.abc import Iterable

from mmetl.cache.code.finder import Finder, Found
from mmetl.cache.code.modules import Module, Unit
from mmetl.cache.code.names import Import, Use, Uses
from mmetl.utils.hashing import xxh3_hex

Name = tuple[str, str]
"""A file and a name of its top level."""

Changes = dict[Unit, tuple[frozenset[Name], frozenset[str]]]
"""Statement -> the names that importing it may change, and the paths looked for to know them."""

STATEMENTS = "<module>"
"""The piece of a module's statements that act on import, named as in Python's tracebacks."""

# Outside names after which any name of the module may be used, or any code.
_ESCAPES = {
    "builtins.globals": "it uses globals()",
    "builtins.exec": "it uses exec()",
    "builtins.eval": "it uses eval()",
    "sys.modules": "it uses sys.modules",
    "runpy.run_path": "it uses runpy",
    "runpy.run_module": "it uses runpy",
    "importlib.reload": "it uses importlib.reload()",
    "importlib.util": "it uses importlib.util",
    "importlib.machinery": "it uses importlib.machinery",
    "pkgutil.iter_modules": "it uses pkgutil",
    "pkgutil.walk_packages": "it uses pkgutil",
}
_NAMESPACES = {"builtins.locals": "it uses locals()", "builtins.vars": "it uses vars()"}  # without an argument
_IMPORTERS = {
    "builtins.__import__": "__import__",
    "importlib.import_module": "import_module",
    "importlib.__import__": "__import__",
}
_OF_EVERY_MODULE = frozenset({"__name__", "__file__", "__path__", "__package__", "__spec__", "__doc__", "__version__"})


class Closure:
    """Follows names from where it is told to start.

    Attributes:
        names: every name reached; a module's imported names are among them.
        whole: file -> why all of it counts.
        loaded: file -> module, for every module whose import is caused.
        files: every path read or looked for.
    """

    def __init__(self, finder: Finder, search: tuple[str, ...], changes: Changes | None = None) -> None:
        """Start with nothing reached.

        Args:
            finder: finds modules.
            search: folders searched for absolute imports.
            changes: kept between closures of one search; None to follow names only, not what an import does.
        """
        self.finder = finder
        self.search = search
        self.changes = changes
        self.names: dict[Name, Module] = {}
        self.whole: dict[str, str] = {}
        self.loaded: dict[str, Module] = {}
        self.files: set[str] = set()
        self.docstrings = False
        self._units: set[Unit] = set()
        self._followed: set[tuple[str, tuple[str, ...]]] = set()
        self._work: list[tuple[Module, Use]] = []
        self._arrived: list[Module] = []

    def reach(self, module: Module, used: Iterable[Use]) -> None:
        """Follow names used in a module, and all that they lead to."""
        self._load(module)
        self._work += [(module, use) for use in used]
        self._drain()
        while self._registrations():
            self._drain()

    def pieces(self) -> dict[str, str]:
        """Return the fingerprint of each piece: `file:name`, or the file where all of it counts."""
        texts: dict[str, str] = {file: self._module_text(self.loaded[file]) for file in self.whole}
        for (file, name), module in self.names.items():
            if file not in self.whole:
                texts[f"{file}:{name}"] = self._name_text(module, name)
        for file, module in self.loaded.items():
            if file not in self.whole and (text := self._statements_text(module)):
                texts[f"{file}:{STATEMENTS}"] = text
        return {key: xxh3_hex(f"code piece 1\0{texts[key]}".encode()) for key in sorted(texts)}

    def _drain(self) -> None:
        while self._work or self._arrived:
            if self._arrived:
                self._imported(self._arrived.pop())
                continue
            module, use = self._work.pop()
            if use.imports is None:
                self._name(module, use)
            for target in use.imports or ():
                self._import(module, target, use.chain[1:], use)

    # what a module's own text says

    def _name(self, module: Module, use: Use) -> None:
        """Follow a name of a module's top level."""
        name = use.chain[0]
        if not module.binds(name):
            self._outside(module, f"builtins.{name}", use)
            return
        if (module.file, name) not in self.names:
            self.names[module.file, name] = module
            for unit in (*module.by_name.get(name, ()), *module.rebinders.get(name, ())):
                self._unit(module, unit)
            for unit in module.rebinders.get(name, ()):
                self._work += [(module, Use((other,), use.line)) for other in unit.names]
        for target in module.imports.get(name, ()):
            self._import(module, target, use.chain[1:], use)

    def _unit(self, module: Module, unit: Unit) -> None:
        if unit not in self._units:
            self._units.add(unit)
            self._uses(module, unit.uses)

    def _uses(self, module: Module, uses: Uses) -> None:
        self._work += [(module, use) for use in uses.names]
        self._run(module, uses.imports)
        self.docstrings |= uses.docstrings
        if uses.subclasses:
            self._count_whole(module, "it uses __subclasses__()", module, uses.subclasses)

    # imports

    def _import(self, module: Module, target: Import, rest: tuple[str, ...], use: Use) -> None:
        """Follow an imported name and its attributes `rest`."""
        chain = (target.name, *rest) if target.name else rest
        found = self.locate(module, target)
        if found is None:
            self._outside(module, ".".join((target.module, *chain)), use)
        else:
            self._attribute(found, chain, module, use)

    def _attribute(self, target: Module, chain: tuple[str, ...], user: Module, use: Use) -> None:
        """Follow attributes of a module: its names, its submodules, or the module itself as a value."""
        if not chain:
            why = "getattr with a computed name" if use.computed else "it is used as a value"
            self._count_whole(target, why, user, use.line)
        elif (target.file, chain) in self._followed:
            return
        elif target.opaque:
            self._load(target)
        elif self._defines(target, chain[0]):
            self._followed.add((target.file, chain))
            self._work.append((target, use._replace(chain=chain, imports=None)))
        elif submodule := self._submodule(target, chain[0]):
            self._attribute(submodule, chain[1:], user, use)
        elif target.file and chain[0] not in _OF_EVERY_MODULE and not target.stars:
            self._count_whole(target, f"'{chain[0]}' is not defined in its text, but used", user, use.line)

    def locate(self, module: Module, target: Import) -> Module | None:
        """Return the project module that an import statement names, and load it with its parent packages."""
        if target.level:
            folder = _parent(module.file, target.level)
            found = self._note(self.finder.package(folder)) if folder is not None else None
            names = target.module.split(".") if target.module else []
        else:
            head, *names = target.module.split(".")
            found = self._note(self.finder.find(self.search, head))
        for name in names:
            if found is None:
                return None
            found = self._submodule(found, name)
        return found

    def _defines(self, module: Module, name: str) -> bool:
        """Does a module bind the name to more than its own submodule (`from . import name`)?"""
        if name in module.by_name or name in module.rebinders:
            return True
        targets = module.imports.get(name, ())
        return any(t.name != name or self.locate(module, t) is not module for t in targets)

    def _submodule(self, package: Module, name: str) -> Module | None:
        return self._note(self.finder.find(package.folders, name, top=False)) if package.folders else None

    def _note(self, found: Found) -> Module | None:
        self.files.update(found.looked)
        if found.module:
            self._load(found.module)
        return found.module

    def _load(self, module: Module) -> None:
        if module.file and module.file not in self.loaded:
            self.loaded[module.file] = module
            self.files.add(module.file)
            self._arrived.append(module)

    def _imported(self, module: Module) -> None:
        """Count what importing the module does."""
        if module.opaque:
            self.whole[module.file] = "it is not Python source"
        if self.changes is not None:
            self._run(module, module.runs)
            for unit in module.units:
                if unit.acts:
                    self._unit(module, unit)
        for star in module.stars:
            if starred := self.locate(module, star):
                self._count_whole(starred, "star import", module, star.line)

    def _run(self, module: Module, imports: Iterable[Import]) -> None:
        """Load the modules that import statements run, submodules named after `from package import` too."""
        for target in imports:
            found = self.locate(module, target)
            if found and target.name and not self._defines(found, target.name):
                self._submodule(found, target.name)

    # what cannot be followed

    def _outside(self, module: Module, name: str, use: Use) -> None:
        """Look at a name from outside the project: it does not count, but it may reach back."""
        parts = name.split(".")
        for known in {name, ".".join(parts[:2])}:
            if why := _ESCAPES.get(known):
                self._count_whole(module, why, module, use.line)
        if name in _NAMESPACES and not use.arguments:
            self._count_whole(module, _NAMESPACES[name], module, use.line)
        if name in _IMPORTERS and use.argument is None:
            self._count_whole(module, f"{_IMPORTERS[name]} with a computed name", module, use.line)
        elif name in _IMPORTERS and use.argument:
            dotted = use.argument.lstrip(".")
            target = Import(len(use.argument) - len(dotted), dotted, "", use.line)
            if imported := self.locate(module, target):
                self._count_whole(imported, "it is imported by a text", module, use.line)

    def _count_whole(self, module: Module, why: str, user: Module, line: int) -> None:
        if not module.file or module.file in self.whole:
            return
        self._load(module)
        self.whole.setdefault(module.file, f"{why} at {user.file}:{line}")
        for unit in module.units:
            self._unit(module, unit)
        self._work += [(module, Use((name,), line)) for name in module.imports]

    # registration: a statement that nobody names, but whose import changes an object that is reached

    def _registrations(self) -> bool:
        """Reach statements that register themselves in something reached; say whether there were any."""
        if self.changes is None:
            return False
        state = {key for key, module in self.names.items() if any(u.is_state for u in module.by_name.get(key[1], ()))}
        found = [
            (module, unit)
            for module in self.loaded.values()
            for unit in module.units
            if state and unit not in self._units and not state.isdisjoint(self._changed_by(module, unit, self.changes))
        ]
        for module, unit in found:
            self._work += [(module, Use((name,), unit.node.lineno)) for name in unit.names]
            self._unit(module, unit)
        return bool(found)

    def _changed_by(self, module: Module, unit: Unit, changes: Changes) -> frozenset[Name]:
        """Return the names that importing the statement may change."""
        if not unit.calls and not unit.bases:
            return frozenset()
        if unit not in changes:
            called = self._followed_from(module, unit.calls)
            based = self._followed_from(module, unit.bases)
            hooks = any(u.hooks_subclasses for u in based._units)  # noqa: SLF001 - one of ours
            names = frozenset({*called.names, *(based.names if hooks else ())})
            changes[unit] = names, frozenset(called.files | based.files)
        names, files = changes[unit]
        self.files |= files
        return names

    def _followed_from(self, module: Module, used: Iterable[Use]) -> Closure:
        closure = Closure(self.finder, self.search)
        closure.reach(module, used)
        return closure

    # texts

    def _name_text(self, module: Module, name: str) -> str:
        texts = [u.text(docstrings=self.docstrings) for u in module.by_name.get(name, ())]
        return "\n".join([*texts, *(target.text for target in module.imports.get(name, ()))])

    def _statements_text(self, module: Module) -> str:
        """Return the statements that act, and among them which reached variables are set in between."""
        lines = [star.text for star in module.stars]
        acting = any(u.acts for u in module.units)
        for unit in module.units if acting else ():
            if unit.acts:
                lines.append(unit.text(docstrings=self.docstrings))
            elif unit in self._units and unit.is_state:
                lines.append(f"= {' '.join(sorted(unit.names))}")
        return "\n".join(lines)

    def _module_text(self, module: Module) -> str:
        if module.opaque:
            return module.opaque
        names = [f"{name} {target.text}" for name, ts in sorted(module.imports.items()) for target in ts]
        units = [unit.text(docstrings=self.docstrings) for unit in module.units]
        return "\n".join([*names, *(star.text for star in module.stars), *units])


def _parent(file: str, level: int) -> str | None:
    """Return the folder that `level` dots mean in a file; None above the project."""
    parts = file.split("/")[:-1]
    if level - 1 > len(parts):
        return None
    return "/".join(parts[: len(parts) - level + 1])
