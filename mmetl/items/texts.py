"""The texts of a column, one after the other, each copied once: what Arrow makes of one for Python is copied twice."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pyarrow as pa


def texts_of(column: pa.Array) -> Iterator[str | None]:
    """Yield the texts of a column of strings; None for a null."""
    offsets, data = column.buffers()[1:]
    if not len(column) or offsets is None:
        return
    valid = itertools.repeat(True) if not column.null_count else column.is_valid().to_pylist()
    bounds = np.frombuffer(offsets, np.int32)[column.offset : column.offset + len(column) + 1].tolist()
    whole = memoryview(data or b"")
    for (start, end), there in zip(itertools.pairwise(bounds), valid, strict=False):
        yield str(whole[start:end], "utf-8") if there else None
