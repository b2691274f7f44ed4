"""Distances between vectors: a product of matrices tells which pairs are near, and each such pair is measured by itself.

What a product of matrices gives for a pair depends, in its last digits, on the rows around it, on the number of threads and on
the machine's library. So it only chooses: whatever could be near enough, its error allowed for. What is told, and what decides, is
computed for each pair alone, in double precision; the same pair gives the same bytes wherever it stands.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from mmetl.transforms.vector.numbers import Vectors

Wide = np.ndarray[Any, np.dtype[np.float64]]
Places = np.ndarray[Any, np.dtype[np.intp]]

ROWS = 1024
"""Rows that are compared at a time, with as many times BLOCK others: 16 MB of products."""

BLOCK = 2048
PAIRS = 8192  # measured at a time
_ERROR = 8 * float(np.finfo(np.float64).eps)


class Groups(NamedTuple):
    """Vectors of which some are equal.

    Attributes:
        first: of each different vector the place of the first one equal to it; ascending.
        of: place of a vector -> number of its group.
    """

    first: Places
    of: Places


def grouped(vectors: Vectors) -> Groups:
    """Find out which vectors are equal, byte by byte."""
    if not vectors.size:
        return Groups(np.arange(len(vectors)), np.arange(len(vectors)))
    whole = np.ascontiguousarray(vectors).view(np.dtype((np.void, vectors.shape[1] * vectors.itemsize))).ravel()
    _, first, of = np.unique(whole, return_index=True, return_inverse=True)
    order = np.argsort(first)
    number = np.empty_like(order)
    number[order] = np.arange(len(order))
    return Groups(first[order], number[of.ravel()])


def widened(vectors: Vectors, *, unit: bool) -> Wide:
    """Return vectors in double precision; with `unit`, of length 1 (none may be zero then)."""
    wide = vectors.astype(np.float64)
    return wide / np.sqrt(np.square(wide).sum(axis=1, keepdims=True)) if unit else wide


def estimated(a: Wide, b: Wide) -> tuple[Wide, Wide]:
    """Return the squares of all distances, shape (a, b), and by how much those of a row may be wrong, shape (a, 1)."""
    of_a, of_b = np.square(a).sum(axis=1, keepdims=True), np.square(b).sum(axis=1)
    error = _ERROR * (a.shape[1] + 8) * (of_a + of_b.max(initial=0.0))
    return of_a + of_b - 2 * (a @ b.T), error


def within(a: Wide, b: Wide, limit: float) -> tuple[Places, Places, Wide]:
    """Return (row of a, row of b, square of the distance) of the pairs whose square is `limit` at most, in this order."""
    about, error = estimated(a, b)
    rows, others = np.nonzero(about <= limit + error)
    squares = measured(a, b, rows, others)
    near = squares <= limit
    return rows[near], others[near], squares[near]


def products_from(a: Wide, b: Wide, least: float) -> tuple[Places, Places, Wide]:
    """Return (row of a, row of b, product) of the pairs whose inner product is `least` or more, in this order."""
    lengths = np.sqrt(np.square(a).sum(axis=1, keepdims=True)), np.sqrt(np.square(b).sum(axis=1))
    error = _ERROR * (a.shape[1] + 8) * lengths[0] * lengths[1]
    rows, others = np.nonzero(a @ b.T >= least - error)
    found = [(a[rows[p]] * b[others[p]]).sum(axis=1) for p in _pieces(len(rows))]
    products = np.concatenate(found) if found else np.zeros(0)
    high = products >= least
    return rows[high], others[high], products[high]


def measured(a: Wide, b: Wide, rows: Places, others: Places) -> Wide:
    """Return the square of the distance of each pair (row of a, row of b), which depends on these two alone."""
    found = [np.square(a[rows[p]] - b[others[p]]).sum(axis=1) for p in _pieces(len(rows))]
    return np.concatenate(found) if found else np.zeros(0)


def _pieces(count: int) -> Iterator[slice]:
    return (slice(start, start + PAIRS) for start in range(0, count, PAIRS))
