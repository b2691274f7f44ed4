"""Pools: how many tasks of a kind may run at the same time, whatever `--jobs` says."""

from __future__ import annotations

from collections.abc import Mapping


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
