"""Which of many names may be meant by another: those that share runs of three characters with it, rare ones above all.

Nothing else decides than the name and the names that are searched, and all of it is counted in whole numbers: so a name has
the same candidates in any batch, on any machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

Numbers = np.ndarray[Any, np.dtype[np.int64]]

LOOKED_UP = 2000  # names that a name's runs are followed to, rare runs first: it bounds what a name costs
LEAST = 0.25  # of what the best candidate shares: those that share less are not measured
_WEIGHT_BITS = 6


class Pairs(NamedTuple):
    """Who may be whom: those of a name that was asked for together, the likeliest first.

    Attributes:
        rows: place among those that were asked for.
        places: place among those that were searched.
    """

    rows: Numbers
    places: Numbers


class Candidates:
    """Searches names.

    Args:
        names: those that are searched, none of them empty.
        groups: for each of them the number of its group; only names of one group are candidates of each other.
    """

    def __init__(self, names: Sequence[str], groups: Numbers) -> None:
        self._groups, self._count = groups, len(names)
        runs, owners = _runs(names)
        self._known, of, self._often = np.unique(runs, return_inverse=True, return_counts=True)
        self._owners = owners[np.argsort(of, kind="stable")]
        self._starts = np.cumsum(self._often) - self._often
        self._weights = _weights(self._count, self._often)
        self._totals = np.bincount(owners, self._weights[of], minlength=self._count).astype(np.int64)

    def of(self, names: Sequence[str], groups: Numbers, most: int) -> Pairs:
        """Return up to `most` candidates of each name.

        Args:
            names: some thousand at most, none of them empty.
            groups: for each of them the number of its group.
            most: of a name.
        """
        if not names or not self._count:
            return Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64))
        runs, owners = _runs(names)
        at = np.minimum(np.searchsorted(self._known, runs), len(self._known) - 1)
        known = self._known[at] == runs
        unknown = _weights(self._count, np.ones(1, np.int64))[0]
        totals = np.bincount(owners, np.where(known, self._weights[at], unknown), minlength=len(names))
        at, owners = self._rare(at[known], owners[known])
        rows, places, shared = self._shared(at, owners, groups)
        alike = 2 * shared / (totals[rows] + self._totals[places])
        return _best(rows, places, alike, most)

    def _rare(self, at: Numbers, owners: Numbers) -> tuple[Numbers, Numbers]:
        """Return of each name's runs the rarest: as many as lead to so many names, at least one."""
        order = np.lexsort((at, self._often[at], owners))
        at, owners = at[order], owners[order]
        upto = np.cumsum(self._often[at])
        first = np.searchsorted(owners, owners)
        before = upto[first] - self._often[at[first]]
        used = (upto - before <= LOOKED_UP) | (np.arange(len(at)) == first)
        return at[used], owners[used]

    def _shared(self, at: Numbers, owners: Numbers, groups: Numbers) -> tuple[Numbers, Numbers, Numbers]:
        """Return (row, place, weight of what they share), sorted, of all pairs that share one of the runs."""
        counts = self._often[at]
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        rows = np.repeat(owners, counts)
        places = self._owners[np.repeat(self._starts[at], counts) + within]
        # One number a pair and run: so one plain sort does, which is far faster than one that tells the order.
        pairs = ((rows * self._count + places) << _WEIGHT_BITS) | np.repeat(self._weights[at], counts)
        pairs = np.sort(pairs[groups[rows] == self._groups[places]])
        named, weights = pairs >> _WEIGHT_BITS, pairs & ((1 << _WEIGHT_BITS) - 1)
        starts = np.nonzero(np.diff(named, prepend=-1))[0]
        shared = np.add.reduceat(weights, starts) if len(starts) else weights
        return named[starts] // self._count, named[starts] % self._count, shared


def _best(rows: Numbers, places: Numbers, alike: Any, most: int) -> Pairs:
    """Return the likeliest pairs of each row; of equally likely ones, those with the first place."""
    if not len(rows):
        return Pairs(rows, places)
    first = np.nonzero(np.diff(rows, prepend=-1))[0]
    best = np.repeat(np.maximum.reduceat(alike, first), np.diff(first, append=len(rows)))
    likely = alike >= LEAST * best
    rows, places, alike = rows[likely], places[likely], alike[likely]
    order = np.lexsort((places, -alike, rows))
    rows, places = rows[order], places[order]
    wanted = np.arange(len(rows)) - np.searchsorted(rows, rows) < most
    return Pairs(rows[wanted], places[wanted])


def _runs(names: Sequence[str]) -> tuple[Numbers, Numbers]:
    """Return the runs of three characters of all names, those of one name once, each with the place of its name."""
    padded = [f" {name} " for name in names]
    letters = np.frombuffer("".join(padded).encode("utf-32-le"), np.uint32).astype(np.int64)
    owners = np.repeat(np.arange(len(padded)), [len(p) for p in padded])
    runs = (letters[:-2] << 42) | (letters[1:-1] << 21) | letters[2:]  # a character has 21 bits
    inside = owners[:-2] == owners[2:]
    runs, owners = runs[inside], owners[:-2][inside]
    order = np.lexsort((runs, owners))
    runs, owners = runs[order], owners[order]
    new = np.ones(len(runs), bool)
    new[1:] = (runs[1:] != runs[:-1]) | (owners[1:] != owners[:-1])
    return runs[new], owners[new]


def _weights(count: int, often: Numbers) -> Numbers:
    """Return how much runs tell: the binary logarithm of how rare they are, whole."""
    return np.frexp(1 + count / often)[1].astype(np.int64)
