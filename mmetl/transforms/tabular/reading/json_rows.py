"""The lines of NDJSON files one by one, the bad ones told: for files that DuckDB's reader has refused as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

import pyarrow as pa

from mmetl.contracts.transform import Job
from mmetl.engines.duckdb import Session
from mmetl.transforms.tabular.reading.bad_rows import PLACE, ROWS, Row
from mmetl.transforms.tabular.reading.json_source import OBJECT_BYTES, ROOM_BYTES, declared, json_query, refuse_forms
from mmetl.transforms.tabular.reading.lines import is_cut, lines_of
from mmetl.transforms.tabular.reading.read_params import ReadParams
from mmetl.utils.text import quote

_LOOKED_AT = 4 << 20  # characters that are handed to DuckDB at once
_NULL = "null"  # DuckDB reads it as a row without any value
_NO_JSON = "this line is no JSON"
_NO_OBJECT = "this line is no JSON object"
_NOT_UTF8 = "this line is not utf-8"
_TOO_LONG = f"this line is longer than {OBJECT_BYTES >> 20} MB"


class JsonRows:
    """The rows of NDJSON files, one by one (see `RowSource`).

    Args:
        job: the running task.
        params: of the task.
        db: the session.
        files: the files -> what messages call them.
    """

    def __init__(self, job: Job, params: ReadParams, db: Session, files: Mapping[Path, str]) -> None:
        refuse_forms(files, lines=True)
        self._job = job
        self._params = params
        self._db = db
        self._files = files
        self._names: list[str] = []

    def rows(self, path: Path) -> Iterator[Row]:
        """Yield the lines of a file that are not blank, the bad ones with their error."""
        waiting: list[Row] = []
        size = 0
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="\n") as file:
            for number, line in enumerate(lines_of(file, ROOM_BYTES), 1):
                if text := line.strip():
                    waiting.append(Row(number, text, _unreadable(line)))
                    size += len(text)
                if size >= _LOOKED_AT:
                    yield from self._judged(waiting)
                    waiting, size = [], 0
        yield from self._judged(waiting)

    def write(self, file: IO[bytes], row: Row, place: int) -> None:
        """Write a good row with its place as its first member."""
        rest = "}" if row.text == _NULL else row.text.removeprefix("{")
        comma = "" if rest.lstrip().startswith("}") else ","
        file.write(f'{{"{PLACE}":{place}{comma}{rest}\n'.encode())

    def load(self, good: Mapping[Path, Path]) -> Sequence[str]:
        """Make the table ROWS of the files of good rows, every column in the type that its values suggest."""
        sql, names = json_query(
            self._job, self._db, {copy: self._files[path] for path, copy in good.items()}, lines=True
        )
        self._db.rows(f"create temp table {ROWS} as {sql}")
        self._names = [name for name in names if name != PLACE]
        return self._names

    def value(self, column: str) -> str:
        """Return the SQL of a value."""
        return quote(column)

    def typed(self) -> str:
        """Return the query over ROWS with every column in its type."""
        return declared(self._params, self._names, ROWS)

    def _judged(self, rows: list[Row]) -> Iterator[Row]:
        """Yield the rows with what DuckDB thinks of them, so that what passes is what it reads."""
        texts = pa.table(
            {"n": range(len(rows)), "text": pa.array([None if r.error else r.text for r in rows], pa.string())}
        )
        self._db.register("__mmetl_lines", texts)
        found = dict(
            self._db.rows(
                "select n, valid from (select n, text, json_valid(text) as valid from __mmetl_lines)"
                " where not valid or case when valid then json_type(text) not in ('OBJECT', 'NULL') end"
            )
        )
        for n, row in enumerate(rows):
            yield row._replace(error=_NO_OBJECT if found[n] else _NO_JSON) if n in found else row


def _unreadable(line: str) -> str:
    if is_cut(line, ROOM_BYTES):
        return _TOO_LONG
    if line.isascii():
        return ""
    try:
        size = len(line.encode())
    except UnicodeEncodeError:
        return _NOT_UTF8
    return _TOO_LONG if size > ROOM_BYTES else ""
