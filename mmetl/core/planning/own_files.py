"""The files that a pipeline is made of, which none of its tasks may write."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

PROJECT_FILES = ("mmetl.yml", "dodo.py")


class OwnFiles:
    """Tells whether a path is a file that a pipeline is made of; links to folders are followed.

    Args:
        root: the project's folder.
        files: the YAML and code files that went into the plan, relative to the project or absolute.
    """

    def __init__(self, root: Path, files: Iterable[str]) -> None:
        self.root = root
        self._folders: dict[str, str] = {}  # as written -> where it is
        self._places = {self._place(path) for path in (*PROJECT_FILES, *files)}
        self._names = {os.path.basename(place) for place in self._places}

    def __contains__(self, path: str) -> bool:
        """Tell whether writing to a path would change the pipeline."""
        return os.path.basename(path) in self._names and self._place(path) in self._places

    def _place(self, path: str) -> str:
        folder, name = os.path.split(path)
        if folder not in self._folders:
            self._folders[folder] = os.path.realpath(self.root / folder)
        return os.path.join(self._folders[folder], name)
