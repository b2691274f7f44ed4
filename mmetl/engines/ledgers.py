"""What a folder of files says of itself: which row each file is of, and which bytes mmETL has written under each name."""

from __future__ import annotations

import contextlib
import sqlite3
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from mmetl.contracts.artifact import Fingerprint

NAME = "names.sqlite"
_TABLES = """
create table if not exists files (id text primary key, name text not null, folded text not null, hash text not null) without rowid;
create index if not exists names on files (folded);
create table if not exists wanted (number integer primary key, name text not null, hash text not null);
create table if not exists gone (name text, hash text, primary key (name, hash)) without rowid;
"""


class Ledger:
    """The ledger of one folder, open for a change.

    `files` is what the folder is to hold; while a change is under way, `wanted` are the files still to be put in their places and `gone`
    are those that were there before. So after a kill all that was written here is known.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def begin_anew(self) -> None:
        """Take all that is known for what was here before."""
        self._db.execute("insert or ignore into gone select name, hash from files union select name, hash from wanted")
        self._db.execute("create temp table earlier (id text primary key) without rowid")
        self._db.execute("insert into earlier select id from files")
        self._db.execute("delete from files")
        self._db.execute("delete from wanted")

    def forget(self, identity: str) -> None:
        """Take the file of a row from those that the folder is to hold."""
        self._db.execute("insert or ignore into gone select name, hash from files where id = ?", (identity,))
        self._db.execute("delete from files where id = ?", (identity,))

    def put(self, identity: str, name: str, hashed: Fingerprint) -> None:
        """Note that a row is to have a file."""
        self._db.execute("insert into files values (?, ?, ?, ?)", (identity, name, folded(name), hashed))

    def want(self, name: str, hashed: Fingerprint) -> int:
        """Note a file that has to be written; return its number."""
        return self._db.execute("insert into wanted (name, hash) values (?, ?)", (name, hashed)).lastrowid or 0

    def had(self, identity: str) -> bool:
        """Tell whether a row had a file before everything was begun anew."""
        return bool(self._db.execute("select 1 from earlier where id = ?", (identity,)).fetchone())

    def lost(self) -> int:
        """Return how many rows had a file before everything was begun anew, and have none now."""
        sql = "select count(*) from earlier where id not in (select id from files)"
        return int(self._db.execute(sql).fetchone()[0])

    def is_wanted(self, name: str) -> bool:
        """Tell whether the folder is to hold a file of this name."""
        sql = "select 1 from files where folded = ? and name = ?"
        return bool(self._db.execute(sql, (folded(name), name)).fetchone())

    def wrote(self, name: str, hashed: Fingerprint) -> bool:
        """Tell whether bytes under a name were written here before."""
        return bool(self._db.execute("select 1 from gone where name = ? and hash = ?", (name, hashed)).fetchone())

    def wanted(self) -> Iterator[tuple[int, str]]:
        """Yield the number and the name of each file that has to be written."""
        yield from self._db.execute("select number, name from wanted order by number")

    def leaving(self) -> Iterator[str]:
        """Yield the names of the files that were there before, and have no place now."""
        yield from (name for (name,) in self._db.execute("select distinct name from gone order by name"))

    def clash(self) -> tuple[str, str] | None:
        """Return two names that cannot stand beside each other in one folder; None if all can."""
        twice = self._db.execute(
            "select min(name), max(name) from files group by folded having count(*) > 1 limit 1"
        ).fetchone()
        if twice:
            return twice[0], twice[1]
        for _, name in self.wanted():
            key = folded(name)
            above = [key[:i] for i, char in enumerate(key) if char == "/"]
            below = self._db.execute(
                "select name from files where folded > ? and folded < ? limit 1", (f"{key}/", f"{key}0")
            ).fetchone()  # "0" comes after "/"
            for folder in above:
                below = below or self._db.execute("select name from files where folded = ?", (folder,)).fetchone()
            if below:
                return name, below[0]
        return None

    def commit(self) -> None:
        """Let what is noted outlive a kill, and go on."""
        self._db.execute("commit")
        self._db.execute("begin")

    def settle(self) -> None:
        """Note that the folder holds what it is to hold."""
        self._db.execute("delete from wanted")
        self._db.execute("delete from gone")


@contextlib.contextmanager
def open_ledger(folder: Path, *, check: bool) -> Iterator[Ledger]:
    """Open a folder's ledger for one change.

    Args:
        folder: where it lies.
        check: whether it may be damaged; it begins empty then, and nothing that lies there is known for ours.
    """
    path = folder / NAME
    try:
        db = _connected(path, check=check)
    except sqlite3.DatabaseError:
        if not check:
            raise
        path.unlink()
        db = _connected(path, check=False)
    with contextlib.closing(db):
        db.execute("pragma synchronous = off")  # after a power cut the folder looks otherwise, and all is compared
        db.execute("begin immediate")
        yield Ledger(db)
        db.execute("commit")


def _connected(path: Path, *, check: bool) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None)
    try:
        if check:
            _refuse_damaged(db)
        db.executescript(_TABLES)
    except sqlite3.DatabaseError:
        db.close()
        raise
    return db


def _refuse_damaged(db: sqlite3.Connection) -> None:
    if db.execute("pragma quick_check").fetchone() != ("ok",):
        raise sqlite3.DatabaseError("damaged")


def folded(name: str) -> str:
    r"""Return a name as file systems compare it that know neither case nor Unicode forms.

    >>> folded("A/É.md") == folded("a/e\u0301.MD")
    True
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
