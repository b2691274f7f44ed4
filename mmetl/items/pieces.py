"""Rows that come piece by piece, or from another process: in memory while they are few, else in a file that is mapped."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa

from mmetl.errors import TaskError
from mmetl.utils.text import why_not

HELD_BYTES = 64 << 20  # of pieces, before they go into a file
SENT_BYTES = 16 << 20  # of rows for another process, before they go as a file


def gathered(pieces: Iterable[pa.Table], schema: pa.Schema, folder: Path) -> pa.Table:
    """Return the rows of all pieces, in their order.

    Args:
        pieces: tables of the schema.
        schema: of the rows.
        folder: where rows go that are too many to be held; nothing is left there.

    Raises:
        TaskError: if they cannot be written there.
    """
    held: list[pa.Table] = []
    size = 0
    for piece in (arriving := iter(pieces)):
        held.append(piece)
        size += piece.nbytes
        if size > HELD_BYTES:
            return _mapped(held, arriving, schema, folder)
    return pa.concat_tables(held) if held else schema.empty_table()


Sent = bytes | str
"""Rows on their way to another process: as Arrow writes them, or the path of a file with that."""


def sent(rows: pa.Table, folder: Path) -> Sent:
    """Return rows as they cross the border of a process: a pipe makes several copies of them, so many of them go as a file."""
    if rows.nbytes > SENT_BYTES:
        path = scratch_file(folder)
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, rows.schema) as writer:
            writer.write_table(rows)
        return str(path)
    buffer = pa.BufferOutputStream()
    with pa.ipc.new_stream(buffer, rows.schema) as writer:
        writer.write_table(rows)
    return bytes(buffer.getvalue().to_pybytes())


def received(rows: Sent) -> pa.Table:
    """Return the rows that were sent; a file is gone then."""
    return mapped(Path(rows)) if isinstance(rows, str) else pa.ipc.open_stream(rows).read_all()


def mapped(path: Path) -> pa.Table:
    """Return the rows of a file, and remove it: what is read of it stays mapped, and the system may let go of it."""
    with pa.memory_map(str(path)) as source:
        rows = pa.ipc.open_stream(source).read_all()
    path.unlink()
    return rows


def _mapped(held: list[pa.Table], more: Iterable[pa.Table], schema: pa.Schema, folder: Path) -> pa.Table:
    path = scratch_file(folder)
    try:
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
            while held:
                with _room():
                    writer.write_table(held.pop(0))
            for piece in more:
                with _room():
                    writer.write_table(piece)
        return mapped(path)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def scratch_file(folder: Path) -> Path:
    """Return a new path in a folder that several processes may use."""
    with _room():
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(".arrow", dir=folder)
    os.close(handle)
    return Path(name)


@contextlib.contextmanager
def _room() -> Iterator[None]:
    """Raise TaskError where a file cannot be written: that is no fault of an item."""
    try:
        yield
    except OSError as error:
        raise TaskError(
            f"rows that are on their way cannot be written: {why_not(error)}", help="make room where `.mmetl/` is"
        ) from error
