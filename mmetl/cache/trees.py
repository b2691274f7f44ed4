"""What a glob stands for, as a tree: of each folder one fingerprint over its files, so that what did not change is not gone through.

A folder whose files all look as they did (names, sizes, times; see `fingerprints.signature`) costs their stats and one comparison. What
it contains, its *page*, is read only where somebody asks. Pages lie in the store by their fingerprint: a tree of 100,000 files in 200 folders
is 200 entries, in memory and in the record of a task.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

import xxhash

from mmetl.cache.fingerprints import UNUSABLE, combine
from mmetl.cache.listing import by_bytes
from mmetl.contracts.artifact import Fingerprint

ENDS = "\0"  # the one character that is in no name and in no fingerprint


class File(NamedTuple):
    """A file of a page."""

    fingerprint: Fingerprint
    size_bytes: int


Page = dict[str, File]
"""Name -> file, for the files of one folder that a glob stands for, sorted by bytes."""


class Entry(NamedTuple):
    """What is known of a folder's files without reading its page.

    Attributes:
        page: fingerprint of names and contents.
        files: how many they are.
        size_bytes: of all of them.
        unusable: how many of them cannot be read.
        signature: over their signatures, when their fingerprints were taken; empty where those alone do not tell.
    """

    page: Fingerprint
    files: int
    size_bytes: int
    unusable: int = 0
    signature: bytes = b""


class Tree:
    """The files of a glob.

    Args:
        folders: folder, with a slash at its end, -> what is known of it.
        read: finds a page by its fingerprint.
        whole: the tree that this one is a part of, see `TreeCache.without`.
        left_out: paths of that which do not count here.
        below: a folder, with a slash at its end, of which nothing counts; empty: none.
    """

    def __init__(
        self,
        folders: Mapping[str, Entry],
        read: Callable[[Fingerprint], Page],
        whole: Tree | None = None,
        left_out: frozenset[str] = frozenset(),
        below: str = "",
    ) -> None:
        self.folders = {folder: folders[folder] for folder in by_bytes(folders)}
        self.whole = whole or self
        self.left_out, self.below = left_out, below
        self._read = read

    @property
    def files(self) -> int:
        """How many files there are."""
        return sum(e.files for e in self.folders.values())

    @property
    def size_bytes(self) -> int:
        """Of all files together."""
        return sum(e.size_bytes for e in self.folders.values())

    @cached_property
    def fingerprint(self) -> Fingerprint:
        """Fingerprint of all names and contents."""
        return combine(_text(part) for folder, entry in self.folders.items() for part in (folder, entry.page))

    def page(self, folder: str) -> Page:
        """Return the files of a folder by name; none for a folder that is not there."""
        entry = self.folders.get(folder)
        return self._read(entry.page) if entry else {}

    def find(self, path: str) -> File | None:
        """Return the file at a path, if it is one of these."""
        folder, name = parted(path)
        return self.page(folder).get(name)

    def walk(self) -> Iterator[tuple[str, Page]]:
        """Yield each folder with its page."""
        for folder in self.folders:
            yield folder, self.page(folder)

    def paths(self) -> list[str]:
        """Return all paths, sorted by their bytes."""
        return by_bytes(folder + name for folder, page in self.walk() for name in page)

    def unusable(self) -> Iterator[tuple[str, Fingerprint]]:
        """Yield the files that cannot be used, with what stands for them."""
        for folder, entry in self.folders.items():
            if entry.unusable:
                for name, file in self.page(folder).items():
                    if file.fingerprint.startswith(UNUSABLE):
                        yield folder + name, file.fingerprint

    def to_json(self) -> dict[str, list[object]]:
        """Return what a record keeps: folder -> page, files, bytes."""
        return {folder: [e.page, e.files, e.size_bytes] for folder, e in self.folders.items()}

    @classmethod
    def from_json(cls, listed: Mapping[str, Sequence[object]], read: Callable[[Fingerprint], Page]) -> Tree:
        """Read what `to_json` returned."""
        return cls({folder: Entry(*values) for folder, values in listed.items()}, read)  # type: ignore[arg-type]


NO_FILES = Tree({}, lambda _page: {})


def entry_of(page: Page, signed: bytes = b"") -> Entry:
    """Return what is known of a folder with these files."""
    troubled = sum(f.fingerprint.startswith(UNUSABLE) for f in page.values())
    fingerprint = xxhash.xxh3_128_hexdigest(packed(page))
    return Entry(fingerprint, len(page), sum(f.size_bytes for f in page.values()), troubled, signed)


def packed(page: Page) -> bytes:
    """Return a page as the bytes that the store keeps."""
    values = [value for name, file in page.items() for value in (name, file.fingerprint, str(file.size_bytes))]
    return ENDS.join(values).encode(errors="surrogateescape")


def unpacked(body: bytes) -> Page:
    """Read what `packed` returned."""
    values = body.decode(errors="surrogateescape").split(ENDS) if body else []
    return {
        name: File(fingerprint, int(size))
        for name, fingerprint, size in zip(values[::3], values[1::3], values[2::3], strict=True)
    }


def _text(name: str) -> str:
    """Return a name that may not be UTF-8 as a text that is."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def parted(path: str) -> tuple[str, str]:
    """Return the folder of a path, with a slash at its end, and the name."""
    folder, slash, name = path.rpartition("/")
    return folder + slash, name
