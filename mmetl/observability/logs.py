"""One log file a task, opened when the first line is written; what a task prints goes there."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any, TextIO

from mmetl.errors import TaskError
from mmetl.utils.text import why_not

_local = threading.local()


HIDDEN = "***"  # stands in a log for the value of a secret
LONG_LINE = 65536  # characters after which a line is written before it ends
DRAIN_S = 2.0  # how long the last words of a command are waited for, where something it started keeps the pipe


class TaskLog(io.TextIOBase):
    """A text file that exists only once something was written. Line-buffered.

    With secrets, only whole lines are written, each after the values were taken out; what a child process prints comes
    through a pipe. A run that is killed leaves no value behind.

    Args:
        path: absolute path of the log.

    Attributes:
        secrets: values that must not reach the log, the longest first.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path
        self.secrets: tuple[str, ...] = ()
        self._file: TextIO | None = None
        self._held = ""  # the begin of a line
        self._guard = threading.Lock()
        self._pipe: tuple[int, threading.Thread] | None = None

    @property
    def name(self) -> str:
        """Where the log lies."""
        return self.path

    def writable(self) -> bool:
        """Tell that it can be written to."""
        return True

    def write(self, text: str) -> int:
        """Write text, opening the file at the first call. Raises TaskError if that cannot be."""
        file = self._open()
        if not self.secrets:
            return file.write(text)
        with self._guard:
            self._held += text
            self._write_held(whole=False)
        return len(text)

    def fileno(self) -> int:
        """Return a descriptor for a child process to write to; what it got is in the file after `flush`."""
        file = self._open()
        if not self.secrets:
            return file.fileno()
        if self._pipe is None:
            out, into = os.pipe()
            thread = threading.Thread(target=self._pump, args=(out,), daemon=True)
            thread.start()
            self._pipe = into, thread
        return self._pipe[0]

    def flush(self) -> None:
        """Write what came so far, the begin of a line too."""
        if self._pipe:
            into, thread = self._pipe
            self._pipe = None
            os.close(into)
            thread.join(DRAIN_S)
        if self._file:
            with self._guard:
                self._write_held(whole=True)
            self._file.flush()

    def close(self) -> None:
        """Close the file, if it was opened."""
        if self._file:
            with contextlib.suppress(OSError):
                self.flush()
            with contextlib.suppress(OSError), self._guard:
                self._file.close()
            self._file = None
        super().close()

    def redacted(self, text: str) -> str:
        """Return a text without the values of secrets."""
        for secret in self.secrets:
            text = text.replace(secret, HIDDEN)
        return text

    def _write_held(self, *, whole: bool) -> None:
        """Write the lines that have ended (or all); what may be the begin of a secret waits for its rest."""
        assert self._file
        end = len(self._held) if whole else self._held.rfind("\n") + 1
        if not end and len(self._held) > LONG_LINE:
            self._held = self.redacted(self._held)
            end = max(0, len(self._held) - len(self.secrets[0]))
        end -= 0 if whole else self._begun(self._held[:end])
        self._file.write(self.redacted(self._held[:end]))
        self._held = self._held[end:]

    def _begun(self, text: str) -> int:
        """Return how long the end of a text is that may be the first lines of a secret of several."""
        begins = (s[: n + 1] for s in self.secrets for n, c in enumerate(s[:-1]) if c == "\n")
        return max((len(b) for b in begins if text.endswith(b)), default=0)

    def _pump(self, out: int) -> None:
        with (
            contextlib.suppress(OSError, ValueError),  # the task is over, or the disk is full
            open(out, encoding="utf-8", errors="backslashreplace", newline="") as pipe,
        ):
            while text := pipe.readline(LONG_LINE):
                self.write(text)

    def _open(self) -> TextIO:
        if self._file is None:
            try:
                os.makedirs(os.path.dirname(self.path), exist_ok=True)
                self._file = open(self.path, "a", encoding="utf-8", errors="backslashreplace", buffering=1)  # noqa: SIM115
            except OSError as e:
                raise TaskError(f"its log '{self.path}' cannot be written: {why_not(e)}") from e
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

    def close(self) -> None:
        """Stay open: it is the other tasks' too."""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._outside.encoding


_routers: list[tuple[Any, Any]] = []


@contextlib.contextmanager
def routed_output() -> Iterator[None]:
    """Send what tasks print to their logs while the block runs; everything else goes where it went."""
    out, err = sys.stdout, sys.stderr
    _routers.append((_Router(out), _Router(err)))
    sys.stdout, sys.stderr = _routers[-1]
    try:
        yield
    finally:
        _routers.pop()
        sys.stdout, sys.stderr = out, err


class printing_to:  # noqa: N801  used as a function is
    """Send what this thread prints to a log while a block runs; only inside `routed_output`."""

    def __init__(self, log: TextIO) -> None:
        self._log = log

    def __enter__(self) -> None:
        _local.log = self._log

    def __exit__(self, *_: object) -> None:
        _local.log = None
        if _routers:  # a task may have put something else there, and left it
            sys.stdout, sys.stderr = _routers[-1]
