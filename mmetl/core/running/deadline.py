"""Stop work that takes too long: the engine is interrupted, and Python code gets an exception at its next line."""

from __future__ import annotations

import contextlib
import ctypes
import queue
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, TypeVar

from mmetl.errors import TaskTimeoutError

Made = TypeVar("Made")

NOTICE_S = 0.5  # longest time until a thread that waits notices a signal


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


def limited(seconds: float | None, cancellation: Cancellation, work: Callable[[], Made]) -> Made:
    """Do some work in at most `seconds` (None: as long as it takes); return what it returns.

    A function, not a context manager: the exception that ends the work may come at any line of Python, also on the way into a `with`
    and out of it.

    Raises:
        TaskTimeoutError: when the time is up. Code that blocks inside a C library notices when it returns, unless a
            registered stop interrupts it.
    """
    if seconds is None:
        return work()
    alarm = _Alarm(threading.get_ident(), cancellation)
    timer = threading.Timer(min(seconds, threading.TIMEOUT_MAX), alarm.ring)
    timer.daemon = True
    try:
        try:
            timer.start()
            made = work()
        finally:
            timer.cancel()
            alarm.switch_off()  # from here on it comes no more
        if alarm.rang:
            raise _Expired  # noqa: TRY301  the work ended just as the time was up
    except BaseException as e:
        if not alarm.rang:
            raise
        raise TaskTimeoutError(f"it took longer than its timeout_s of {seconds:g}") from (
            None if isinstance(e, _Expired) else e
        )
    return made


@contextlib.contextmanager
def deaf() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM wait for nothing and interrupt nothing while the block runs; for the main thread."""
    before = [(sig, signal.signal(sig, signal.SIG_IGN)) for sig in (signal.SIGINT, signal.SIGTERM)]
    try:
        yield
    finally:
        for sig, handler in before:
            signal.signal(sig, handler)


class Interrupts:
    """What asks a run to stop: Ctrl-C, and SIGTERM likewise.

    A library may make another exception of the KeyboardInterrupt (DuckDB does), or lose it: so it is noted.
    """

    def __init__(self) -> None:
        self.seen = False

    def listen(self) -> None:
        """Take the signals from now on; for the main thread. One that the process was told to ignore stays ignored."""
        for sig in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(sig) != signal.SIG_IGN:
                signal.signal(sig, self._note)

    @property
    def here(self) -> bool:
        """Whether this thread is the one to end the run, since it was asked to."""
        return self.seen and threading.current_thread() is threading.main_thread()

    def _note(self, _signal: int, _frame: FrameType | None) -> None:
        self.seen = True
        raise KeyboardInterrupt


class WakefulQueue(queue.Queue[Any]):
    """A queue whose reader looks up now and then.

    A signal that comes just before Python's main thread begins to wait is noticed only when it does something again.
    """

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Return the next item, as soon as there is one."""
        while True:
            try:
                return super().get(block, NOTICE_S if timeout is None else timeout)
            except queue.Empty:
                if timeout is not None or not block:
                    raise


def interrupt(thread: int) -> None:
    """Raise `_Expired` in another thread, at its next line of Python."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(_Expired))


class _Alarm:
    """Interrupts one thread once, and never after it was switched off."""

    def __init__(self, thread: int, cancellation: Cancellation) -> None:
        self.rang = False
        self._thread = thread
        self._cancellation = cancellation
        self._off = False
        self._guard = threading.Lock()

    def ring(self) -> None:
        """Raise `_Expired` in the thread, and stop what it waits for."""
        with self._guard:
            if self._off:
                return
            self.rang = True
            interrupt(self._thread)
        self._cancellation.stop()

    def switch_off(self) -> None:
        """Take back an exception that was not delivered yet."""
        with self._guard:
            self._off = True
            if self.rang:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread), None)
