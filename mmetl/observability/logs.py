"""One log file a task, opened when the first line is written; what a task prints goes there."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading
from collections.abc import Iterator
from typing import TextIO

_local = threading.local()


HIDDEN = "***"  # stands in a log for the value of a secret


class TaskLog(io.TextIOBase):
    """A text file that exists only once something was written. Line-buffered.

    Args:
        path: absolute path of the log.

    Attributes:
        secrets: values that must not stay in the log.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path
        self.secrets: tuple[str, ...] = ()
        self._file: TextIO | None = None

    @property
    def name(self) -> str:
        """Where the log lies."""
        return self.path

    def writable(self) -> bool:
        """Tell that it can be written to."""
        return True

    def write(self, text: str) -> int:
        """Write text, opening the file at the first call."""
        return self._open().write(self.redacted(text))

    def fileno(self) -> int:
        """Return the file's descriptor, for a child process to write to."""
        return self._open().fileno()

    def flush(self) -> None:
        """Flush what was written."""
        if self._file:
            self._file.flush()

    def close(self) -> None:
        """Close the file, if it was opened."""
        if self._file:
            self._file.close()
            self._file = None
            if self.secrets:
                self._redact_file()
        super().close()

    def redacted(self, text: str) -> str:
        """Return a text without the values of secrets."""
        for secret in self.secrets:
            text = text.replace(secret, HIDDEN)
        return text

    def _redact_file(self) -> None:
        """Take out what a child process wrote, or what came in pieces."""
        with open(self.path, "r+b") as f:
            data = f.read()
            clean = data
            for secret in self.secrets:
                clean = clean.replace(secret.encode(), HIDDEN.encode())
            if clean != data:
                f.seek(0)
                f.write(clean)
                f.truncate()

    def _open(self) -> TextIO:
        if self._file is None:
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            self._file = open(self.path, "a", encoding="utf-8", errors="backslashreplace", buffering=1)  # noqa: SIM115
        return self._file


class _Router(io.TextIOBase):
    """Stands in for sys.stdout or sys.stderr: each thread's text goes to the log of the task that it runs."""

    def __init__(self, outside: TextIO) -> None:
        super().__init__()
        self._outside = outside

    def _target(self) -> TextIO:
        return getattr(_local, "log", None) or self._outside

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        return self._target().write(text)

    def flush(self) -> None:
        self._target().flush()

    def isatty(self) -> bool:
        return self._target().isatty()

    def fileno(self) -> int:
        return self._target().fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._outside.encoding


@contextlib.contextmanager
def routed_output() -> Iterator[None]:
    """Send what tasks print to their logs while the block runs; everything else goes where it went."""
    out, err = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _Router(out), _Router(err)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = out, err


@contextlib.contextmanager
def printing_to(log: TextIO) -> Iterator[None]:
    """Send what this thread prints to a log; only inside `routed_output`."""
    _local.log = log
    try:
        yield
    finally:
        _local.log = None
