"""Processes on this machine: a call that crashes, hangs or eats memory costs that call and nothing else."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, NamedTuple, TextIO

from mmetl import errors
from mmetl.errors import MmetlError, TaskError

START_S = 60.0


class Lost(NamedTuple):
    """A call without an answer.

    Attributes:
        why: such as `it took longer than 60 s`.
    """

    why: str


class LocalWorkers:
    """Calls one function in worker processes, which are started when there is something to do and kept until `close`.

    Args:
        entry: `module:function`, imported in the worker; arguments and results are pickled.
        slots: how many processes, at most.
        timeout_s: of one call, in seconds; 0: no limit.
        memory_mb: of one process, in megabytes; 0: no limit.
        log: where tracebacks go.
        called: what messages call the process.
    """

    def __init__(
        self,
        entry: str,
        slots: int,
        *,
        timeout_s: float = 0.0,
        memory_mb: float = 0.0,
        log: TextIO,
        called: str = "the process that read it",
    ) -> None:
        self._entry, self.slots, self._timeout_s, self._log = entry, slots, timeout_s, log
        self._called = called
        self._memory_mb = memory_mb
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()
        self._closed = False

    def map(self, calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Return what the function returns for each tuple of arguments, in their order, or why there is nothing (`Lost`).

        Raises:
            MmetlError: what the function raised of it; for one call that is the end of all.
            TaskError: if `close` was called meanwhile, or a worker cannot start.
        """
        if not calls:
            return []
        with ThreadPoolExecutor(min(self.slots, len(calls))) as pool:
            return list(pool.map(self._call, calls))

    def stream(self, calls: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
        """Yield what `map` returns, one after the other; of the calls, two for each process are taken ahead.

        Raises:
            MmetlError: as `map`; the workers are then ended.
        """
        with ThreadPoolExecutor(self.slots) as pool:
            under_way: deque[Future[Any]] = deque()
            try:
                for call in calls:
                    under_way.append(pool.submit(self._call, call))
                    while len(under_way) >= 2 * self.slots or (under_way and under_way[0].done()):
                        yield under_way.popleft().result()
                while under_way:
                    yield under_way.popleft().result()
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """End all workers, also those that are at work. It may be called from any thread, and more than once."""
        with self._lock:
            self._closed = True
            ended, self._all, self._idle = self._all, set(), []
        for worker in ended:
            worker.end()

    def _call(self, call: tuple[Any, ...]) -> Any:
        worker = self._take()
        answer = worker.ask(call, self._timeout_s)
        if self._closed:
            raise TaskError("the run was interrupted")
        if isinstance(answer, Lost):
            worker.end()
            with self._lock:
                self._all.discard(worker)
            return answer
        with self._lock:
            self._idle.append(worker)
        return self._told(answer)

    def _told(self, answer: tuple[Any, ...]) -> Any:
        kind = answer[0]
        if kind == "value":
            return answer[1]
        if kind == "refused":
            _, name, what, help_ = answer
            raised: type[MmetlError] = getattr(errors, name, TaskError)
            raise raised(what, help=help_)
        if kind == "memory":
            return Lost(f"it needs more than {self._memory_mb:g} MB of memory")
        _, first, trace = answer
        self._log.write(trace)
        return Lost(first)

    def _take(self) -> _Worker:
        with self._lock:
            if self._closed:
                raise TaskError("the run was interrupted")
            if self._idle:
                return self._idle.pop()
            worker = _Worker(self._entry, self._timeout_s, int(self._memory_mb * 1_000_000), self._called)
            self._all.add(worker)
        ready = worker.ask(None, START_S)
        if isinstance(ready, Lost) and not self._closed:
            raise TaskError(
                f"a worker process did not start: {ready.why}",
                help="see whether `python -m mmetl doctor` finds something",
            )
        return worker


class _Worker:
    """One process and the pipe to it."""

    def __init__(self, entry: str, timeout_s: float, memory_bytes: int, called: str) -> None:
        self._called = called
        self._pipe, theirs = Pipe()
        argv = [sys.executable, "-m", "mmetl.workers.child", entry, str(theirs.fileno()), str(timeout_s)]
        self._process = subprocess.Popen(
            [*argv, str(memory_bytes)],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # a library that prints must not disturb `--json`
            stderr=subprocess.DEVNULL,
            process_group=0,  # what it starts ends with it
        )
        theirs.close()

    def ask(self, call: tuple[Any, ...] | None, timeout_s: float) -> Any:
        """Send a call, if there is one, and return the answer, or why there is none."""
        pipe: Connection[Any, Any] = self._pipe
        try:
            if call is not None:
                pipe.send(call)
            if not pipe.poll(timeout_s or None):
                return Lost(f"it took longer than {timeout_s:g} s")
            return pipe.recv()
        except (EOFError, OSError):
            return Lost(self._died())

    def _died(self) -> str:
        try:
            code = self._process.wait(1)
        except subprocess.TimeoutExpired:
            return f"{self._called} stopped answering"
        if code < 0:
            return f"{self._called} crashed ({signal.Signals(-code).name})"
        return f"{self._called} ended (exit code {code})"

    def end(self) -> None:
        """Kill the process, with those that it has started, and wait for it."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._pipe.close()
