"""Clusters: records that are one thing, by pairs that are alike and by what somebody said of pairs."""

from __future__ import annotations

from collections.abc import Iterable

Pair = tuple[int, int]


class ContradictionError(Exception):
    """Two records are said to be one, and what else is said rules that out.

    Args:
        pair: the places of the two.
    """

    def __init__(self, pair: Pair) -> None:
        super().__init__(pair)
        self.pair = pair


class Clusters:
    """Joins records, the first of which names its cluster; some must stay apart.

    Args:
        count: of records; each is a cluster of its own at first.
    """

    def __init__(self, count: int) -> None:
        self._of = list(range(count))
        self._apart: dict[int, set[int]] = {}

    def find(self, record: int) -> int:
        """Return the first record of a record's cluster."""
        of = self._of
        while of[record] != record:
            of[record] = of[of[record]]
            record = of[record]
        return record

    def keep_apart(self, pair: Pair) -> None:
        """Never join two records. Raises ContradictionError if they are joined."""
        a, b = map(self.find, pair)
        if a == b:
            raise ContradictionError(pair)
        self._apart.setdefault(a, set()).add(b)
        self._apart.setdefault(b, set()).add(a)

    def are_apart(self, pair: Pair) -> bool:
        """Tell whether somebody said that two records are not one, or of others in their clusters."""
        a, b = map(self.find, pair)
        return b in self._apart.get(a, ())

    def join(self, pair: Pair) -> bool:
        """Make one cluster of those of two records, unless some of them must stay apart; tell whether they are one now."""
        a, b = sorted(map(self.find, pair))
        if a == b:
            return True
        if b in self._apart.get(a, ()):
            return False
        self._of[b] = a
        for other in self._apart.pop(b, ()):
            self._apart[other].discard(b)
            self._apart[other].add(a)
            self._apart.setdefault(a, set()).add(other)
        return True


def clustered(
    count: int, pairs: Iterable[tuple[int, int, float]], same: Iterable[Pair], apart: Iterable[Pair]
) -> Clusters:
    """Return the clusters. They follow from what is given, whatever its order, and not from any before.

    What somebody said comes first. Then the pairs are joined, the most similar ones first: so where a chain of pairs leads from
    one record to another that must stay apart from it, it breaks at its weakest link.

    Args:
        count: of records, which are told by their place in the order of the key.
        pairs: (place, place, similarity) of those that are similar enough.
        same: pairs that are said to be one.
        apart: pairs that are said not to be.

    Raises:
        ContradictionError: for the first pair of `apart` that `same` joins.
    """
    clusters = Clusters(count)
    for pair in same:
        clusters.join(pair)
    for pair in sorted(apart):
        clusters.keep_apart(pair)
    for a, b, _ in sorted(pairs, key=lambda p: (-p[2], p[0], p[1])):
        clusters.join((a, b))
    return clusters
