"""The problems that are found while a pipeline is planned, each at its place in the YAML."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mmetl.config.loader import Loaded
from mmetl.errors import ConfigError, MmetlError, Problem

KeyPath = tuple[Any, ...]
"""The keys and positions that lead to a value of the YAML, such as `("tasks", "late", "params", "sql")`."""


class Findings:
    """Gathers problems.

    Args:
        loaded: the pipeline as read from YAML; what is wrong with that comes first.
    """

    def __init__(self, loaded: Loaded) -> None:
        self._source = loaded.source
        self._read_with = len(loaded.problems)
        self.problems: list[Problem] = list(loaded.problems)

    def add(self, what: str, path: KeyPath, help_: str = "", *, on_key: bool = False) -> None:
        """Note what is wrong at a place, and how to mend it."""
        self.problems.append(Problem(what, self.where(path, on_key=on_key), help_))

    def add_error(self, error: MmetlError, path: KeyPath, offset: int | None = None) -> None:
        """Note an error; one that does not know its place is `offset` characters into the value at `path`."""
        self.problems.append(Problem(error.what, error.where or self.where(path, offset=offset), error.help))

    def extend(self, problems: Iterable[Problem]) -> None:
        """Note problems that know their places."""
        self.problems += problems

    @property
    def of_planning(self) -> bool:
        """Whether anything was found that reading the YAML had not found."""
        return len(self.problems) > self._read_with

    def where(self, path: KeyPath, *, on_key: bool = False, offset: int | None = None) -> Any:
        """Return the position of a value, or of its key."""
        return self._source.locate(path, on_key=on_key, offset=offset)

    def as_error(self) -> ConfigError:
        """Return all of them, in the order of the YAML."""
        return ConfigError(sorted(dict.fromkeys(self.problems), key=self._source.order))
