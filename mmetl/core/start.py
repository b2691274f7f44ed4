"""`mmetl init`: a small project that runs."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from mmetl.core.examples import example
from mmetl.errors import RefusedError

STEPS = ("mmetl run", "mmetl show customers", "mmetl list", "mmetl why report", "mmetl run --var min_total=50")


def start(folder: Path) -> tuple[list[str], list[str]]:
    """Write a small project; return the files, relative to the folder, and the commands to try next.

    Raises:
        RefusedError: if a file would be overwritten; nothing is written then.
    """
    files = example("init")
    there = [p for p in files if os.path.lexists(folder / p)]
    if there:
        help_ = "choose an empty folder: mmetl init FOLDER"
        raise RefusedError(f"'{folder / there[0]}' is there already, and nothing is overwritten", help=help_)
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    go = [] if folder.resolve() == Path.cwd() else [f"cd {shlex.quote(os.fspath(folder))}"]
    return list(files), [*go, *STEPS]
