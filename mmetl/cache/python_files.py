"""Which Python files a folder of a project has: what a computed import may mean. Standard library only, no syntax trees."""

from __future__ import annotations

import os
from collections.abc import Iterable

from mmetl.utils.hashing import xxh3_hex

_NOT_CODE = frozenset({"__pycache__", "node_modules", "site-packages", "dist-packages"})


def python_files(root: str | os.PathLike[str], folder: str) -> tuple[str, ...]:
    """Return the Python files below a folder of a project, sorted; not those in hidden folders and environments."""
    found: list[str] = []
    seen: set[str] = set()
    for here, folders, names in os.walk(os.path.join(root, folder), followlinks=True):
        real = os.path.realpath(here)
        if real in seen or ("pyvenv.cfg" in names and "bin" in folders):
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f not in _NOT_CODE)
        place = os.path.relpath(here, root).replace(os.sep, "/")
        found += (n if place == "." else f"{place}/{n}" for n in names if n.endswith(".py"))
    return tuple(sorted(found))


def listing_fingerprint(files: Iterable[str]) -> str:
    """Return a word that changes when a file is added to a listing, or taken away."""
    return xxh3_hex("\0".join(files).encode("utf-8", "surrogateescape"))
