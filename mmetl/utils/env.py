"""The environment, read through an object that remembers what it was asked."""

from __future__ import annotations

import os
from collections.abc import Mapping


class Env:
    """Environment variables; `seen` says which were looked up, so that a kept answer can be checked later."""

    def __init__(self, values: Mapping[str, str] = os.environ) -> None:
        self._values = values
        self._seen: dict[str, str | None] = {}

    def get(self, name: str) -> str | None:
        """Return the value of a variable, or None when it is not set; an empty one is set."""
        value = self._values.get(name)
        self._seen[name] = value
        return value

    @property
    def seen(self) -> dict[str, str | None]:
        """Every name that was looked up, sorted, with the value that was found."""
        return dict(sorted(self._seen.items()))


_put: dict[str, str] = {}  # what stands in the environment because of us


def one_blas_thread() -> None:
    """Let numpy, when it is imported, start no thread for each core; what the environment says comes first.

    They cost every run that computes 30 to 40 ms, and an edit of one item a sixth of its time.
    """
    _put_default("OPENBLAS_NUM_THREADS", "1")


def frugal_libraries() -> None:
    """Let numpy and Arrow, when they are imported, take no more threads and memory than item-wise work needs.

    Arrow's own allocators give little back to the system: with them the texts of 5,000 documents leave 100 MB behind.
    """
    one_blas_thread()
    _put_default("ARROW_DEFAULT_MEMORY_POOL", "system")


def environment_of_commands() -> dict[str, str]:
    """Return the environment without what was put there for this process: a command has all cores."""
    return {name: value for name, value in os.environ.items() if _put.get(name) != value}


def _put_default(name: str, value: str) -> None:
    if name not in os.environ:
        os.environ[name] = _put[name] = value
