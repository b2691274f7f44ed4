"""A folder of files as a target: one file a row, written where it differs, and nothing else in the folder."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import xxhash

from mmetl.cache.artifacts import sync
from mmetl.cache.fingerprints import MISSING, hash_file
from mmetl.contracts.artifact import Fingerprint
from mmetl.contracts.target import Applied, Difference
from mmetl.engines.ledgers import Ledger, open_ledger
from mmetl.engines.stamps import is_begun, mark_begun, read_stamp, write_stamp
from mmetl.errors import TaskError
from mmetl.utils.text import is_utf8

OWN = ".mmetl-files"
"""The folder inside of the folder, where it is kept what it holds."""

STAGED = "new"


class File(NamedTuple):
    """What a row is to be as a file: its name inside the folder, with slashes, and its bytes."""

    name: str
    content: bytes


class FileFolder:
    """A target in a folder of its own.

    Files are made aside, all of them, before the first is put in its place: what cannot be written leaves the folder as it was.

    Args:
        folder: where it lies.
        render: makes a file of each row of a table.
        aside: moves a file that mmETL did not write, or that was changed since, out of the way.
    """

    def __init__(self, folder: Path, render: Callable[[Any], Iterable[File]], aside: Callable[[Path], None]) -> None:
        self.folder = folder
        self._own = folder / OWN
        self._render, self._aside = render, aside

    def applied(self) -> Applied | None:
        """See `Target`."""
        return read_stamp(self._own)

    def apply(self, difference: Difference, now: Applied) -> Mapping[str, int]:
        """See `Target`. A folder that was changed is not made anew: each file is compared, and mended where it differs."""
        self._claim()
        shutil.rmtree(self._own / STAGED, ignore_errors=True)
        (self._own / STAGED).mkdir(parents=True)
        if self.applied() is None:
            mark_begun(self._own)
        try:
            with open_ledger(self._own, check=difference.whole) as ledger:
                counts = self._stage_all(ledger, difference) if difference.whole else self._stage(ledger, difference)
                _refuse_clash(ledger)
                ledger.commit()
                self._publish(ledger, strays=difference.whole)
                sync(str(self.folder / name) for _, name in ledger.wanted())
                ledger.settle()
        finally:
            shutil.rmtree(self._own / STAGED, ignore_errors=True)
        write_stamp(self._own, now)
        return counts

    def drop(self) -> None:
        """See `Target`. What it has not written stays."""
        self._claim()
        self._own.mkdir(exist_ok=True)
        with open_ledger(self._own, check=True) as ledger:
            ledger.begin_anew()
            self._remove(ledger)
        shutil.rmtree(self._own)
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    # --- inside

    def _claim(self) -> None:
        """Make the folder. Raises TaskError if it is there, holds something, and is not ours."""
        if not self.folder.is_dir() or not any(self.folder.iterdir()):
            self.folder.mkdir(parents=True, exist_ok=True)
        elif read_stamp(self._own) is None and not is_begun(self._own):
            raise TaskError(
                f"'{self.folder.name}' is not empty, and was not made by this task",
                help="choose another `path`, or empty the folder",
            )

    def _stage(self, ledger: Ledger, difference: Difference) -> Mapping[str, int]:
        """Make the files of new and changed rows aside."""
        for identity in difference.deleted:
            ledger.forget(identity)
        for identity, file, hashed in self._files(difference.rows):
            ledger.forget(identity)
            self._stage_one(ledger, identity, file, hashed)
        return difference.counts

    def _stage_all(self, ledger: Ledger, difference: Difference) -> Mapping[str, int]:
        """Make those files aside that differ from what lies in the folder."""
        ledger.begin_anew()
        counts: Counter[str] = Counter()
        for identity, file, hashed in self._files(difference.rows):
            if _hash_of(self.folder / file.name) == hashed:
                ledger.put(identity, file.name, hashed)
                counts["unchanged"] += 1
            else:
                self._stage_one(ledger, identity, file, hashed)
                counts["changed" if ledger.had(identity) else "added"] += 1
        counts["removed"] = ledger.lost()
        return {kind: counts[kind] for kind in ("added", "changed", "removed", "unchanged") if counts[kind]}

    def _stage_one(self, ledger: Ledger, identity: str, file: File, hashed: Fingerprint) -> None:
        ledger.put(identity, file.name, hashed)
        number = ledger.want(file.name, hashed)
        (self._own / STAGED / str(number)).write_bytes(file.content)

    def _files(self, rows: Iterable[Any]) -> Iterator[tuple[str, File, Fingerprint]]:
        for table in rows:
            for identity, file in zip(table.column(0).to_pylist(), self._render(table), strict=True):
                yield identity, file, xxhash.xxh3_128_hexdigest(file.content)

    def _publish(self, ledger: Ledger, *, strays: bool) -> None:
        """Make the folder hold what it is to hold: first what has to go, then what comes."""
        self._remove(ledger)
        if strays:
            for path in list(self._strays(ledger)):
                self._aside(path)
        for number, name in ledger.wanted():
            place = self.folder / name
            self._make_room(ledger, name, place)
            os.replace(self._own / STAGED / str(number), place)

    def _make_room(self, ledger: Ledger, name: str, place: Path) -> None:
        """Make the folders above a file; move aside what stands in its place and was not written here."""
        place.parent.mkdir(parents=True, exist_ok=True)
        found = _hash_of(place)
        if found != MISSING and not ledger.wrote(name, found):
            self._aside(place)

    def _remove(self, ledger: Ledger) -> None:
        """Remove the files that have no place any more, and the folders that are empty then; those that were changed go aside."""
        emptied: set[Path] = set()
        for name in ledger.leaving():
            place = self.folder / name
            found = MISSING if ledger.is_wanted(name) else _hash_of(place)
            if found == MISSING:
                continue
            if ledger.wrote(name, found):
                place.unlink()
            else:
                self._aside(place)
            emptied.update(p for p in place.parents if p != self.folder and self.folder in p.parents)
        for folder in sorted(emptied, key=lambda p: -len(p.parts)):
            with contextlib.suppress(OSError):
                folder.rmdir()

    def _strays(self, ledger: Ledger) -> Iterator[Path]:
        """Yield the files and links that nobody wants here."""
        for where, folders, names in os.walk(self.folder):
            if OWN in folders and where == str(self.folder):
                folders.remove(OWN)
            links = [n for n in folders if os.path.islink(os.path.join(where, n))]
            for path in (Path(where, n) for n in (*names, *links)):
                name = path.relative_to(self.folder).as_posix()
                if path.is_symlink() or not is_utf8(name) or not ledger.is_wanted(name):
                    yield path


def _hash_of(place: Path) -> Fingerprint:
    """Return what lies in a place; MISSING if nothing does, an empty text for what is no plain file."""
    if place.is_file() and not place.is_symlink():
        return hash_file(str(place))
    return "" if os.path.lexists(place) else MISSING


def _refuse_clash(ledger: Ledger) -> None:
    found = ledger.clash()
    if found is None:
        return
    one, other = found
    if one == other:
        what, help_ = f"two rows would be written to '{one}'", "name them by more columns in `name`"
    elif other.startswith(f"{one}/") or one.startswith(f"{other}/"):
        what = f"'{min(found, key=len)}' would be a file and a folder: '{max(found, key=len)}' lies in it"
        help_ = "name them by more columns in `name`"
    else:
        what = f"'{one}' and '{other}' would be one file on many file systems"
        help_ = "case and Unicode forms tell no files apart: name them by more columns in `name`"
    raise TaskError(what, help=help_)
