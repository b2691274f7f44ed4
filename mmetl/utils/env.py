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


def frugal_libraries() -> None:
    """Let numpy and Arrow, when they are imported, take no more threads and memory than item-wise work needs.

    A BLAS with a thread for each core costs an edit of one item a sixth of its time. Arrow's own allocators give little back to
    the system: with them the texts of 5,000 documents leave 100 MB behind. What the environment says comes first.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
