"""Where the modules of a project are: the search of `sys.path`, limited to the project, with all that was looked for."""

from __future__ import annotations

import importlib.machinery
import os
import sys
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from mmetl.cache.code.modules import Module, opaque, parse
from mmetl.cache.python_files import python_files
from mmetl.errors import ParamError

_NOT_SOURCE = (*importlib.machinery.EXTENSION_SUFFIXES, ".pyc")
_OURSELVES = frozenset({"mmetl"})  # always the installed one, also where a project lies in a checkout of mmETL


class Found(NamedTuple):
    """What a search found: the module, None if there is none, and every path that was looked for."""

    module: Module | None
    looked: tuple[str, ...]


class Finder:
    """Finds and parses modules, each once.

    Attributes:
        parses: how many files were parsed.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.parses = 0
        self._modules: dict[str, Module] = {}
        self._listings: dict[str, tuple[str, ...]] = {}
        self._searches: dict[tuple[tuple[str, ...], str], Found] = {}

    def find(self, folders: tuple[str, ...], name: str, *, top: bool = True) -> Found:
        """Look for a module in project folders, as Python does: package, extension, source, bytecode, plain folder.

        Args:
            folders: searched in order, relative to the project; "" is the project itself.
            name: one part of a dotted name.
            top: it is the first part, which may also name a module from outside the project.

        Raises:
            ParamError: if a module of the project is named like one of Python's or of an installed package.
        """
        if top and name in _OURSELVES:
            return Found(None, ())
        key = (folders, name)
        if key not in self._searches:
            self._searches[key] = self._search(folders, name, top=top)
        return self._searches[key]

    def package(self, folder: str) -> Found:
        """Return the package that a folder is, for relative imports."""
        init = join(folder, "__init__.py")
        if os.path.isfile(self.root / init):
            return Found(self.load(init, (folder,)), (init,))
        return Found(Module("", (folder,)), (init,))

    def load(self, file: str, folders: tuple[str, ...] = ()) -> Module:
        """Return the module of an existing file. Raises ParamError when it is not valid Python."""
        if file not in self._modules:
            content = (self.root / file).read_bytes()
            if file.endswith(".py"):
                self.parses += 1
                self._modules[file] = parse(file, content, folders)
            else:
                self._modules[file] = opaque(file, content, folders)
        return self._modules[file]

    def any_file(self, file: str) -> Module | None:
        """Return the module of a file that may be no module at all; its bytes, if it is not valid Python."""
        if file not in self._modules:
            if not os.path.isfile(self.root / file):
                return None
            try:
                name, _, last = file.rpartition("/")
                return self.load(file, (name,) if last == "__init__.py" else ())
            except ParamError:
                self._modules[file] = opaque(file, (self.root / file).read_bytes())
        return self._modules[file]

    def python_files(self, folder: str) -> tuple[str, ...]:
        """Return the Python files below a folder."""
        if folder not in self._listings:
            self._listings[folder] = python_files(self.root, folder)
        return self._listings[folder]

    def _search(self, folders: tuple[str, ...], name: str, *, top: bool) -> Found:
        binary = () if top and name in sys.stdlib_module_names else _NOT_SOURCE
        looked: list[str] = []
        plain: list[str] = []
        for folder in folders:
            base = join(folder, name)
            for suffix in ("/__init__.py", *binary[:-1], ".py", *binary[-1:]):
                file = base + suffix
                looked.append(file)
                if os.path.isfile(self.root / file):
                    if top:
                        refuse_namesake(name, file)
                    package = (base,) if suffix == "/__init__.py" else ()
                    return Found(self.load(file, package), tuple(looked))
            if os.path.isdir(self.root / base):
                plain.append(base)
        if top and plain and _elsewhere(name):  # a folder without `__init__.py` comes after every module of the name
            plain.clear()
        return Found(Module("", tuple(plain)) if plain else None, tuple(looked))


def refuse_namesake(name: str, file: str) -> None:
    """Raise for a module that Python may take another one for: which one depends on what was imported before."""
    if where := _elsewhere(name):
        what = f"'{file}' is named like {where}, which may be imported in its place"
        raise ParamError(what, help="rename it: a module of the project needs a name of its own")


@lru_cache(maxsize=4096)
def _elsewhere(name: str) -> str:
    """Return where outside the project a module of the name is: in Python's library or an installed package; or nothing."""
    if name in sys.stdlib_module_names:
        return "a module of Python's standard library"
    folders = [p for p in sys.path if p.endswith(("site-packages", "dist-packages"))]
    spec = importlib.machinery.PathFinder.find_spec(name, folders)
    return f"the installed package '{name}'" if spec and spec.loader else ""


def join(folder: str, name: str) -> str:
    """Return a path below a folder; "" is the project itself."""
    return f"{folder}/{name}" if folder else name
