"""Which packages are installed, and which extra of mmETL brings those that are not."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from mmetl.contracts.transform import Transform

NOT_INSTALLED = "not installed"
"""Stands for the version of a package that is not there."""

_EXTRA = re.compile(r"""^([\w.-]+)[^;]*;\s*extra\s*==\s*['"]([\w-]+)['"]""")
_NOT_TOLD = frozenset({"dev", "all"})


def version(package: str) -> str:
    """Return the version of an installed distribution."""
    from importlib import metadata  # of 10 ms

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return NOT_INSTALLED


class Versions:
    """The versions of packages, each looked up once."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def of(self, packages: Iterable[str]) -> dict[str, str]:
        """Return the versions of some packages."""
        for package in packages:
            if package not in self._known:
                self._known[package] = version(package)
        return {p: self._known[p] for p in packages}


def required() -> list[str]:
    """Return what mmETL needs always."""
    return [re.split(r"[^\w.-]", text, maxsplit=1)[0] for text in _requirements() if not _EXTRA.match(text)]


def extras() -> dict[str, str]:
    """Return package -> extra; one that several extras bring belongs to the smallest."""
    pairs = [(m[2], m[1]) for m in map(_EXTRA.match, _requirements()) if m and m[2] not in _NOT_TOLD]
    sizes = Counter(extra for extra, _ in pairs)
    own: dict[str, str] = {}
    for extra, package in sorted(pairs, key=lambda found: (sizes[found[0]], found)):
        own.setdefault(package, extra)
    return own


def _requirements() -> Iterable[str]:
    from importlib import metadata

    try:
        return metadata.requires("mmetl") or ()
    except metadata.PackageNotFoundError:
        return ()


def lacking(transform: Transform, *versions: Mapping[str, str]) -> list[str]:
    """Return the packages of extras that a task is sure to need and that are not installed.

    A project's own transform may do without what it names.

    Args:
        transform: of the task.
        versions: of all packages that it names.
    """
    optional = getattr(transform, "optional_packages", ())
    gone = {p for some in versions for p, found in some.items() if found == NOT_INSTALLED}.difference(optional)
    return sorted(gone & extras().keys()) if gone and not transform.code else []
