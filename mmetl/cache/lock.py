"""The run lock: one run at a time in a project; it dies with its process, and says who holds it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmetl.errors import RefusedError
from mmetl.utils.text import why_not

RUN_LOCK = "run.lock"
READERS_LOCK = "readers.lock"


class RunLock:
    """An exclusive lock on a file in the state folder. The kernel drops it when the process ends, however it ends.

    Args:
        folder: the state folder; it must exist.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / RUN_LOCK
        self._fd: int | None = None

    def acquire(self, what: str) -> None:
        """Take the lock; `what` is a run id or the name of a command, told to whoever comes second.

        Raises:
            RefusedError: naming the process that holds it.
        """
        try:
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as e:
            raise self._refused(e) from e
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _write(fd, {"pid": os.getpid(), "what": what})
        except BlockingIOError:
            held = _read(fd)
            os.close(fd)
            pid = held.get("pid", "unknown")
            raise RefusedError(
                f"another run holds this project: pid {pid} ({held.get('what', 'starting')})",
                help=f"wait for it to finish, or stop it: kill {pid}",
            ) from None
        except OSError as e:
            os.close(fd)
            raise self._refused(e) from e
        self._fd = fd

    def _refused(self, error: OSError) -> RefusedError:
        return RefusedError(
            f"'{self.path}' cannot be written: {why_not(error)}", help="check the disk and the permissions"
        )

    def release(self) -> None:
        """Give the lock back; nothing happens when it is not held."""
        if self._fd is not None:
            os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._fd is not None

    def is_free(self) -> bool:
        """Tell whether no process holds the lock."""
        try:
            fd = os.open(self.path, os.O_RDONLY)
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return False
        else:
            return True
        finally:
            os.close(fd)


def _write(fd: int, holder: dict[str, Any]) -> None:
    text = json.dumps(holder).encode()
    os.ftruncate(fd, 0)
    if os.pwrite(fd, text, 0) < len(text):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _read(fd: int) -> dict[str, Any]:
    with contextlib.suppress(ValueError):
        return dict(json.loads(os.pread(fd, 4096, 0)))
    return {}


@contextlib.contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Hold parts in place while they are read: garbage collection leaves them until every reader is done.

    Where the lock cannot be made, nothing can be removed either.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            fd = _open_shared(folder)
            stack.callback(os.close, fd)
            fcntl.flock(fd, fcntl.LOCK_SH)
        yield


def _open_shared(folder: Path) -> int:
    path = folder / READERS_LOCK
    try:
        return os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        folder.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)


@contextlib.contextmanager
def no_readers(folder: Path) -> Iterator[bool]:
    """Yield True while nobody reads parts (and nobody can start to); False, without waiting, if somebody does."""
    fd = os.open(folder / READERS_LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(fd)
