"""Sheets of Excel files. A cell says what it holds, so nothing is guessed but where the cells of a column disagree: that is text."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from mmetl.engines.duckdb import Session
from mmetl.engines.packages import require
from mmetl.errors import TaskError
from mmetl.transforms.tabular.reading.read_params import ReadParams
from mmetl.transforms.tabular.reading.schemas import Group
from mmetl.utils.text import quote

BATCH_ROWS = 65_536
EXACT = 2**53  # whole numbers below it are exact as Excel keeps them
EMPTY = ""
_CELLS = "__mmetl_cells"

_TYPES: dict[frozenset[str], pa.DataType] = {
    frozenset({"int"}): pa.int64(),
    frozenset({"float"}): pa.float64(),
    frozenset({"int", "float"}): pa.float64(),
    frozenset({"bool"}): pa.bool_(),
    frozenset({"date"}): pa.date32(),
    frozenset({"datetime"}): pa.timestamp("us"),
    frozenset({"date", "datetime"}): pa.timestamp("us"),
    frozenset({"time"}): pa.time64("us"),
}


def xlsx_groups(db: Session, shown: Mapping[Path, str], params: ReadParams) -> list[Group]:
    """Return Excel files as groups. A column has one type in all of them.

    Raises:
        TaskError: for a file that cannot be read, and a cell that is not of the type that the params give to its column.
    """
    sheets = [_Sheet(path, name, params) for path, name in shown.items()]
    kinds: dict[str, set[str]] = {}
    for sheet in sheets:
        for name, found in sheet.kinds().items():
            kinds.setdefault(name, set()).update(found)
    types = {name: _TYPES.get(frozenset(found), pa.string()) for name, found in kinds.items()}
    for name, kind in params.types.items():
        if types.get(name) == pa.float64() and db.type_of(kind).id == "varchar":
            types[name] = pa.string()  # as a cell shows it: 2, which stands beside 1.5, is no 2.0
        elif name in types:
            for sheet in sheets:
                sheet.check(db, name, types[name], kind)
    groups = []
    for number, sheet in enumerate(sheets):
        schema = pa.schema([(name, types[name]) for name in sheet.names])
        table = f"__mmetl_xlsx_{number}"
        db.register(table, pa.RecordBatchReader.from_batches(schema, sheet.batches(schema)))
        source = quote(table)
        words = {f.name: str(f.type) for f in schema}
        groups.append(Group((sheet.shown,), source, dict(db.columns(f"select * from {source}")), words))
    return groups


class _Sheet:
    """One sheet of one file.

    Attributes:
        shown: the file's name in messages.
        names: of its columns.
    """

    def __init__(self, path: Path, shown: str, params: ReadParams) -> None:
        self.shown = shown
        self._header = params.header
        self._sheet = _open(path, shown, params.sheet)
        first = next(self._rows(), [])
        self.names = self._named(first) if params.header else self._counted(len(first), params.names)

    def kinds(self) -> dict[str, set[str]]:
        """Return what the cells of each column hold."""
        found: dict[str, set[str]] = {name: set() for name in self.names}
        sets = list(found.values())
        for row in self._data():
            for cell, kinds in zip(row, sets, strict=True):
                if cell != EMPTY:
                    kinds.add(_kind(cell))
        return found

    def check(self, db: Session, name: str, given: pa.DataType, wanted: str) -> None:
        """Raise TaskError for a cell of a column that is not of the type that is wanted: DuckDB would not say which."""
        if name not in self.names:
            return
        at = self.names.index(name)
        cells = pa.array([_value(row[at], given) for row in self._data()], given)
        db.register(_CELLS, pa.table({"number": pa.array(range(1, len(cells) + 1)), "cell": cells}))
        wrong = f"cell is not null and try_cast(cell as {wanted}) is null"
        for number, cell in db.rows(f"select number, cell::varchar from {_CELLS} where {wrong} order by 1 limit 1"):
            raise TaskError(
                f"'{self.shown}': row {number} of the data has '{cell}' in '{name}', which is no {wanted}",
                help="mend the cell, or take another type in `types`; VARCHAR holds all of them",
            )

    def batches(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """Yield the rows."""
        rows: list[Sequence[Any]] = []
        for row in self._data():
            rows.append(row)
            if len(rows) == BATCH_ROWS:
                yield _batch(rows, schema)
                rows = []
        if rows:
            yield _batch(rows, schema)

    def _data(self) -> Iterator[Sequence[Any]]:
        rows = self._rows()
        if self._header:
            next(rows, None)
        width = len(self.names)
        for number, row in enumerate(rows, 1):
            if len(row) > width and any(cell != EMPTY for cell in row[width:]):
                raise TaskError(
                    f"'{self.shown}': row {number} of the data has cells right of the last column",
                    help="give each column a name in the first row",
                )
            yield [*row[:width], *([EMPTY] * (width - len(row)))]

    def _rows(self) -> Iterator[list[Any]]:
        """Yield the rows that are not blank."""
        return (row for row in self._sheet.iter_rows() if any(cell != EMPTY for cell in row))

    def _named(self, row: list[Any]) -> list[str]:
        while row and row[-1] == EMPTY:
            row = row[:-1]
        names = [_text(cell).strip() for cell in row]
        if not names:
            raise TaskError(f"'{self.shown}' has an empty sheet", help="name another one in `sheet`")
        for at, name in enumerate(names):
            if not name:
                raise TaskError(
                    f"'{self.shown}': column {at + 1} has no name in the first row",
                    help="name it, or set `header: false` and `names`",
                )
            if name in names[:at]:
                raise TaskError(f"'{self.shown}' has two columns '{name}'", help="rename one")
        return names

    def _counted(self, width: int, names: Sequence[str]) -> list[str]:
        if names and len(names) != width:
            raise TaskError(
                f"'{self.shown}' has {width} columns, and `names` has {len(names)}", help="name each column once"
            )
        return list(names) or [f"column{n}" for n in range(width)]


def _open(path: Path, shown: str, wanted: str | int | None) -> Any:
    """Return a sheet. Raises TaskError for a file that is none of Excel's, and for a sheet that is not there."""
    require("xlsx", "python_calamine")
    from python_calamine import CalamineError, CalamineWorkbook, PasswordError

    try:
        book = CalamineWorkbook.from_path(str(path))
        names = book.sheet_names
        if not names:
            raise TaskError(f"'{shown}' has no sheet", help="save it with one")
        if isinstance(wanted, str) and wanted not in names:
            raise TaskError(f"'{shown}' has no sheet '{wanted}'", help=f"it has: {', '.join(names)}")
        if isinstance(wanted, int) and wanted > len(names):
            raise TaskError(f"'{shown}' has {len(names)} sheets, not {wanted}", help=f"they are: {', '.join(names)}")
        name = wanted if isinstance(wanted, str) else names[(wanted or 1) - 1]
        return book.get_sheet_by_name(name)
    except PasswordError:
        raise TaskError(f"'{shown}' needs a password", help="save it without one") from None
    except (CalamineError, OSError) as error:
        raise TaskError(
            f"'{shown}' is not an Excel file, or it is damaged: {' '.join(str(error).split())[:200]}",
            help="set `format` if it is one of another kind",
        ) from error


def _kind(cell: Any) -> str:
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < EXACT:
        return "int"
    return type(cell).__name__


def _batch(rows: Sequence[Sequence[Any]], schema: pa.Schema) -> pa.RecordBatch:
    columns = [
        [_value(cell, field.type) for cell in column]
        for column, field in zip(zip(*rows, strict=True), schema, strict=True)
    ]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _value(cell: Any, kind: pa.DataType) -> Any:
    if cell == EMPTY:
        return None
    if pa.types.is_string(kind):
        return _text(cell)
    if pa.types.is_int64(kind):
        return int(cell)
    if pa.types.is_timestamp(kind) and not isinstance(cell, dt.datetime):
        return dt.datetime(cell.year, cell.month, cell.day)  # noqa: DTZ001  Excel knows no time zones
    return cell


def _text(cell: Any) -> str:
    """Return a cell as the text that a reader would write for it."""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < EXACT:
        return str(int(cell))
    return cell.isoformat() if isinstance(cell, dt.date | dt.time) else str(cell)
