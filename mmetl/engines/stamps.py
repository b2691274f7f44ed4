"""What a target in a folder says of itself: one small file, written last."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from mmetl.contracts.target import Applied
from mmetl.errors import TaskError

STAMP = "mmetl.json"
BEGUN = "mmetl.begun"
"""Stands for the stamp, or beside it, while a target is changed."""

FORMAT = 1


def read_stamp(folder: Path) -> Applied | None:
    """Return what a folder says that it holds."""
    try:
        said = json.loads((folder / STAMP).read_text(encoding="utf-8"))
        return Applied(said["manifest"], said["spec"]) if said["format"] == FORMAT else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_stamp(folder: Path, now: Applied) -> None:
    """Let a folder say what it holds, durably."""
    temp = folder / f"{STAMP}.new"
    with temp.open("w", encoding="utf-8") as file:
        json.dump({"format": FORMAT, **now._asdict()}, file)
        file.flush()
        os.fsync(file.fileno())
    temp.replace(folder / STAMP)
    (folder / BEGUN).unlink(missing_ok=True)


def drop_folder(folder: Path) -> None:
    """Remove a target's folder. Raises TaskError if what is there was not written by mmETL."""
    refuse_foreign(folder)
    mark_begun(folder)  # first: a kill before the last file is gone must leave a folder that is known for ours
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name != BEGUN:
            entry.unlink()


def refuse_foreign(folder: Path) -> None:
    """Raise TaskError for a folder that holds something and does not say that it is ours."""
    if folder.is_dir() and any(folder.iterdir()) and not (folder / STAMP).exists() and not is_begun(folder):
        raise TaskError(
            f"'{folder.name}' is not empty, and was not made by this task",
            help="choose another `path`, or empty the folder",
        )


def mark_begun(folder: Path) -> None:
    """Let a folder say that it is ours, before it holds what it is to hold."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / BEGUN).touch()


def is_begun(folder: Path) -> bool:
    """Tell whether a folder says that it is ours, and not what it holds."""
    return (folder / BEGUN).exists()
