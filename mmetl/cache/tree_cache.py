"""Observe what globs stand for, and remember how folders looked; see `trees`."""

from __future__ import annotations

import os
import sqlite3
import struct
import threading
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import xxhash

from mmetl.cache.fingerprints import MISSING, FileCache, signature, unusable
from mmetl.cache.listing import list_folders
from mmetl.cache.store import Store
from mmetl.cache.trees import ENDS, Entry, File, Page, Tree, entry_of, packed, parted, unpacked
from mmetl.contracts.artifact import Fingerprint
from mmetl.utils.text import is_utf8, why_not

SIGNATURE_BYTES = 40
NO_SIGNATURE = bytes(SIGNATURE_BYTES)
"""Stands for a signature that is not to be trusted, or that there is none of; no file has it."""


class _Kept(NamedTuple):
    """A row of the table `folders`: a folder as it was last seen."""

    entry: Entry
    signatures: bytes


class _Signed(NamedTuple):
    """The signatures of a folder's files, in the order of their names, and over all of them."""

    names: list[str]
    stats: list[os.stat_result | OSError]
    each: list[bytes]
    whole: bytes


class TreeCache:
    """Observes trees, and remembers what folders looked like.

    Args:
        store: the project's store.
        files: the project's file cache: it knows what mmETL wrote.

    Attributes:
        wrote: whether pages were written, so that others may be of no use any more.
    """

    def __init__(self, store: Store, files: FileCache) -> None:
        self._store, self._files = store, files
        self._bodies: dict[Fingerprint, bytes] = {}  # pages that this process has made
        self._kept: dict[tuple[str, str], _Kept] = {}  # (glob, folder) -> what this process has seen
        self._racy: dict[tuple[str, str], dict[str, bytes]] = {}  # name -> a signature that alone does not tell
        self._changed: dict[tuple[str, str], _Kept | None] = {}
        self._new: set[Fingerprint] = set()
        self._lock = threading.Lock()  # tasks are decided about in one thread while another one commits
        self.wrote = False

    def observe(self, glob: str) -> Tree:
        """List a glob, and look at each of its files.

        Raises:
            TaskError: if it cannot be listed.
        """
        sql = "select folder, page, files, size_bytes, unusable, signature from folders where glob = ?"
        known = {folder: Entry(*rest) for folder, *rest in self._store.rows(sql, (glob,))}
        known.update({f: k.entry for (g, f), k in self._kept.items() if g == glob})
        found: dict[str, Entry] = {}
        for folder, names in list_folders(self._files.root, glob):
            signed = self._signed(folder, names)
            before = known.get(folder)
            if before is not None and before.signature == signed.whole:
                found[folder] = before
            else:
                found[folder] = self._look(glob, folder, signed, before)
        with self._lock:
            for folder in known.keys() - found.keys():
                self._kept.pop((glob, folder), None)
                self._changed[glob, folder] = None
        return Tree(found, self.page)

    def without(self, tree: Tree, paths: Iterable[str], below: str) -> Tree:
        """Return a tree without some files, and without all that is below a folder (empty: none)."""
        left_out = {p for p in paths if tree.find(p)}
        folders = {f: e for f, e in tree.folders.items() if not (below and f.startswith(below))}
        if not left_out and len(folders) == len(tree.folders):
            return tree
        for folder in {parted(p)[0] for p in left_out} & folders.keys():
            page = {name: file for name, file in tree.page(folder).items() if folder + name not in left_out}
            folders[folder] = self._keep(page)
            if not page:
                del folders[folder]
        return Tree(folders, self.page, tree, frozenset(left_out), below)

    def page(self, fingerprint: Fingerprint) -> Page:
        """Return the page with a fingerprint; an empty one where it is not kept."""
        body = self._bodies.get(fingerprint)
        if body is None:
            rows = self._store.rows("select body from pages where fingerprint = ?", (fingerprint,))
            body = rows[0][0] if rows else b""
        return unpacked(body)

    def moved(self, glob: str, tree: Tree, own: Iterable[str] = (), below: str = "") -> list[str]:
        """Return which files of a tree were written since it was observed, and the glob if it stands for others now.

        Args:
            glob: what the tree stands for.
            tree: as it was observed.
            own: files that do not count, whether they were there then or not.
            below: a folder, with a slash at its end, of which nothing counts; empty: none.

        Raises:
            TaskError: if it cannot be listed.
        """
        found: list[str] = []
        seen: set[str] = set()
        other = False
        left_out, below = {*tree.left_out, *own}, below or tree.below
        for folder, listed in list_folders(self._files.root, glob):
            if below and folder.startswith(below):
                continue
            names = [n for n in listed if folder + n not in left_out] if left_out else listed
            entry = tree.folders.get(folder)
            if not names:
                continue
            seen.add(folder)
            signed = self._signed(folder, names)
            if entry is not None and entry.signature == signed.whole:
                continue
            other = other or tree.page(folder).keys() != set(names)
            found += self._written(glob, folder, signed, tree)
        return [*found, glob] if other or seen != tree.folders.keys() else found

    def moved_among(self, glob: str, tree: Tree, paths: Iterable[str]) -> list[str]:
        """Return which of some files of a tree were written since it was observed."""
        inside: dict[str, list[str]] = {}
        for path in paths:
            folder, name = parted(path)
            inside.setdefault(folder, []).append(name)
        return [
            path
            for folder, names in inside.items()
            for path in self._written(glob, folder, self._signed(folder, names), tree)
        ]

    def start_over(self) -> None:
        """Forget what was observed: another process may have written since."""
        with self._lock:
            self._kept, self._racy, self._changed = {}, {}, {}

    def take_changes(self) -> TreeChanges:
        """Return what there is to write, and start anew."""
        with self._lock:
            changes = TreeChanges(self._changed, {p: self._bodies[p] for p in self._new})
            self.wrote = self.wrote or bool(self._new)
            self._changed, self._new = {}, set()
        return changes

    def _keep(self, page: Page, signed: bytes = b"") -> Entry:
        entry = entry_of(page, signed)
        with self._lock:
            if entry.page not in self._bodies:
                self._bodies[entry.page] = packed(page)
                self._new.add(entry.page)
        return entry

    def _signed(self, folder: str, names: list[str]) -> _Signed:
        base = self._files.full(folder)
        stats: list[os.stat_result | OSError] = []
        each: list[bytes] = []
        pack, stat = struct.Struct("<5q").pack, os.stat
        for name in names:
            try:
                st = stat(base + name)
                try:
                    each.append(pack(st.st_size, st.st_mtime_ns, st.st_ctime_ns, st.st_ino, st.st_dev))
                except struct.error:
                    each.append(signature(st))
                stats.append(st)
            except OSError as e:
                stats.append(e)
                each.append(NO_SIGNATURE)
        said = b"\0".join([ENDS.join(names).encode(errors="surrogateescape"), b"", *each])
        return _Signed(names, stats, each, xxhash.xxh3_128_digest(said))

    def _look(self, glob: str, folder: str, signed: _Signed, before: Entry | None) -> Entry:
        """Look into the files of a folder that do not look as they did."""
        old = self._signatures(glob, folder, before) if before else {}
        page_before = self.page(before.page) if before and old else {}
        page: Page = {}
        kept: list[bytes] = []
        racy: dict[str, bytes] = {}
        for name, st, sig in zip(signed.names, signed.stats, signed.each, strict=True):
            if isinstance(st, OSError):
                gone = isinstance(st, FileNotFoundError | NotADirectoryError)
                page[name] = File(MISSING if gone else unusable(why_not(st)), 0)
                kept.append(NO_SIGNATURE)
            elif old.get(name) == sig:
                page[name] = page_before[name]
                kept.append(sig)
            else:
                looked = self._files.look(folder + name, st, sig)
                page[name] = File(looked.fingerprint, int.from_bytes(looked.signature[:8], "little"))
                kept.append(looked.signature if looked.certain else NO_SIGNATURE)
                if not looked.certain:
                    racy[name] = looked.signature
        entry = self._keep(page, b"" if NO_SIGNATURE in kept else signed.whole)
        with self._lock:
            self._racy[glob, folder] = racy
            self._kept[glob, folder] = _Kept(entry, b"".join(kept))
            if is_utf8(folder):  # else it could not be a row of the state
                self._changed[glob, folder] = self._kept[glob, folder]
        return entry

    def _signatures(self, glob: str, folder: str, entry: Entry) -> dict[str, bytes]:
        """Return the signatures that the files of an entry had, by name; none if another process has seen others since."""
        kept = self._kept.get((glob, folder))
        signatures = kept.signatures if kept and kept.entry == entry else b""
        if kept is None:
            sql = "select signatures from folders where glob = ? and folder = ? and page = ? and signature = ?"
            rows = self._store.rows(sql, (glob, folder, entry.page, entry.signature))
            signatures = rows[0][0] if rows else b""
        starts = range(0, len(signatures), SIGNATURE_BYTES)
        each = (signatures[i : i + SIGNATURE_BYTES] for i in starts)
        return dict(zip(self.page(entry.page), each, strict=False))

    def _written(self, glob: str, folder: str, signed: _Signed, tree: Tree) -> list[str]:
        """Return the files of a folder that were written since they were seen, even if they have the same bytes again."""
        entry = tree.whole.folders.get(folder)
        if entry is None:
            return []
        before, racy = self._signatures(glob, folder, entry), self._racy.get((glob, folder), {})
        found = []
        page = tree.page(folder)
        for name, st, sig in zip(signed.names, signed.stats, signed.each, strict=True):
            file = page.get(name)
            if file is None:
                continue
            if isinstance(st, OSError):
                moved = file.fingerprint != MISSING
            elif name in racy:  # it was young when it was hashed: its bytes are compared, too
                again = self._files.look(folder + name, st, sig)
                moved = racy[name] != sig or again.fingerprint != file.fingerprint
            else:
                moved = before.get(name) != sig
            if moved:
                found.append(folder + name)
        return found


