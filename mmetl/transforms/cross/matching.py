"""Pairs of texts that are alike from a threshold on: all of them, found without measuring those that cannot be.

Two texts that are alike have a token in common, and more than that: among the rarest tokens of each, as many as may be missing from
the other and one more, there is one that both have (prefix filter). And one is not much longer than the other (length filter). What
passes is measured, so the filters decide nothing but the time.

Source: Chaudhuri, Ganti, Kaushik, "A Primitive Operator for Similarity Joins in Data Cleaning", ICDE 2006.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cache, cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np

from mmetl.transforms.cross.names import DIGITS, similarities
from mmetl.transforms.vector.distances import BLOCK, ROWS, Places, Wide, products_from, widened, within
from mmetl.transforms.vector.numbers import Vectors

SLACK = 1e-9
"""What the filters allow for floats: they may let a pair pass that is not alike, never the other way round."""

RUNS = (2, 3, 4)
"""Letters of a token of `edit`: long ones tell more, short ones tell of short texts."""

FEW = 100
"""Texts of one side that are measured against all of the other: to look for the runs of all takes longer."""

_PAIRS = 1 << 16  # of texts, measured at a time


class Matches(NamedTuple):
    """Pairs that are alike, those of a row together. All arrays have one entry a pair.

    Attributes:
        rows: place among those that were asked for.
        places: place among those that were searched.
        scores: how alike they are, or how far from each other.
    """

    rows: Places
    places: Places
    scores: Wide


class Search(Protocol):
    """Values of one side, in which those of the other are looked for.

    Attributes:
        compared: pairs that were measured so far; of vectors, all of which are compared at least roughly, all.
    """

    compared: int

    def of(self, values: Any) -> Matches:
        """Return all pairs that are alike."""
        ...


class VectorSearch:
    """Vectors: every one is compared with every one, in blocks.

    Args:
        vectors: that are searched; with `cosine` none is zero.
        measure: cosine, dot or euclidean.
        threshold: the least cosine or product, the largest distance.
    """

    def __init__(self, vectors: Vectors, measure: str, threshold: float) -> None:
        self._vectors, self._measure, self._threshold, self.compared = vectors, measure, threshold, 0

    def of(self, values: Vectors) -> Matches:
        """See `Search`."""
        found = [
            Matches(rows + start, places + at, scores)
            for start in range(0, len(values), ROWS)
            for at in range(0, len(self._vectors), BLOCK)
            for rows, places, scores in [self._block(values[start : start + ROWS], self._vectors[at : at + BLOCK])]
        ]
        self.compared += len(values) * len(self._vectors)
        return _joined(found)

    def _block(self, values: Vectors, others: Vectors) -> tuple[Places, Places, Wide]:
        unit = self._measure == "cosine"
        a, b = widened(values, unit=unit), widened(others, unit=unit)
        if self._measure == "dot":
            return products_from(a, b, self._threshold)
        if self._measure == "euclidean":
            rows, places, squares = within(a, b, _grown(self._threshold**2))
            scores = np.sqrt(squares)
            wanted = scores <= self._threshold
        else:
            rows, places, squares = within(a, b, _grown(2 * (1 - self._threshold)))
            scores = 1 - squares / 2
            wanted = scores >= self._threshold
        return rows[wanted], places[wanted], scores[wanted]


class SetSearch:
    """Sets of tokens, by the share of all tokens of two that both have (Jaccard).

    Args:
        sets: that are searched; none is empty.
        threshold: the least similarity.
    """

    def __init__(self, sets: Sequence[frozenset[str]], threshold: float) -> None:
        self._sets, self._threshold, self.compared = sets, threshold, 0
        self._prefixes = _Prefixes(sets, lambda tokens: len(tokens) - _up(threshold * len(tokens)) + 1)

    def of(self, values: Sequence[frozenset[str]]) -> Matches:
        """See `Search`."""
        least, rows, places, scores = self._threshold, [], [], []
        for row, tokens in enumerate(values):
            size = len(tokens)
            for place in self._prefixes.rarest(tokens).places():
                other = self._sets[place]
                if not _up(least * size) <= len(other) <= size / least + SLACK:
                    continue
                self.compared += 1
                shared = len(tokens & other)
                score = shared / (size + len(other) - shared)
                if score >= least:
                    rows.append(row)
                    places.append(place)
                    scores.append(score)
        return Matches(np.array(rows, np.intp), np.array(places, np.intp), np.array(scores, np.float64))


class EditSearch:
    """Texts, by the letters that two have in common in order: twice their number, divided by that of all letters.

    Args:
        texts: that are searched; none is empty.
        threshold: the least similarity.
    """

    def __init__(self, texts: Sequence[str], threshold: float) -> None:
        self._texts, self._threshold, self.compared = texts, threshold, 0
        # A similarity is rounded before it decides.
        self._least = max(threshold - 0.5 * 10**-DIGITS - SLACK, SLACK)
        self._sizes = np.array([len(text) for text in texts], np.int64)
        self._asked = 0

    def of(self, values: Sequence[str]) -> Matches:
        """See `Search`."""
        self._asked += len(values)
        return _joined([self._measured(values, pairs) for pairs in _cut(self._candidates(values), _PAIRS)])

    @cached_property
    def _runs(self) -> list[_Runs]:
        return [_Runs(self._texts, length, self._least) for length in RUNS]

    @cached_property
    def _untold(self) -> list[int]:
        return [place for place, text in enumerate(self._texts) if not self._runs[0].tell(text)]

    def _candidates(self, values: Sequence[str]) -> Iterator[tuple[int, int]]:
        """Yield (row, place) of the pairs that may be alike."""
        are_few = min(self._asked, len(self._texts)) <= FEW
        for row, text in enumerate(values):
            near = np.arange(len(self._texts)) if are_few else np.array(self._near(text), np.int64)
            sizes = self._sizes[near]
            passes = 2 * np.minimum(sizes, len(text)) >= self._least * (sizes + len(text)) - SLACK
            yield from ((row, place) for place in near[passes].tolist())

    def _near(self, text: str) -> list[int]:
        """Return the places that may be like a text, by the runs of letters that bring the fewest."""
        telling = [runs.rarest(text) for runs in self._runs if runs.tell(text)]
        if telling:
            return min(telling, key=lambda rare: rare.work).places()
        return sorted({*self._runs[0].rarest(text).places(), *self._untold})

    def _measured(self, values: Sequence[str], pairs: Sequence[tuple[int, int]]) -> Matches:
        self.compared += len(pairs)
        scores = similarities("edit", [values[row] for row, _ in pairs], [self._texts[place] for _, place in pairs])
        high = scores >= self._threshold
        rows, places = np.array(pairs, np.intp).T
        return Matches(rows[high], places[high], scores[high])


class _Runs:
    """The runs of letters of texts, of one length."""

    def __init__(self, texts: Sequence[str], length: int, least: float) -> None:
        self._length, self._least = length, least
        self._lost = cache(self._most_lost)
        self._prefixes = _Prefixes([*map(self._of, texts)], lambda runs: self._lost(len(runs) + length - 1) + 1)

    def rarest(self, text: str) -> _Rarest:
        """Return those of a text of which others that are like it have one, if `tell` says so."""
        return self._prefixes.rarest(self._of(text))

    def tell(self, text: str) -> bool:
        """Tell whether all texts that are like this one have a run in common with it."""
        return len(text) - self._length + 1 > self._lost(len(text))

    def _of(self, text: str) -> list[str]:
        """Return the runs of a text; one that stands in it again is another one."""
        runs = [text[start : start + self._length] for start in range(len(text) - self._length + 1)]
        if len({*runs}) == len(runs):
            return runs
        seen: Counter[str] = Counter()
        for n, run in enumerate(runs):
            seen[run] += 1
            if seen[run] > 1:
                runs[n] = f"{run}{seen[run]}"
        return runs

    def _most_lost(self, size: int) -> int:
        """Return how many runs of a text of some letters are not in one that is like it, at most.

        A letter that only this text has is in `length` of its runs, one that only the other has breaks one less. All runs may be lost.
        """
        least, length = self._least, self._length
        sizes = np.arange(_up(size * least / (2 - least)), min(size * (2 - least) / least, 2 * length * size) + 1)
        shared = np.minimum(np.ceil(least * (size + sizes) / 2 - SLACK), np.minimum(size, sizes))
        lost = length * (size - shared) + (length - 1) * (sizes - shared)
        return int(min(lost.max(initial=0), max(size - length + 1, 0)))


class _Rarest(NamedTuple):
    """The places of the values that have one of a value's rarest tokens, token by token."""

    found: list[list[int]]

    @property
    def work(self) -> int:
        """How many they are; one that has several counts as often."""
        return sum(map(len, self.found))

    def places(self) -> list[int]:
        """Return them once each, in order."""
        return sorted({*itertools.chain.from_iterable(self.found)})


