"""Transforms of two steps: what one item alone decides is kept as that of items, then all of them decide about the rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mmetl.contracts.artifact import Fingerprint, encode
from mmetl.contracts.items import Basis, Earlier, ItemIndex, Unit
from mmetl.utils.hashing import xxh3_hex

ROWS = "rows "
"""What the input of a unit begins with that is no part of an input, but one with what is said of its rows."""


class EarlierStep:
    """The `Earlier` of the first step: what decides about the rows alone makes none of its items new.

    Args:
        whole: that of the task.
        recipe: of the first step.
    """

    def __init__(self, whole: Earlier, recipe: Fingerprint) -> None:
        self.whole, self.recipe = whole, recipe
        self.forced, self.retried = whole.forced, whole.retried

    def last(self) -> ItemIndex | None:
        """Return the items of the task's last output."""
        return _of_items(self.whole.last())

    def like(self, basis: Basis) -> ItemIndex | None:
        """Return the items of the newest output that were made on this basis."""
        return _of_items(self.whole.like(basis))

    def noted(self, basis: Basis) -> Sequence[tuple[Basis, Unit]]:
        """Return what runs had finished before they were cut short."""
        return self.whole.noted(basis)

    def note(self, basis: Basis, units: Sequence[Unit]) -> None:
        """Make finished units durable."""
        self.whole.note(basis, units)


def recipe_of_step(name: str, version: int | None, params: Mapping[str, Any], packages: Iterable[str]) -> Fingerprint:
    """Return the fingerprint of all that decides what an item of the first step comes to, besides the item."""
    return xxh3_hex(encode([name, version, dict(params), *map(_version, packages)]).encode())


def known_rows(earlier: Earlier | None) -> dict[str, Unit]:
    """Return the units of rows of the last output, by the names of what they were made of."""
    last = earlier.last() if earlier and not earlier.forced else None
    return {u.input: u for u in last.units if u.input.startswith(ROWS)} if last else {}


def _of_items(index: ItemIndex | None) -> ItemIndex | None:
    return index and index._replace(units=tuple(u for u in index.units if not u.input.startswith(ROWS)))


def _version(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return "none"
