"""Where the modules of a project are: the search of `sys.path`, limited to the project, with all that was looked for."""

from __future__ import annotations

import importlib.machinery
import os
import sys
from pathlib import Path
from typing import NamedTuple

from mmetl.cache.code.modules import Module, opaque, parse

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
        self._searches: dict[tuple[tuple[str, ...], str], Found] = {}

    def find(self, folders: tuple[str, ...], name: str, *, top: bool = True) -> Found:
        """Look for a module in project folders, as Python does: package, extension, source, bytecode, plain folder.

        Args:
            folders: searched in order, relative to the project; "" is the project itself.
            name: one part of a dotted name.
            top: it is the first part, which may also name a module from outside the project.
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
                    package = (base,) if suffix == "/__init__.py" else ()
                    return Found(self.load(file, package), tuple(looked))
            if os.path.isdir(self.root / base):
                plain.append(base)
        return Found(Module("", tuple(plain)) if plain else None, tuple(looked))


def join(folder: str, name: str) -> str:
    """Return a path below a folder; "" is the project itself."""
    return f"{folder}/{name}" if folder else name
