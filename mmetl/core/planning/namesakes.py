"""Modules of one name: Python keeps one module a name, so that one function would get the other one's helper."""

from __future__ import annotations

from pathlib import Path

from mmetl.cache.code import Code
from mmetl.errors import ParamError


class Namesakes:
    """Finds them over all code of a pipeline, which is imported into one process.

    Args:
        root: the project's folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._meant: dict[str, str] = {}
        self._by: dict[str, str] = {}
        self._folders: list[str] = []

    def add(self, entry: str, code: Code) -> ParamError | None:
        """Add a function or a module, and return what is wrong with it.

        Args:
            entry: how the pipeline names it.
            code: what is known of it.
        """
        folders = [f for f in code.search if f not in self._folders]
        names = {n: file for n, file in code.modules.items() if self._meant.get(n) != file}
        self._folders += folders
        checks = [(n, file, f) for n, file in names.items() for f in self._folders]
        checks += [(n, file, f) for n, file in self._meant.items() for f in folders]
        problem = None
        for name, file, folder in checks:
            other = self._file(folder, name)
            if other and other != file:
                problem = problem or _refusal(name, file, other, self._by.get(name, entry))
        for name, file in names.items():
            self._meant.setdefault(name, file)
            self._by.setdefault(name, entry)
        return problem

    def _file(self, folder: str, name: str) -> str:
        base = f"{folder}/{name}" if folder else name
        return next((f for f in (f"{base}/__init__.py", f"{base}.py") if (self._root / f).is_file()), "")


def _refusal(name: str, file: str, other: str, entry: str) -> ParamError:
    if file.endswith(".py"):
        files = " and ".join(sorted((file, other)))
        return ParamError(f"two files of the project are modules called '{name}': {files}", help="rename one")
    return ParamError(
        f"'{other}' would be imported in place of the module '{name}' that '{entry}' uses", help="rename it"
    )
