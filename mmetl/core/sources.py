"""Import a project's Python files from their text, never from cached bytecode.

Python compares a bytecode cache with its source by size and whole seconds of its time. An edit of the same length within the
same second would run the code that it replaced, and mmETL would record the old result under the new recipe.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from importlib.machinery import EXTENSION_SUFFIXES, SOURCE_SUFFIXES, ExtensionFileLoader, FileFinder, SourceFileLoader
from pathlib import Path
from types import CodeType

import mmetl
from mmetl.cache.fingerprints import FileCache

_PACKAGES = ("site-packages", "dist-packages")
_own = str(Path(mmetl.__file__).parent)
_roots: set[str] = set()
_imported: dict[str, bytes] = {}  # file -> the text that was compiled last


class SourceLoader(SourceFileLoader):
    """Compiles the text of a module each time."""

    def get_code(self, fullname: str) -> CodeType:
        """Return the code of the text as it is now."""
        path = self.get_filename(fullname)
        text = self.get_data(path)
        code: CodeType = self.source_to_code(text, path)
        _imported[path] = bytes(text)
        return code


def import_from_source(root: Path) -> None:
    """Make imports from the folders of a project read the text; installed packages below it keep their bytecode."""
    top = str(root.resolve())
    if top in _roots:
        return
    _roots.add(top)
    find = FileFinder.path_hook((ExtensionFileLoader, EXTENSION_SUFFIXES), (SourceLoader, SOURCE_SUFFIXES))

    def hook(folder: str) -> FileFinder:
        if not _below(folder, top) or _below(folder, _own) or any(p in folder for p in _PACKAGES):
            raise ImportError(folder)
        return find(folder)  # type: ignore[return-value]

    sys.path_hooks.insert(0, hook)
    for folder in [f for f in sys.path_importer_cache if _below(f, top)]:
        del sys.path_importer_cache[folder]


def forget_edited(root: Path) -> None:
    """Let the modules of a project be imported anew, if any is not what its file says; for processes that live on.

    All of them go: each may hold what it took from another. One that was imported before mmETL could see its text counts
    as edited. The program that is running, and installed packages, stay.
    """
    top = str(root.resolve())
    own = {
        name: file
        for name, module in list(sys.modules.items())
        if (file := getattr(module, "__file__", None))
        and name != "__main__"
        and _below(file, top)
        and not _below(file, _own)
        and not any(p in file for p in _PACKAGES)
    }
    if any(_imported.get(file) != _text_of(file) for file in own.values()):
        for name in own:
            del sys.modules[name]
        importlib.invalidate_caches()


def _text_of(file: str) -> bytes | None:
    try:
        return Path(file).read_bytes()
    except OSError:
        return None


def _below(folder: str, top: str) -> bool:
    return folder == top or folder.startswith(top.rstrip("/") + "/")


class CodeWatch:
    """Tells whether a project's code was edited after its fingerprint went into the recipes.

    What is imported then is not what the recipe says, even if the edit is taken back before the next run.

    Args:
        files: the project's file cache.
        fingerprints: what went into the plan.
    """

    def __init__(self, files: FileCache, fingerprints: Mapping[str, str]) -> None:
        self._files = files
        code = {p: f for p, f in fingerprints.items() if p.endswith(".py")}
        files.observe(code)
        self._before = {p: (files.signature_of(p), f) for p, f in code.items()}
        self._modules = -1
        self._moved: list[str] = []

    def moved(self) -> list[str]:
        """Return the edited files; looks again only when modules were imported since it was asked last."""
        if len(sys.modules) != self._modules:
            self._modules = len(sys.modules)
            self._moved = [p for p, (sig, f) in self._before.items() if self._is_other(p, sig, f)]
        return self._moved

    def _is_other(self, path: str, signature: bytes, fingerprint: str) -> bool:
        return self._files.fingerprint(path) != fingerprint or self._files.moved(path, signature, fingerprint)
