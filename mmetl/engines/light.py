"""A vector index without a server and without heavy packages: one SQLite file and, for many vectors, a graph of neighbours.

Few vectors are compared one by one, in the artifact itself: that is exact, and costs nothing to keep. Above a size, `usearch` keeps
a hierarchical navigable small world (Malkov and Yashunin, 2016), which finds most of the nearest in a thousandth of the time.
Full text is SQLite's FTS5, ranked by BM25.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmetl.contracts.target import Applied, Difference
from mmetl.engines.packages import require
from mmetl.engines.stamps import drop_folder, read_stamp, write_stamp
from mmetl.errors import AnewError, TaskError

if TYPE_CHECKING:
    import pyarrow as pa

NAMES = "names.sqlite"
GRAPH = "vectors.usearch"
PARALLEL_ROWS = 10_000
_SIGN = 1 << 63
_WORD = re.compile(r"\w+")


class LightIndex:
    """A target in a folder of its own.

    Args:
        folder: where it lies.
        vector: the column of vectors.
        dimensions: of a vector.
        text: the column for full-text search; None: there is none.
        key: columns that name a row.
        graph: whether the vectors are kept in a graph of neighbours.
    """

    def __init__(
        self, folder: Path, vector: str, dimensions: int, text: str | None, key: Sequence[str], *, graph: bool
    ) -> None:
        self.folder = folder
        self._vector, self._dimensions, self._text, self._key = vector, dimensions, text, list(key)
        self.graph = graph

    def applied(self) -> Applied | None:
        """See `Target`."""
        return read_stamp(self.folder)

    def apply(self, difference: Difference, now: Applied) -> Mapping[str, int]:
        """See `Target`."""
        if difference.exchanges_most and (self.graph or self._text):
            raise AnewError("most of its rows change")
        if difference.whole:
            self.drop()
        self.folder.mkdir(parents=True, exist_ok=True)
        graph = self._open_graph(new=difference.whole) if self.graph else None
        if graph is not None or self._text:
            with self._names() as db:
                self._delete(db, graph, [_number(i) for i in difference.deleted])
                for rows in difference.rows:
                    self._take(db, graph, rows, new=difference.whole)
        if graph is not None:
            temp = self.folder / f"{GRAPH}.new"
            graph.save(str(temp))
            temp.replace(self.folder / GRAPH)
        write_stamp(self.folder, now)
        return difference.counts

    def drop(self) -> None:
        """See `Target`."""
        drop_folder(self.folder)

    def nearest(self, vector: Any, k: int) -> list[tuple[float, list[Any]]]:
        """Return the cosine and the key of the rows whose vectors are nearest to one, the nearest first. Needs the graph."""
        found = self._open_graph(new=False).search(vector, k)
        numbers = [int(n) for n in found.keys]
        keys = self._keys_of(numbers)
        pairs = zip(found.distances.tolist(), numbers, strict=True)
        return [(1.0 - float(far), keys[n]) for far, n in pairs if n in keys]

    def matching(self, question: str, k: int) -> list[tuple[float, list[Any]]]:
        """Return the score (BM25, more is better) and the key of the rows whose text has words of a question, the best first."""
        words = dict.fromkeys(_WORD.findall(question.lower()))
        asked = " OR ".join(f'"{w}"' for w in words)
        if not asked:
            return []
        with contextlib.closing(self._reading()) as db:
            sql = (
                "select -bm25(texts) as score, names.key from texts join names on names.id = texts.rowid"
                " where texts match ? order by score desc, names.key limit ?"
            )
            return [(float(score), json.loads(key)) for score, key in db.execute(sql, (asked, k))]

    # --- inside

    @contextlib.contextmanager
    def _names(self) -> Iterator[sqlite3.Connection]:
        """Open the file of names for one change. It needs no journal: what is cut short is made anew."""
        path = self.folder / NAMES
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute("pragma journal_mode = off")
            db.execute("pragma synchronous = off")
            db.execute("begin")
            db.execute("create table if not exists names (id integer primary key, key text not null)")
            if self._text:
                db.execute("create virtual table if not exists texts using fts5(text, tokenize = 'porter unicode61')")
            yield db
            db.execute("commit")
        with path.open("rb") as file:
            os.fsync(file.fileno())

    def _reading(self) -> sqlite3.Connection:
        return sqlite3.connect(f"file:{self.folder / NAMES}?mode=ro&immutable=1", uri=True)

    def _keys_of(self, numbers: Sequence[int]) -> dict[int, list[Any]]:
        with contextlib.closing(self._reading()) as db:
            sql = f"select id, key from names where id in ({', '.join('?' * len(numbers))})"
            found = db.execute(sql, [_signed(n) for n in numbers]).fetchall()
        return {i % (1 << 64): json.loads(key) for i, key in found}

    def _open_graph(self, *, new: bool) -> Any:
        require("vectors", "usearch")
        from usearch.index import Index

        graph = Index(ndim=self._dimensions, metric="cos", dtype="f32")
        if not new:
            graph.load(str(self.folder / GRAPH))
        return graph

    def _delete(self, db: sqlite3.Connection, graph: Any, numbers: Sequence[int]) -> None:
        ids = [(_signed(n),) for n in numbers]
        db.executemany("delete from names where id = ?", ids)
        if self._text:
            db.executemany("delete from texts where rowid = ?", ids)
        if graph is not None and numbers:
            import numpy as np

            graph.remove(np.array(numbers, np.uint64))

    def _take(self, db: sqlite3.Connection, graph: Any, rows: pa.Table, *, new: bool) -> None:
        numbers = [_number(i) for i in rows.column(0).to_pylist()]
        if not new:
            self._delete(db, graph, numbers)
        ids = [_signed(n) for n in numbers]
        columns = [rows.column(name).cast("string").to_pylist() for name in self._key]
        names = [json.dumps(key, ensure_ascii=False) for key in zip(*columns, strict=True)]
        try:
            db.executemany("insert into names values (?, ?)", zip(ids, names, strict=True))
        except sqlite3.IntegrityError as error:
            raise TaskError("two rows have keys of the same 64-bit hash", help="use the target `lancedb`") from error
        if self._text:
            texts = rows.column(self._text).to_pylist()
            db.executemany("insert into texts (rowid, text) values (?, ?)", zip(ids, texts, strict=True))
        if graph is not None:
            import numpy as np

            # Threads that add at once may leave a vector that no path leads to: among few vectors that would be seen.
            threads = 0 if len(numbers) >= PARALLEL_ROWS else 1
            vectors = matrix_of(rows.column(self._vector), self._dimensions)
            graph.add(np.array(numbers, np.uint64), vectors, threads=threads)


def matrix_of(column: pa.ChunkedArray, dimensions: int) -> Any:
    """Return a column of vectors as an array (rows, dimensions) of 32-bit floats. Raises TaskError for a null."""
    import numpy as np

    if column.null_count:
        raise TaskError("a vector is null", help="leave such rows out before the index")
    flat = column.combine_chunks().flatten()
    return np.asarray(flat, np.float32).reshape(-1, dimensions)


def _number(identity: str) -> int:
    return int(identity[:16], 16)


def _signed(number: int) -> int:
    """Return a 64-bit number as SQLite keeps it."""
    return number - (1 << 64) if number & _SIGN else number
