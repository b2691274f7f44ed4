"""What a vector has to be: numbers of one size, finite, not all zero; and how it gets the length 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

Vectors = np.ndarray[Any, np.dtype[np.float32]]
"""Shape (rows, dimensions)."""


def unit(vectors: Vectors) -> Vectors:
    """Return vectors of length 1, those that are zero or not finite as they are.

    A row's result does not depend on the rows around it. Lengths are taken in double precision, in which no square of a
    float32 is zero or infinite.
    """
    wide = vectors.astype(np.float64)
    lengths = np.sqrt(np.square(wide).sum(axis=1, keepdims=True))
    with np.errstate(invalid="ignore"):
        sound = (lengths > 0) & np.isfinite(lengths)
    return np.where(sound, wide / np.where(sound, lengths, 1.0), vectors).astype(np.float32)


def as_vectors(found: Any, texts: int, size: int) -> tuple[Vectors, list[str | None]]:
    """Return what an embedder gave as vectors, and what is wrong with each of them; None where nothing is.

    Args:
        found: an array, or a sequence of what are hopefully lists of numbers.
        texts: how many there have to be.
        size: how many numbers a vector has to have.

    Raises:
        ValueError: if there are more or fewer of them than texts, or all are of one other size: no text is to blame.
    """
    whole = _at_once(found)
    if whole is None or whole.ndim != 2:
        rows: Sequence[Any] = list(found) if hasattr(found, "__iter__") else [found]
        parsed = [_at_once(row) for row in rows]
    else:
        rows = parsed = list(whole)
    shapes = {None if p is None else p.shape for p in parsed}
    if len(rows) != texts or (len(shapes) == 1 and not shapes & {None, (size,)}):
        shape = " x ".join(map(str, (len(rows), *(shapes.pop() or () if len(shapes) == 1 else ()))))
        raise ValueError(f"the embedder returned {shape} numbers for {texts} texts of {size} dimensions")
    vectors = np.zeros((texts, size), np.float32)
    errors: list[str | None] = [None] * texts
    for n, row in enumerate(parsed):
        if row is None or row.ndim != 1:
            errors[n] = "it has no vector" if rows[n] is None else "its vector is no list of numbers"
        elif row.shape != (size,):
            errors[n] = f"its vector has {row.size} numbers, not {size}"
        else:
            vectors[n] = row
    return vectors, errors


def column_vectors(column: pa.ChunkedArray | pa.Array, size: int) -> tuple[Vectors, list[str | None]]:
    """Return the vectors of a column of lists, and what is wrong with each, as `as_vectors` does."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_fixed_size_list(array.type) and not array.null_count and array.type.list_size == size:
        numbers = array.flatten()
        if not numbers.null_count:
            with np.errstate(over="ignore"):
                return np.asarray(numbers).reshape(len(array), size).astype(np.float32), [None] * len(array)
    return as_vectors(array.to_pylist(), len(array), size)


def as_column(vectors: Vectors, errors: Sequence[str | None]) -> pa.Array:
    """Return vectors as a column; those that something is wrong with are zero, for rows that will not stay."""
    sound = np.array([error is None for error in errors], bool)
    kind = pa.list_(pa.field("element", pa.float32(), nullable=False), vectors.shape[1])
    return pa.FixedSizeListArray.from_arrays(pa.array(np.where(sound[:, None], vectors, 0).ravel()), type=kind)


def judged(vectors: Vectors, errors: Sequence[str | None], *, zero_is_bad: bool = True) -> list[str | None]:
    """Return what is wrong with each vector: what is known to be, or that a search could not use it."""
    finite = np.asarray(np.isfinite(vectors).all(axis=1))
    zero = ~np.asarray(vectors.any(axis=1)) & zero_is_bad
    return [
        error or (None if good and not nothing else "its vector is zero" if good else "its vector is not finite")
        for error, good, nothing in zip(errors, finite.tolist(), zero.tolist(), strict=True)
    ]


def _at_once(found: Any) -> Vectors | None:
    """Return numbers as an array; None where they are none, or not of one shape. A null in it is NaN."""
    with np.errstate(over="ignore"):  # what is too large for float32 is infinite, and told as such
        try:
            array = np.asarray(found)
            if not array.ndim:
                return None
            if array.dtype == object:
                array = array.astype(np.float64)  # a None among numbers is NaN
            if not np.issubdtype(array.dtype, np.number) or np.issubdtype(array.dtype, np.complexfloating):
                return None
            return array.astype(np.float32)
        except (TypeError, ValueError):
            return None
