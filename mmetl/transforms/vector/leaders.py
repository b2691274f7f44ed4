"""Near-duplicates: which vectors stay, and which are too near to one that stays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from mmetl.transforms.vector.distances import BLOCK, ROWS, Places, Wide, grouped, widened, within
from mmetl.transforms.vector.numbers import Vectors


class Leaders(NamedTuple):
    """What came of each vector.

    Attributes:
        of: the place of the first vector that stays and is near enough; its own where it stays itself.
        distances: to that one, 1 - the cosine of the angle.
    """

    of: Places
    distances: Wide


def leaders(vectors: Vectors, most: float) -> Leaders:
    """Go through vectors in their order: one stays unless an earlier one that stays is no farther than `most`.

    So no two that stay are near, each that goes is near to one that stays, and nothing but the vectors and their order decides.

    Args:
        vectors: in the order that decides; none is zero.
        most: the largest distance (1 - the cosine) of a near-duplicate.
    """
    groups = grouped(vectors)
    of, distances = _of_different(vectors[groups.first], 2 * most)
    return Leaders(groups.first[of][groups.of], distances[groups.of])


def _of_different(vectors: Vectors, limit: float) -> tuple[Places, Wide]:
    """Return `Leaders` of vectors that are all different; `limit` is the square of a distance."""
    of = np.arange(len(vectors))
    squares = np.zeros(len(vectors))
    stays: Places = np.zeros(0, np.intp)
    for start in range(0, len(vectors), ROWS):
        rows = widened(vectors[start : start + ROWS], unit=True)
        led = np.full(len(rows), len(vectors))
        for at in range(0, len(stays), BLOCK):
            block = stays[at : at + BLOCK]
            for row, other, square in _near(rows, widened(vectors[block], unit=True), limit):
                if block[other] < led[row]:
                    led[row], squares[start + row] = block[other], square
        for row, other, square in _near(rows, rows, limit):
            if other < row and led[other] == len(vectors) and led[row] == len(vectors):
                led[row], squares[start + row] = start + other, square
        gone = led < len(vectors)
        of[start : start + ROWS][gone] = led[gone]
        stays = np.concatenate([stays, start + np.nonzero(~gone)[0]])
    return of, squares / 2


def _near(rows: Wide, others: Wide, limit: float) -> Iterator[tuple[int, int, float]]:
    """Yield (row, other, square of the distance) of pairs that are near, ordered by row, then other."""
    return zip(*(found.tolist() for found in within(rows, others, limit)), strict=True)
