"""The state store: one SQLite file, opened cheaply, refused when it cannot be trusted.

The schema lives in `schema`, and `migrations` brings an older file to it (sqlite-utils, 190 ms to import); what runs on every start uses
`sqlite3` on the same file.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmetl.cache.layout import STATE_DIR, STATE_FILE
from mmetl.errors import RefusedError
from mmetl.utils.text import why_not

SCHEMA_VERSION = 6
APPLICATION_ID = 0x6D6D4554  # "mmET": tells our file from any other SQLite file
BUSY_S = 10.0  # longest wait for another process's short transaction
CACHE_KB = 16_000  # pages that a run keeps in memory; 2 MB are SQLite's own idea
JOURNAL_PAGES = 8_000  # 32 MB that a run writes before they are taken in: groups change the same pages again

NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ncpfs", "ceph", "glusterfs", "lustre", "beegfs"}
    | {"fuse.sshfs", "fuse.s3fs", "fuse.gcsfuse", "fuse.rclone"}
)
PERMISSIONS = "check the permissions of the folder"
MOUNTS = "/proc/self/mountinfo"


class Store:
    """The state of one project.

    Opening does not create anything: a project that never ran has no file, and reads answer "nothing". Where nothing can be
    written, a copy in memory stands in, so that one can look; `check` refuses.

    Args:
        root: the project's folder.

    Raises:
        RefusedError: when used, if the file is newer than this code, damaged, not ours, or on a network file system.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / STATE_DIR
        self.path = self.folder / STATE_FILE
        self._connection: sqlite3.Connection | None = None
        self._lock = threading.RLock()
        self._unwritable = ""  # why, once that is known

    def exists(self) -> bool:
        """Tell whether the state file is there."""
        try:
            os.stat(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as e:
            raise RefusedError(f"the state file '{self.path}' cannot be used: {why_not(e)}", help=PERMISSIONS) from e
        return True

    def check(self) -> None:
        """Open the state file for writing, making it if need be. Raises RefusedError if it cannot be used."""
        with self.transaction():
            pass
        if self._unwritable:
            raise RefusedError(
                f"the state folder '{self.folder}' cannot be written: {self._unwritable}", help=PERMISSIONS
            )
        self.rows(f"pragma cache_size = -{CACHE_KB}")
        self.rows(f"pragma wal_autocheckpoint = {JOURNAL_PAGES}")

    def version(self) -> int:
        """Return a number that changes when another connection has committed."""
        return int(self.rows("pragma data_version")[0][0]) if self.exists() else -1

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Return all rows of a query; nothing when the project has no state yet."""
        with self._lock:
            if self._connection is None and not self.exists():
                return []
            try:
                return self._open().execute(sql, parameters).fetchall()
            except sqlite3.DatabaseError as e:
                raise self._damaged(e) from e

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Open one write transaction: committed at the end, rolled back when the block raises."""
        with self._lock:
            connection = self._open()
            try:
                connection.execute("begin immediate")
                yield connection
                connection.execute("commit")
            except BaseException as e:
                with contextlib.suppress(sqlite3.Error):
                    if connection.in_transaction:
                        connection.execute("rollback")
                if isinstance(e, sqlite3.DatabaseError):
                    raise self._damaged(e) from e
                raise

    def close(self) -> None:
        """Close the connection; the store opens again when it is used again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        kind = file_system(self.folder if self.folder.exists() else self.root)
        if kind in NETWORK_FILE_SYSTEMS:
            raise RefusedError(
                f"'{self.folder}' is on a network file system ({kind}), where SQLite's locks cannot be trusted",
                help=f"keep the project on a local disk, or make '{STATE_DIR}' a link to a folder on one",
            )
        self._unwritable = self._make_folder()
        try:
            connection = self._copy() if self._unwritable else _connected(str(self.path))
        except sqlite3.DatabaseError as e:
            raise self._damaged(e) from e
        try:
            self._prepare(connection)
        except BaseException as e:
            connection.close()
            if isinstance(e, sqlite3.DatabaseError):
                raise self._damaged(e) from e
            raise
        return connection

    def _make_folder(self) -> str:
        """Make the state folder; return why it cannot be written, or nothing."""
        ignore = self.folder / ".gitignore"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not ignore.exists():
                ignore.write_text("*\n")
        except FileExistsError:
            raise RefusedError(
                f"'{self.folder}' is not a folder", help="move it away; mmETL keeps its state in a folder of that name"
            ) from None
        except OSError as e:
            return why_not(e)
        if self.path.is_dir():
            raise RefusedError(f"the state file '{self.path}' is a folder", help="move it away; mmETL makes its own")
        written = [p for p in (self.folder, self.path) if os.path.exists(p)]
        return "" if all(os.access(p, os.W_OK) for p in written) else "permission denied"

    def _copy(self) -> sqlite3.Connection:
        """Return what is in a state file that cannot be written, or nothing, in memory."""
        memory = _connected(":memory:")
        if self.exists():
            journal = Path(f"{self.path}-wal")
            how = "mode=ro" if journal.exists() and journal.stat().st_size else "immutable=1"
            with contextlib.closing(sqlite3.connect(f"{self.path.as_uri()}?{how}", uri=True)) as kept:
                kept.backup(memory)
        return memory

    def _prepare(self, connection: sqlite3.Connection) -> None:
        version = connection.execute("pragma user_version").fetchone()[0]
        if version == SCHEMA_VERSION:
            connection.execute("pragma synchronous = normal")
            return
        if version > SCHEMA_VERSION:
            raise RefusedError(
                f"'{self.path}' was written by a newer mmETL (schema {version}, this one knows {SCHEMA_VERSION})",
                help="upgrade mmETL, or move the file away to start over (parts are kept, tasks run again)",
            )
        if version == 0 and connection.execute("select count(*) from sqlite_master").fetchone()[0]:
            owner = connection.execute("pragma application_id").fetchone()[0]
            if owner != APPLICATION_ID:
                raise RefusedError(
                    f"'{self.path}' is a SQLite file, but not mmETL's",
                    help="move it away; mmETL makes its own",
                )
        connection.execute(f"pragma application_id = {APPLICATION_ID:d}")
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = normal")
        from mmetl.cache.schema import create

        if not create(connection, SCHEMA_VERSION):
            from mmetl.cache.migrations import migrate

            migrate(connection, SCHEMA_VERSION)

    def _damaged(self, error: sqlite3.DatabaseError) -> Exception:
        """Turn SQLite's word for a broken file into ours; other errors (busy, a full disk) keep their text."""
        text = str(error)
        if isinstance(error, sqlite3.OperationalError) and "malformed" not in text:
            return RefusedError(f"the state file '{self.path}' cannot be used: {text}", help=_mend(text))
        return RefusedError(
            f"the state file '{self.path}' is damaged ({text})",
            help="move it away to start over: outputs and parts are kept, tasks run again",
        )


def _connected(path: str) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)


def _mend(text: str) -> str:
    if "locked" in text:
        return "another process keeps it busy; try again when it has finished"
    if "readonly" in text or "unable to open" in text:
        return PERMISSIONS
    return "make room on the disk" if "full" in text else "check the disk"


def file_system(path: Path, mounts: str = MOUNTS) -> str:
    """Return the type of the file system that `path` is on, such as `ext4` or `nfs4`; empty where it is not known."""
    try:
        with open(mounts, encoding="utf-8", errors="replace") as f:
            lines = f.read().splitlines()
    except OSError:
        return ""
    real = os.path.realpath(path)
    best, kind = "", ""
    for line in lines:
        left, _, right = line.partition(" - ")
        mount = left.split(" ")[4].replace("\\040", " ")
        below = real == mount or real.startswith(mount.rstrip("/") + "/")
        if below and len(mount) >= len(best):
            best, kind = mount, right.split(" ")[0]
    return kind