class TreeChanges(NamedTuple):
    """What a tree cache learnt: (glob, folder) -> how it looks, None for one that is gone; fingerprint -> body of new pages."""

    folders: Mapping[tuple[str, str], _Kept | None]
    pages: Mapping[Fingerprint, bytes]


def write_trees(db: sqlite3.Connection, changes: TreeChanges) -> None:
    """Write back what a tree cache learnt."""
    db.executemany("insert or ignore into pages values (?, ?)", changes.pages.items())
    db.executemany(
        "insert or replace into folders values (?, ?, ?, ?, ?, ?, ?, ?)",
        [(*key, *kept.entry, kept.signatures) for key, kept in changes.folders.items() if kept],
    )
    db.executemany(
        "delete from folders where glob = ? and folder = ?", [key for key, kept in changes.folders.items() if not kept]
    )


def drop_folders(db: sqlite3.Connection) -> None:
    """Forget how folders looked that no task's last success has read by the same glob, and their pages."""
    db.execute("delete from folders where glob not in (select g.key from tasks, json_each(trees) g)")
    drop_pages(db)


def drop_pages(db: sqlite3.Connection) -> None:
    """Remove pages that neither a folder nor a task's record has."""
    db.execute(
        "delete from pages where fingerprint not in (select page from folders union"
        " select json_extract(f.value, '$[0]') from tasks, json_each(trees) g, json_each(g.value) f where trees <> '{}')"
    )
