"""Targets: indexes and stores outside the artifacts, kept equal to a table by differences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from mmetl.contracts.artifact import Fingerprint


class Applied(NamedTuple):
    """What a target holds, by its own word.

    Attributes:
        manifest: fingerprint of the manifest of the table that it is equal to.
        spec: what it was made with: params, versions of its own format.
    """

    manifest: Fingerprint
    spec: str


MANY = 1000


class Difference(NamedTuple):
    """What makes a target that holds one table hold another.

    Attributes:
        whole: whether the target is to be made anew: `rows` are then all rows.
        deleted: identities of rows that are gone (32 hex digits: the hash of the key).
        rows: tables of new and changed rows; their first column, `_id`, is the identity, for targets that need one. Can be read once.
        counts: how many rows were added, changed, removed, and are unchanged.
        old: tables of the rows that are gone or changed, as they were, in the form of `rows`. Can be read once; nothing is read
            for a target that does not ask.
    """

    whole: bool
    deleted: Sequence[str]
    rows: Iterator[Any]
    counts: Mapping[str, int]
    old: Iterator[Any] = iter(())

    @property
    def exchanges_most(self) -> bool:
        """Tell whether more than half of many rows are to be exchanged, of a target that holds some."""
        unchanged = self.counts.get("unchanged", 0)
        others = sum(self.counts.get(word, 0) for word in ("added", "changed", "removed"))
        return not self.whole and others > max(unchanged, MANY)


class Target(Protocol):
    """A place that is kept equal to a table.

    Whether anybody else has changed it is not its own business: mmETL compares the look of its folder (see cache.looks) before any
    engine is imported. A target that was changed, or whose update was cut short, is made anew, or compared row by row.
    """

    def applied(self) -> Applied | None:
        """Return what it holds; None if it holds nothing, or cannot tell."""
        ...

    def apply(self, difference: Difference, now: Applied) -> Mapping[str, int]:
        """Take a difference over, durably; return how many rows were added, changed, removed, and are unchanged.

        Raises:
            TaskError: for rows that it cannot hold.
            AnewError: if it has to be made anew to hold them; it may then be in any state.
        """
        ...

    def drop(self) -> None:
        """Remove all that it has written."""
        ...