class _Prefixes:
    """Which values have a token among their rarest ones that is among the rarest of another.

    Args:
        values: the tokens of each, all different.
        length: from the tokens of a value to how many of the rarest count.
    """

    def __init__(self, values: Sequence[Collection[str]], length: Callable[[Collection[str]], int]) -> None:
        often = Counter(itertools.chain.from_iterable(values))
        self._length = length
        self._ranks = {token: rank for rank, token in enumerate(sorted(often, key=lambda t: (often[t], t)))}
        self._places: list[list[int]] = [[] for _ in self._ranks]
        for place, tokens in enumerate(values):
            for rank in self._rarest(tokens):
                self._places[rank].append(place)

    def rarest(self, tokens: Collection[str]) -> _Rarest:
        """Return who has one of the rarest tokens of a value among their own rarest."""
        return _Rarest([self._places[rank] for rank in self._rarest(tokens) if rank >= 0])

    def _rarest(self, tokens: Collection[str]) -> list[int]:
        """Return the ranks of the rarest tokens; a token that nobody has is the rarest of all, and found nowhere."""
        ranks = self._ranks
        return sorted([ranks.get(token, -1) for token in tokens])[: max(self._length(tokens), 0)]


def _up(number: float) -> int:
    """Round up, and not because of the last digits of a float."""
    return math.ceil(number - SLACK)


def _grown(limit: float) -> float:
    """Return a limit that is no less, whatever its last digits: what is found is judged by its score."""
    return limit + SLACK * (1 + abs(limit))


def _cut(values: Iterator[Any], size: int) -> Iterator[list[Any]]:
    while piece := list(itertools.islice(values, size)):
        yield piece


def _joined(found: Sequence[Matches]) -> Matches:
    """Return the pairs of several pieces, ordered by row, then place."""
    if not found:
        return Matches(np.zeros(0, np.intp), np.zeros(0, np.intp), np.zeros(0))
    rows, places, scores = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.lexsort((places, rows))
    return Matches(rows[order], places[order], scores[order])
