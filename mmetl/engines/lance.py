"""LanceDB as a target: a table on disk with vector and full-text indexes, searched where it lies."""

from __future__ import annotations

import datetime as dt
import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmetl.contracts.target import Applied, Difference
from mmetl.engines.lance_import import require_lancedb
from mmetl.engines.stamps import drop_folder, read_stamp, write_stamp
from mmetl.errors import AnewError

ID = "_id"
TABLE = "rows"
BATCH_ROWS = 1000
"""Identities that one statement deletes."""

WRITTEN_ROWS = 65_536
MERGED_ROWS = 8192
UNTIDY_FRAGMENTS = 20
"""After so many updates the indexes take the new rows up, and small files become one; until then those rows are compared one by one."""

KEPT_FOR = dt.timedelta(minutes=10)
"""How long an earlier version stays: somebody may be reading it."""


class LanceIndex:
    """A target in a folder of its own, which is a LanceDB database with one table.

    Args:
        folder: where it lies.
        vector: the column of vectors.
        text: the column for full-text search; None: there is none.
        graph: whether the vectors get an index, instead of being compared one by one.
    """

    def __init__(self, folder: Path, vector: str, text: str | None, *, graph: bool) -> None:
        self.folder, self._vector, self._text, self.graph = folder, vector, text, graph

    def applied(self) -> Applied | None:
        """See `Target`."""
        return read_stamp(self.folder)

    def apply(self, difference: Difference, now: Applied) -> Mapping[str, int]:
        """See `Target`."""
        if difference.exchanges_most:  # 35,000 rows take four times as long as the whole table
            raise AnewError("most of its rows change")
        if not difference.whole and not self._is_made:
            raise AnewError("it had no rows")
        if difference.whole:
            self.drop()
            self._make(difference.rows)
        else:
            self._change(difference)
        write_stamp(self.folder, now)
        return difference.counts

    def drop(self) -> None:
        """See `Target`."""
        drop_folder(self.folder)

    def nearest(self, vector: Any, k: int, where: str | None) -> list[tuple[float, dict[str, Any]]]:
        """Return the cosine and the row of those whose vectors are nearest to one, the nearest first."""
        if not self._is_made:
            return []
        asked = self._open().search(vector, vector_column_name=self._vector).distance_type("cosine").limit(k)
        asked = asked.where(where, prefilter=True) if where else asked
        return [(1.0 - row.pop("_distance"), self._shown(row)) for row in asked.to_list()]

    def matching(self, question: str, k: int, where: str | None) -> list[tuple[float, dict[str, Any]]]:
        """Return the score (BM25, more is better) and the row of those whose text has words of a question, the best first."""
        if not self._is_made:
            return []
        asked = self._open().search(question, query_type="fts", fts_columns=self._text).limit(k)
        asked = asked.where(where, prefilter=True) if where else asked
        return [(row.pop("_score"), self._shown(row)) for row in asked.to_list()]

    # --- inside

    @property
    def _is_made(self) -> bool:
        """Whether there is a table: the first row makes it."""
        return (self.folder / f"{TABLE}.lance").is_dir()

    def _connection(self) -> Any:
        os.environ.setdefault("LANCEDB_LOG", "error")  # read when it is imported
        return require_lancedb().connect(str(self.folder))

    def _open(self) -> Any:
        return self._connection().open_table(TABLE)

    def _shown(self, row: dict[str, Any]) -> dict[str, Any]:
        row.pop(ID), row.pop(self._vector)
        return row

    def _make(self, rows: Iterator[Any]) -> None:
        import pyarrow as pa

        first = next(rows, None)
        if first is None:
            return
        batches = itertools.chain([first], rows)
        stream = (batch for table in batches for batch in table.to_batches(max_chunksize=WRITTEN_ROWS))
        table = self._connection().create_table(
            TABLE, pa.RecordBatchReader.from_batches(first.schema, stream), mode="overwrite"
        )
        from lancedb.index import FTS, BTree, IvfFlat

        table.create_index(ID, config=BTree())
        if self._text:
            table.create_index(self._text, config=FTS())
        if self.graph:
            table.create_index(self._vector, config=IvfFlat(distance_type="cosine"))

    def _change(self, difference: Difference) -> None:
        table = self._open()
        for ids in _cut(difference.deleted, BATCH_ROWS):
            table.delete(f"{ID} in ({', '.join(repr(i) for i in ids)})")
        for rows in _together(difference.rows):
            table.merge_insert(ID).when_matched_update_all().when_not_matched_insert_all().execute(rows)
        if table.stats()["fragment_stats"]["num_fragments"] > UNTIDY_FRAGMENTS:
            table.optimize(cleanup_older_than=KEPT_FOR)


def _together(tables: Iterator[Any]) -> Iterator[Any]:
    """Yield rows in few large tables: each one that is merged is a version of its own, and takes as long as a thousand rows."""
    import pyarrow as pa

    waiting: list[Any] = []
    for rows in tables:
        waiting.append(rows)
        if sum(r.num_rows for r in waiting) >= MERGED_ROWS:
            yield pa.concat_tables(waiting).combine_chunks()
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting).combine_chunks()


def _cut(values: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (values[i : i + size] for i in range(0, len(values), size))
