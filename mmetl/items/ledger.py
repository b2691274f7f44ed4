"""What the items of one part were: a file beside the part, with one line an item, in the order of the input."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from mmetl.contracts.artifact import Part
from mmetl.contracts.transform import Parts
from mmetl.items.hashes import Hashes

Numbers = np.ndarray[Any, np.dtype[np.int64]]

_SCHEMA = pa.schema(
    [
        ("item", pa.binary(16)),  # hash of the columns that decide
        ("key", pa.uint64()),  # of the key
        ("rest", pa.uint64()),  # of the other columns that go into the output
        ("rows", pa.int32()),  # of the output; 0: it makes none, or it failed
        ("error", pa.string()),  # why it failed
    ]
)


@dataclass
class Ledger:
    """The items of a part. All arrays have one entry an item.

    Attributes:
        items: hashes of the columns that the transform reads.
        keys: hashes of the key.
        rest: hashes of the other columns that go into the output.
        rows: how many rows of the output each item made.
        errors: position -> why the item failed.
    """

    items: Hashes
    keys: np.ndarray[Any, np.dtype[np.uint64]]
    rest: np.ndarray[Any, np.dtype[np.uint64]]
    rows: Numbers
    errors: dict[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.items)

    @cached_property
    def starts(self) -> Numbers:
        """At which row of the output each item's rows begin."""
        return np.concatenate([[0], np.cumsum(self.rows)[:-1]]).astype(np.int64) if len(self) else self.rows


def write_ledger(ledger: Ledger, parts: Parts, bucket: int) -> Part:
    """Keep a ledger as a part."""
    packed = ledger.items.astype(">u8").tobytes()
    errors = pa.array(
        [ledger.errors.get(i) for i in range(len(ledger))] if ledger.errors else [None] * len(ledger), pa.string()
    )
    columns = [
        pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(ledger), [None, pa.py_buffer(packed)]),
        pa.array(ledger.keys),
        pa.array(ledger.rest),
        pa.array(ledger.rows.astype(np.int32)),
        errors,
    ]
    temp = parts.temp(".arrow")
    try:
        with pa.OSFile(str(temp), "wb") as sink, pa.ipc.new_file(sink, _SCHEMA) as writer:
            writer.write_table(pa.Table.from_arrays(columns, schema=_SCHEMA))
    except BaseException:
        temp.unlink(missing_ok=True)
        raise
    fingerprint, size = parts.adopt(temp)
    return Part(fingerprint, len(ledger), size, bucket)


def read_ledger(part: Part, parts: Parts) -> Ledger:
    """Read what `write_ledger` wrote."""
    with pa.OSFile(str(parts.path(part.fingerprint)), "rb") as source:
        rows = pa.ipc.open_file(source).read_all().combine_chunks()
    item, key, rest, made, error = ((c.chunk(0) if c.num_chunks else pa.array([], c.type)) for c in rows.columns)
    hashes = np.frombuffer(item.buffers()[1] or b"", ">u8", count=2 * len(item)).astype(np.uint64).reshape(-1, 2)
    errors = {i: e for i, e in enumerate(error.to_pylist()) if e is not None} if error.null_count < len(error) else {}
    return Ledger(hashes, key.to_numpy(), rest.to_numpy(), made.to_numpy().astype(np.int64), errors)
