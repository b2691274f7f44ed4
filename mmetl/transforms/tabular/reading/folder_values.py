"""Columns whose values are in the names of folders, such as `year=2024/region=eu`: what `tabular.write` leaves out of its files."""

from __future__ import annotations

import itertools
import re
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property

import pyarrow as pa

from mmetl.engines.duckdb import Session, literal
from mmetl.errors import TaskError
from mmetl.transforms.tabular.partitions import NULL
from mmetl.transforms.tabular.reading.csv_source import guessed_types
from mmetl.utils.text import quote

_TABLE = "__mmetl_folders"
TEXT = "VARCHAR"


class FolderValues:
    """The columns that folders give the files in them.

    Args:
        columns: their names.
        files: what messages call the files: paths relative to the project.
        types: column -> type of DuckDB, where it should not be what the values suggest.
        db: guesses the other types, from the values of all folders.

    Raises:
        TaskError: if a file lies in no folder of a column.
    """

    def __init__(self, columns: Sequence[str], files: Iterable[str], types: Mapping[str, str], db: Session) -> None:
        self.columns = columns
        self._values = {file: [_value(file, c) for c in columns] for file in files}
        self._declared = types
        self._db = db

    @cached_property
    def types(self) -> dict[str, str]:
        """Column -> type, as of a CSV column: the values of all folders fit it, and none loses a digit."""
        by_column = list(zip(*self._values.values(), strict=True)) or [() for _ in self.columns]
        texts = {c: pa.array(values, pa.string()) for c, values in zip(self.columns, by_column, strict=True)}
        guessed: dict[str, str] = {}
        if texts:
            self._db.register(_TABLE, pa.table(texts))
            guessed = guessed_types(self._db, _TABLE, list(texts))
        # An empty text is one, and no null: that has a name of its own.
        empty = {c for c, values in zip(self.columns, by_column, strict=True) if "" in values}
        return {c: self._declared.get(c) or (TEXT if c in empty else guessed[c]) for c in self.columns}

    def runs(self, files: Mapping[str, str] | Sequence[str]) -> Iterator[list[str]]:
        """Yield files that follow each other and have the same values."""
        for _, run in itertools.groupby(files, self._values.__getitem__):
            yield list(run)

    def key(self, file: str) -> tuple[str | None, ...]:
        """Return the values of a file, as texts."""
        return tuple(self._values[file])

    def of_paths(self, name: str) -> str:
        """Return the SQL of the columns, taken from a column that has the path of each row's file."""

        def value(column: str) -> str:
            text = f"regexp_extract({quote(name)}, {literal(f'^.*/{re.escape(column)}=([^/]*)/')}, 1)"
            decoded = f"case when {text} <> {literal(NULL)} then url_decode({text}) end"
            return f"cast({decoded} as {self.types[column]}) as {quote(column)}"

        return ", ".join(map(value, self.columns))

    def refuse_own(self, file: str, own: Iterable[str]) -> None:
        """Raise TaskError where a file has such a column itself."""
        lower = {name.lower() for name in own}
        for column in self.columns:
            if column.lower() in lower:
                raise TaskError(
                    f"'{file}' has a column '{column}', and lies in a folder that gives it one",
                    help=f"take '{column}' out of `partition_by`, or out of the files",
                )

    def added(self, file: str, source: str, own: Iterable[str]) -> str:
        """Return what follows `from`: a source of rows of this file, with the columns of its folders behind its own.

        Raises:
            TaskError: where the file has such a column itself.
        """
        self.refuse_own(file, own)
        values = zip(self.columns, self._values[file], strict=True)
        more = [f"cast({'null' if v is None else literal(v)} as {self.types[c]}) as {quote(c)}" for c, v in values]
        return f"(select *, {', '.join(more)} from {source})"


def _value(file: str, column: str) -> str | None:
    """Return the value that the innermost folder of this column gives a file; None for null."""
    start = f"{column}="
    for folder in reversed(file.split("/")[:-1]):
        if folder.startswith(start):
            text = folder.removeprefix(start)
            return None if text == NULL else urllib.parse.unquote(text)
    raise TaskError(
        f"'{file}' lies in no folder '{start}...'",
        help="`partition_by` names the columns that folders have the values of",
    )
