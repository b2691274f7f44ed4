"""What a store holds, as one line a row: so that stores of different engines, and what they ought to hold, can be compared.

    python rows.py artifact FOLDER      the vectors of a mmETL project
    python rows.py light FOLDER         the texts of a light index
    python rows.py lance FOLDER TABLE   a LanceDB table

Each is a process of its own: what is measured beside it would else begin with the memory that the rows took.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

NAMES = {"chunk": "text", "vector": "vec"}


def line(path: str, number: int, text: str, vector: Any = None) -> str:
    """Return a row as a line: where it is, and hashes of what it says. Minus zero in a vector is zero: mmETL knows no other."""
    said = hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
    held = hashlib.blake2b((vector + 0).tobytes(), digest_size=12).hexdigest() if vector is not None else "-"
    return f"{path} {number} {said} {held}"


def from_arrow(table: Any) -> Iterator[str]:
    """Yield the lines of an Arrow table with a path, a number, a text and a vector."""
    import numpy as np

    table = table.rename_columns([NAMES.get(c, c) for c in table.column_names])
    vectors = np.asarray(table.column("vec").combine_chunks().flatten(), np.float32).reshape(table.num_rows, -1)
    columns = [table.column(c).to_pylist() for c in ("path", "no", "text")]
    for path, number, text, vector in zip(*columns, vectors, strict=True):
        yield line(path.removeprefix("docs/"), number, text, vector)


def artifact(folder: str) -> Iterable[str]:
    """Return the rows of the task `vectors`."""
    from mmetl import Project

    return from_arrow(Project.open(folder).artifact("vectors").to_arrow())


def light(folder: str) -> Iterable[str]:
    """Return the texts of a light index, with their keys; it keeps no vectors below 100,000 rows."""
    with contextlib.closing(sqlite3.connect(Path(folder) / "names.sqlite")) as db:
        found = db.execute("select key, text from texts join names on names.id = texts.rowid").fetchall()
    for key, text in found:
        path, number = json.loads(key)
        yield line(path.removeprefix("docs/"), int(number), text)


def lance(folder: str, table: str) -> Iterable[str]:
    """Return the rows of a LanceDB table."""
    import lancedb

    return from_arrow(lancedb.connect(folder).open_table(table).to_arrow())


if __name__ == "__main__":
    print("\n".join(sorted({"artifact": artifact, "light": light, "lance": lance}[sys.argv[1]](*sys.argv[2:]))))
