"""Pools: how many tasks of a kind may run at the same time, whatever `--jobs` says."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping

from mmetl.contracts.plan import TaskDetail


class Pools:
    """Counts who is in which pool. For one thread: the one that hands out tasks.

    Args:
        sizes: pool -> how many tasks it lets in.
        pool_of: task -> its pool; tasks that are not in it need none.
    """

    def __init__(self, sizes: Mapping[str, int], pool_of: Mapping[str, str]) -> None:
        self._free = dict(sizes)
        self._pool_of = pool_of
        self._inside: set[str] = set()

    def enter(self, task: str) -> bool:
        """Let a task in; return False, and change nothing, if its pool is full."""
        pool = self._pool_of.get(task)
        if pool is None:
            return True
        if not self._free[pool]:
            return False
        self._free[pool] -= 1
        self._inside.add(task)
        return True

    def leave(self, task: str) -> None:
        """Give the task's place back, if it has one."""
        if task in self._inside:
            self._inside.remove(task)
            self._free[self._pool_of[task]] += 1


class Gates:
    """Pools for threads that have been given their tasks already: one whose pool is full waits.

    That is all that can be done in a plain `doit run -n`, whose runner is doit's own: a thread that waits does nothing else.

    Args:
        details: task -> its detail.
    """

    def __init__(self, details: Mapping[str, TaskDetail]) -> None:
        pools = {d.pool: threading.Semaphore(d.pool_size) for d in details.values() if d.pool}
        self._gates = {task: pools[d.pool] for task, d in details.items() if d.pool}

    @contextlib.contextmanager
    def entered(self, task: str) -> Iterator[None]:
        """Hold a place in the pool of a task, if it has one, while the block runs."""
        with self._gates.get(task, contextlib.nullcontext()):
            yield
