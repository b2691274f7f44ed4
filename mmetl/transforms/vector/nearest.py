"""The nearest vectors of a table: exact, in blocks, ties by place."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mmetl.transforms.vector.distances import BLOCK, Places, Wide, estimated, grouped, measured, widened
from mmetl.transforms.vector.numbers import Vectors


class Near(NamedTuple):
    """Pairs, those of a row together, the nearest first. All arrays have one entry a pair.

    Attributes:
        rows: place among those that were asked for.
        places: place in the table that was searched.
        ranks: 1 is the nearest.
        distances: by the metric.
    """

    rows: Places
    places: Places
    ranks: Places
    distances: Wide


class Nearest:
    """Searches the vectors of one table, which are in the order that breaks ties.

    Args:
        vectors: of the table; those that are equal are compared once.
        k: how many are wanted.
        cosine: whether the distance is 1 - the cosine of the angle, else that of Euclid.
        max_distance: those that are farther are left out.
    """

    def __init__(self, vectors: Vectors, k: int, *, cosine: bool, max_distance: float) -> None:
        self._k, self._cosine, self._most = k, cosine, max_distance
        groups = grouped(vectors)
        self._vectors = vectors[groups.first]
        self._members = np.argsort(groups.of, kind="stable")
        self._sizes = np.bincount(groups.of, minlength=len(self._vectors)) if len(vectors) else np.zeros(0, np.intp)
        self._starts = np.cumsum(self._sizes) - self._sizes

    def of(self, vectors: Vectors, own: Places | None = None) -> Near:
        """Return the nearest of each vector.

        Args:
            vectors: those that are asked for; some thousand at most.
            own: for each of them a place in the table that is left out: its own.
        """
        asked = widened(vectors, unit=self._cosine)
        k = self._k + (own is not None)
        rows, found, squares = self._candidates(asked, k)
        # Of a group of equal vectors no more than the first k can be wanted.
        counts = np.minimum(self._sizes[found], k)
        rows, squares = np.repeat(rows, counts), np.repeat(squares, counts)
        within = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        places = self._members[np.repeat(self._starts[found], counts) + within]
        distances = squares / 2 if self._cosine else np.sqrt(squares)
        wanted = distances <= self._most
        if own is not None:
            wanted &= places != own[rows]
        rows, places, distances = rows[wanted], places[wanted], distances[wanted]
        order = np.lexsort((places, distances, rows))
        rows, places, distances = rows[order], places[order], distances[order]
        ranks = np.arange(len(rows)) - np.searchsorted(rows, rows) + 1
        near = ranks <= self._k
        return Near(rows[near], places[near], ranks[near], distances[near])

    def _candidates(self, asked: Wide, k: int) -> tuple[Places, Places, Wide]:
        """Return (row, group, square of the distance) of all pairs that may be among the k nearest of the row."""
        limit = 2 * self._most if self._cosine else self._most**2
        best = np.full((len(asked), k), np.inf)
        error = np.zeros((len(asked), 1))
        pieces: list[tuple[Places, Places, Wide]] = []
        for start in range(0, len(self._vectors), BLOCK):
            block = widened(self._vectors[start : start + BLOCK], unit=self._cosine)
            squares, wrong_by = estimated(asked, block)
            error = np.maximum(error, wrong_by)
            best = np.partition(np.hstack([best, squares]), k - 1, axis=1)[:, :k]
            rows, others = np.nonzero(squares <= self._bound(best, limit, error))
            pieces.append((rows, others + start, squares[rows, others]))
        if not pieces:
            return np.zeros(0, np.intp), np.zeros(0, np.intp), np.zeros(0)
        rows, others, about = (np.concatenate(p) for p in zip(*pieces, strict=True))
        near = about <= self._bound(best, limit, error)[rows, 0]
        rows, others = rows[near], others[near]
        used, at = np.unique(others, return_inverse=True)
        return rows, others, measured(asked, widened(self._vectors[used], unit=self._cosine), rows, at)

    @staticmethod
    def _bound(best: Wide, limit: float, error: Wide) -> Wide:
        """Return up to which estimate a pair may be one of the nearest: it and the k-th best may both be wrong."""
        bound: Wide = np.minimum(best.max(axis=1, keepdims=True), limit) + 2 * error
        return bound
