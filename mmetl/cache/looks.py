"""The look of a folder that an engine keeps: whether anybody has changed it since, without asking the engine."""

from __future__ import annotations

import os
from collections.abc import Iterator

from mmetl.cache.fingerprints import MISSING
from mmetl.contracts.artifact import Fingerprint
from mmetl.utils.hashing import xxh3_hex


def look_of(folder: str) -> Fingerprint:
    """Return one fingerprint over the names, sizes and times of all files below a folder; MISSING if there are none."""
    found = sorted(_files(folder, ""))
    return xxh3_hex("\n".join(found).encode(errors="surrogateescape")) if found else MISSING


def _files(folder: str, inside: str) -> Iterator[str]:
    try:
        entries = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _files(entry.path, f"{inside}{entry.name}/")
        else:
            stat = entry.stat(follow_symlinks=False)
            yield f"{inside}{entry.name} {stat.st_size} {stat.st_mtime_ns}"
