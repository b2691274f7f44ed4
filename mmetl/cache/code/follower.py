"""Names followed through modules until nothing new is found; what an import does besides is closure.py's."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable

from mmetl.cache.code.dynamic import Meant, meant
from mmetl.cache.code.finder import Finder, Found
from mmetl.cache.code.modules import Module, Unit
from mmetl.cache.code.names import Import, Reading, Use, Uses

Name = tuple[str, str]
"""A file and a name of its top level."""

# Outside names after which any name of the module may be used.
_OWN_ESCAPES = {
    "builtins.globals": "it uses globals()",
    "builtins.exec": "it uses exec()",
    "builtins.eval": "it uses eval()",
    "importlib.reload": "it uses importlib.reload()",
}
_NAMESPACES = {"builtins.locals": "it uses locals()", "builtins.vars": "it uses vars()"}  # without an argument
# Outside names after which any name of any loaded module may be used.
_ESCAPES = {"sys.modules": "it uses sys.modules", "gc.get_objects": "it uses gc", "gc.get_referrers": "it uses gc"}
# Outside names that read a module's text.
_READERS = {
    "inspect.getsource": "its text is read by inspect",
    "inspect.getsourcelines": "its text is read by inspect",
    "inspect.findsource": "its text is read by inspect",
    "inspect.getcomments": "its text is read by inspect",
    "linecache.getline": "its text is read by linecache",
    "linecache.getlines": "its text is read by linecache",
}
_OF_EVERY_MODULE = frozenset({"__name__", "__file__", "__path__", "__package__", "__spec__", "__doc__", "__version__"})


class Follower:
    """Follows names from where it is told to start.

    Attributes:
        names: every name reached; a module's imported names are among them.
        whole: file -> why all of it counts.
        folders: folder -> why every module below it counts; "" is the project.
        verbatim: file -> why its very text counts.
        loaded: file -> module, for every module whose import is caused.
        files: every path read or looked for.
        outside: every name from outside the project that was reached.
        tops: first part of an absolute import -> the file or folder in the project that it means; "" for none.
    """

    def __init__(self, finder: Finder, search: tuple[str, ...]) -> None:
        """Start with nothing reached; `search` are the folders searched for absolute imports."""
        self.finder = finder
        self.search = search
        self.names: dict[Name, Module] = {}
        self.whole: dict[str, str] = {}
        self.folders: dict[str, str] = {}
        self.verbatim: dict[str, str] = {}
        self.loaded: dict[str, Module] = {}
        self.files: set[str] = set()
        self.outside: set[str] = set()
        self.tops: dict[str, str] = {}
        self.reads: dict[Reading, str] = {}
        self.units: dict[Unit, Module] = {}
        self._everything = ""
        self._annotated: set[Unit] = set()
        self._text_readers: dict[str, str] = {}
        self._followed: set[tuple[str, tuple[str, ...]]] = set()
        self._work: list[tuple[Module, Use]] = []
        self._arrived: list[Module] = []

    def reach(self, module: Module, used: Iterable[Use]) -> None:
        """Follow names used in a module, and all that they lead to."""
        self._load(module)
        self._work += [(module, use) for use in used]
        self._drain()

    def _drain(self) -> None:
        while self._step():
            pass
        for file in self.loaded if self._text_readers else ():
            self.verbatim.setdefault(file, next(iter(self._text_readers.values())))

    def _step(self) -> bool:
        """Follow what waits; return False when nothing does."""
        if self._arrived:
            self._imported(self._arrived.pop())
        elif self._work:
            module, use = self._work.pop()
            if use.imports is None:
                self._name(module, use)
            for target in use.imports or ():
                self._import(module, target, use.chain[1:], use)
        elif self._everything and (left := [m for f, m in self.loaded.items() if f not in self.whole]):
            for module in left:
                self._count_whole(module, self._everything)
        elif "annotations" in self.reads and (new := self.units.keys() - self._annotated):
            self._annotated |= new
            self._work += [(self.units[unit], use) for unit in new for use in unit.annotation.names]
        else:
            return False
        return True

    # what a module's own text says

    def _name(self, module: Module, use: Use) -> None:
        """Follow a name of a module's top level."""
        name = use.chain[0]
        if not module.binds(name):
            self._outside(module, f"builtins.{'.'.join(use.chain)}", use)
            return
        self._name_reached(module, name, use)
        for target in module.imports.get(name, ()):
            self._import(module, target, use.chain[1:], use)

    def _name_reached(self, module: Module, name: str, use: Use) -> None:
        if (module.file, name) in self.names:
            return
        self.names[module.file, name] = module
        for unit in (*module.by_name.get(name, ()), *module.rebinders.get(name, ())):
            self.follow(module, unit)
        for unit in module.rebinders.get(name, ()):
            self._work += [(module, Use((other,), use.line)) for other in unit.names]

    def follow(self, module: Module, unit: Unit) -> None:
        """Follow all that a statement uses."""
        if unit in self.units:
            return
        self.units[unit] = module
        uses = unit.uses
        self._work += [(module, use) for use in uses.names]
        self._run(module, uses.imports)
        self._note_reads(module, uses)

    def _note_reads(self, module: Module, uses: Uses) -> None:
        for reading, line in uses.reads.items():
            if reading not in self.reads:
                self.reads[reading] = f"{module.file}:{line}"
            if reading == "globals":
                self._everything = self._everything or f"it uses the globals of a function at {module.file}:{line}"
            elif reading == "annotations":
                self._count_annotated(module)

    def _count_annotated(self, module: Module) -> None:
        """Let a module that may read its own annotations count with all its variables that have some."""
        for name in [n for u in module.units if u.annotation.names for n in u.names]:
            self._work.append((module, Use((name,), 0)))

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
            self._count_whole(target, _at(why, user, use))
        elif (target.file, chain) in self._followed:
            return
        elif target.opaque:
            self._load(target)
        elif self._defines(target, chain[0]):
            self._followed.add((target.file, chain))
            self._work.append((target, use._replace(chain=chain, imports=None)))
        elif submodule := self._submodule(target, chain[0]):
            self._attribute(submodule, chain[1:], user, use)
        elif target.file and chain[0] not in _OF_EVERY_MODULE and (not target.stars or target.binds("__getattr__")):
            self._count_whole(target, _at(f"'{chain[0]}' is not defined in its text, but used", user, use))

    def locate(self, module: Module, target: Import) -> Module | None:
        """Return the project module that an import statement names, and load it with its parent packages."""
        if target.level:
            folder = _parent(module.file, target.level)
            found = self._package(folder) if folder is not None else None
            names = target.module.split(".") if target.module else []
        else:
            head, *names = target.module.split(".")
            found = self._note(self.finder.find(self.search, head))
            self.tops[head] = (found.file or found.folders[0]) if found else ""
        for name in names:
            if found is None:
                return None
            found = self._submodule(found, name)
        return found

    def _package(self, folder: str) -> Module | None:
        """Return the package that a folder is, and load those that it lies in."""
        parts = folder.split("/")
        for n in range(1, len(parts)):
            self._note(self.finder.package("/".join(parts[:n])))
        return self._note(self.finder.package(folder))

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
        """Look at a module that is imported."""
        if module.opaque:
            self.whole[module.file] = "it is not Python source"
        for star in module.stars:
            if starred := self.locate(module, star):
                self._count_whole(starred, f"star import at {module.file}:{star.line}")

    def _run(self, module: Module, imports: Iterable[Import]) -> None:
        """Load the modules that import statements run, submodules named after `from package import` too."""
        for target in imports:
            found = self.locate(module, target)
            if found and target.name and not self._defines(found, target.name):
                self._submodule(found, target.name)

    # what cannot be followed

    def _outside(self, module: Module, name: str, use: Use) -> None:
        """Look at a name from outside the project: it does not count, but it may reach back."""
        self.outside.add(name)
        for known in {name, ".".join(name.split(".")[:2])}:
            if why := _OWN_ESCAPES.get(known):
                self._count_whole(module, _at(why, module, use))
            if why := _ESCAPES.get(known):
                self._everything = self._everything or _at(why, module, use)
            if why := _READERS.get(known):
                self._text_readers.setdefault(known, _at(why, module, use))
        if name in _NAMESPACES and not (use.call and (use.call.args or use.call.keywords)):
            self._count_whole(module, _at(_NAMESPACES[name], module, use))
        if not use.followed and (found := meant(name, use)):
            self._may_import(module, found, use)

    def _may_import(self, module: Module, found: Meant, use: Use) -> None:
        """Count what a call may import, all of it, since nothing tells what is used of it."""
        why = _at(found.why, module, use)
        if not found.is_known:
            self._count_folder("", why, verbatim=found.runs)
        elif found.file:
            self._count_file(posixpath.normpath(found.file), why)
        elif found.module:
            dotted = found.module.partition(":")[0].lstrip(".")
            level = len(found.module) - len(found.module.lstrip("."))
            self._count_imported(self.locate(module, Import(level, dotted, "", use.line)), why, runs=found.runs)
        elif found.package:
            package = self.locate(module, Import(0, found.package, "", use.line))
            for folder in package.folders if package else ():
                self._count_folder(folder, why, verbatim=found.runs)
        else:
            for folder in self._folders_of(module, found.below):
                self._count_folder(folder, why, verbatim=found.runs)

    def _folders_of(self, module: Module, chain: tuple[str, ...]) -> tuple[str, ...]:
        """Return the folders of the package that `__name__`, `__path__` or `package.__name__` speaks of."""
        if len(chain) == 1:
            return module.folders or (posixpath.dirname(module.file),)
        targets = module.imports.get(chain[0], ()) if chain[0] not in module.by_name else ()
        names = chain[1:-1]
        found: list[str] = []
        for target in targets:
            dotted = ".".join(filter(None, (target.module, target.name, *names)))
            package = self.locate(module, target._replace(module=dotted, name=""))
            if package is None:
                continue
            found += package.folders or (posixpath.dirname(package.file),)
        return tuple(found) if found or targets else ("",)

    def _count_imported(self, module: Module | None, why: str, *, runs: bool) -> None:
        for each in (module, self._submodule(module, "__main__")) if module and runs else (module,):
            if each and each.file:
                self._count_whole(each, why)
                if runs:
                    self.verbatim.setdefault(each.file, why)

    def _count_file(self, file: str, why: str) -> None:
        self.files.add(file)
        module = self.finder.any_file(file)
        if module:
            self._count_whole(module, why)
            self.verbatim.setdefault(file, why)

    def _count_folder(self, folder: str, why: str, *, verbatim: bool) -> None:
        """Count every module below a folder."""
        self.folders.setdefault(folder, why)
        for file in self.finder.python_files(folder):
            module = self.finder.any_file(file)
            if module:
                self._count_whole(module, why)
                if verbatim:
                    self.verbatim.setdefault(file, why)

    def _count_whole(self, module: Module, why: str) -> None:
        if not module.file or module.file in self.whole:
            return
        self._load(module)
        self.whole.setdefault(module.file, why)
        for unit in module.units:
            self.follow(module, unit)
        self._work += [(module, Use((name,), 0)) for name in module.imports]

    def outside_name(self, module: Module, use: Use) -> str:
        """Return the dotted name of what a use means outside the project; empty for what is the project's."""
        name, *rest = use.chain
        if use.imports is None and not module.binds(name):
            return "builtins." + ".".join(use.chain) if not module.stars else ""
        targets = use.imports if use.imports is not None else module.imports.get(name, ())
        if name in module.by_name or any(self.locate(module, t) for t in targets):
            return ""
        return ".".join(filter(None, (targets[0].module, targets[0].name, *rest))) if targets else ""


def _at(why: str, module: Module, use: Use) -> str:
    return f"{why} at {module.file}:{use.line}"


def _parent(file: str, level: int) -> str | None:
    """Return the folder that `level` dots mean in a file; None above the project."""
    parts = file.split("/")[:-1]
    if level - 1 > len(parts):
        return None
    return "/".join(parts[: len(parts) - level + 1])
