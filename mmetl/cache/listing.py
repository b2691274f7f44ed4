"""Which files a glob stands for: sorted by bytes, links followed once, never inside `.mmetl/`."""

from __future__ import annotations

import itertools
import os
import posixpath
import re
import sys
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from mmetl.cache.layout import STATE_DIR
from mmetl.errors import TaskError
from mmetl.utils.text import is_utf8, shown, why_not

_MAGIC = re.compile(r"[*?\[]")


def is_glob(path: str) -> bool:
    """Tell whether a path has wildcards."""
    return _MAGIC.search(path) is not None


def plain_path(root: str, path: str) -> str:
    """Return the one form of a path or glob: relative to the project where it lies inside, however it is written.

    >>> plain_path("/home/me/flights", "./data/../out//a.csv"), plain_path("/home/me/flights", "/home/me/flights/out/a.csv")
    ('out/a.csv', 'out/a.csv')
    """
    return posixpath.normpath(path).removeprefix(root.rstrip("/") + "/")


def fixed_folder(glob: str) -> str:
    """Return the folder that all files of a glob lie in or below; empty for that of the project.

    >>> fixed_folder("in/2024/*.csv"), fixed_folder("/data/*/x.csv"), fixed_folder("*.csv")
    ('in/2024', '/data', '')
    """
    parts = glob.split("/")
    return "/".join(itertools.takewhile(lambda part: not is_glob(part), parts[:-1]))


class _Bounds(NamedTuple):
    """Where a listing begins and what it must not reach: `base` as it is named, `root` and `state` with links resolved."""

    base: str
    root: str
    state: str


def list_files(root: str, pattern: str) -> tuple[str, ...]:
    """Return the files that match, relative to `root` where the pattern is, sorted by their bytes.

    `*`, `?` and `[...]` stay within one folder, `**` goes through any number of them; names that start with a dot match only a
    pattern that does so too.

    Raises:
        TaskError: if a folder link leaves the project or leads back to a folder above it, or something cannot be read.
    """
    return tuple(by_bytes({folder + name for folder, names in _listed(root, pattern) for name in names}))


