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
