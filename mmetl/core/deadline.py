"""Stop work that takes too long: the engine is interrupted, and Python code gets an exception at its next line."""

from __future__ import annotations

import contextlib
import ctypes
import threading
from collections.abc import Callable, Iterator

from mmetl.errors import TaskTimeoutError


class _Expired(BaseException):
    """Raised inside the working thread; not an Exception, so that a task cannot swallow it by accident."""


class Cancellation:
    """The ways to stop one running task; transforms add theirs."""

    def __init__(self) -> None:
        self._stops: list[Callable[[], None]] = []

    def add(self, stop: Callable[[], None]) -> None:
        """Register a function that interrupts the work from another thread."""
        self._stops.append(stop)

    def stop(self) -> None:
        """Interrupt the work; a stop that fails must not keep the others from trying."""
        for stop in self._stops:
            with contextlib.suppress(Exception):
                stop()


@contextlib.contextmanager
def deadline(seconds: float | None, cancellation: Cancellation) -> Iterator[None]:
    """Run the block for at most `seconds` (None: as long as it takes).

    Raises:
        TaskTimeoutError: when the time is up. Code that blocks inside a C library notices when it returns, unless a
            registered stop interrupts it.
    """
    if seconds is None:
        yield
        return
    thread = threading.get_ident()
    expired = threading.Event()

    def expire() -> None:
        expired.set()
        cancellation.stop()
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(_Expired))

    timer = threading.Timer(seconds, expire)
    timer.daemon = True
    timer.start()
    try:
        yield
        timer.cancel()
        if expired.is_set():
            raise _Expired  # noqa: TRY301  the block ended just as the time was up
    except BaseException as e:
        timer.cancel()
        if not expired.is_set():
            raise
        raise TaskTimeoutError(f"it took longer than its timeout_s of {seconds:g}") from (
            None if isinstance(e, _Expired) else e
        )