def list_folders(root: str, pattern: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the files that match, folder by folder: what `list_files` returns, and never more than a folder of it is held.

    Yields:
        A folder as the paths in it begin (empty, or with a slash at its end), and the names of its files, sorted by their bytes; no
        folder twice, and none without a file.

    Raises:
        TaskError: as `list_files`.
    """
    if pattern.count("**") < 2 and "**" not in pattern.split("/")[:-2]:
        for folder, names in _listed(root, pattern):
            yield folder, by_bytes(names)
        return
    found: dict[str, set[str]] = {}  # some folders are gone through several times
    for folder, names in _listed(root, pattern):
        found.setdefault(folder, set()).update(names)
    for folder, several in found.items():
        yield folder, by_bytes(several)


def _listed(root: str, pattern: str) -> Iterator[tuple[str, list[str]]]:
    """Yield folders with the names of their files that match; a folder that several parts of a pattern lead to comes several times."""
    parts = pattern.split("/")
    base = os.path.join(root, "") if not pattern.startswith("/") else "/"
    start = fixed_folder(pattern)
    fixed = start.count("/") + 1 if start or pattern.startswith("/") else 0
    bounds = _Bounds(base, os.path.realpath(root), os.path.realpath(os.path.join(root, STATE_DIR)))
    yield from _walk(bounds, start, os.path.realpath(os.path.join(base, start)), parts[fixed:], ())


def by_bytes(paths: Iterable[str]) -> list[str]:
    """Return paths sorted by their bytes: in UTF-8 that is the order of code points, which is faster to find."""
    listed = list(paths)
    encoded = sys.getfilesystemencoding() == "utf-8" and is_utf8("\n".join(listed))
    return sorted(listed, key=None if encoded else os.fsencode)


def matches(path: str, pattern: str) -> bool:
    """Tell whether a path, relative like the pattern, is one that the pattern stands for."""
    return path.split("/", 1)[0] != STATE_DIR and _regex(pattern).fullmatch(path) is not None


def reaches(folder: str, pattern: str) -> bool:
    """Tell whether a pattern may stand for files inside a folder (with a slash at its end)."""
    names, parts = folder.rstrip("/").split("/"), pattern.split("/")
    for n, name in enumerate(names):
        if n >= len(parts):
            return False
        if parts[n] == "**":
            return True
        if _regex(parts[n]).fullmatch(name) is None:
            return False
    return len(parts) > len(names)


def _walk(
    bounds: _Bounds, folder: str, real: str, parts: list[str], above: tuple[str, ...]
) -> Iterator[tuple[str, list[str]]]:
    """Yield what matches the remaining pattern parts below `base/folder`, which is `real` with links resolved."""
    prefix = f"{folder}/" if folder and not folder.endswith("/") else folder
    try:
        entries = list(os.scandir(os.path.join(bounds.base, folder)))
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as e:
        raise _unreadable(prefix.rstrip("/") or ".", e) from None
    if not _may_enter(bounds, prefix.rstrip("/"), real, above):
        return
    head, rest = parts[0], parts[1:]
    through = head == "**"
    if through and rest and (rest[0] == "**" or len(rest) > 1):
        yield from _walk(bounds, folder, real, rest, above)
        files = None
    else:  # the files of this folder are looked for in the same listing as the folders
        last = (rest[0] if rest else "*") if through else head
        files = _regex(last).fullmatch if through or not rest else None
    folders = _regex("*" if through else head).fullmatch if through or rest else None
    below, inside = (*above, real), f"{real.rstrip('/')}/"
    found: list[str] = []
    for entry in entries:
        name = entry.name
        leads, listed = bool(folders and folders(name)), bool(files and files(name))
        # What the pattern does not reach may be anything, also a link to itself.
        if (name == STATE_DIR and not prefix) or not (leads or listed):
            continue
        if _is_folder(entry, prefix):
            if leads:
                there = os.path.realpath(entry.path) if entry.is_symlink() else inside + name
                yield from _walk(bounds, prefix + name, there, parts if through else rest, below)
        elif listed and entry.is_file():
            found.append(name)
    if found:
        yield prefix, found


def _may_enter(bounds: _Bounds, folder: str, real: str, above: tuple[str, ...]) -> bool:
    """Tell whether files below a folder count. Raises TaskError for a link that leads back, or out of the project."""
    if real in above:
        raise TaskError(f"the link '{shown(folder)}' leads back to a folder above it", help="remove the link")
    if _within(real, bounds.state):
        return False
    if bounds.base != "/" and not _within(real, bounds.root):
        raise TaskError(
            f"the link '{shown(folder)}' leaves the project", help="name that folder itself as an absolute path"
        )
    return True


def _is_folder(entry: os.DirEntry[str], prefix: str) -> bool:
    try:
        return entry.is_dir()
    except OSError as e:
        raise _unreadable(prefix + entry.name, e) from None


def _unreadable(path: str, error: OSError) -> TaskError:
    return TaskError(f"'{shown(path)}' cannot be read: {why_not(error)}", help="mend it, or let the glob not reach it")


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


@lru_cache(maxsize=4096)
def _regex(pattern: str) -> re.Pattern[str]:
    """Return a glob as a regular expression over the whole path."""
    out: list[str] = []
    for n, part in enumerate(pattern.split("/")):
        last = n == pattern.count("/")
        if part == "**":
            out.append("(?:(?!\\.)[^/]+/)*" + ("(?!\\.)[^/]+" if last else ""))
        else:
            out.append(_segment(part) + ("" if last else "/"))
    return re.compile("".join(out), re.DOTALL)


def _segment(part: str) -> str:
    """Return one folder level of a glob as a regular expression."""
    out = "" if part.startswith(".") else "(?!\\.)" if is_glob(part[:1]) else ""
    i = 0
    while i < len(part):
        c = part[i]
        close = part.find("]", i + 2) if c == "[" else -1
        if c == "*":
            out += "[^/]*"
        elif c == "?":
            out += "[^/]"
        elif close > 0:
            body = re.sub(r"([\[\\&~|])", r"\\\1", part[i + 1 : close])
            out += f"[{'^' + body[1:] if body[0] == '!' else body}]"
            i = close
        else:
            out += re.escape(c)
        i += 1
    return out
