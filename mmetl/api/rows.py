"""Rows that a person at a prompt or in a notebook has in hand: an Arrow table, and what other libraries make of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mmetl.api.html import Head, html_table
from mmetl.cache.python_rows import python_rows
from mmetl.engines.packages import require

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

SHOWN = 20


class Rows(ABC):
    """Something that has rows. What it is made of is read when it is asked for, each time anew."""

    @abstractmethod
    def to_arrow(self) -> pa.Table:
        """Return the rows as a pyarrow Table."""

    def to_pandas(self) -> pd.DataFrame:
        """Return the rows as a pandas DataFrame. Raises MissingError if pandas is not installed."""
        require("pandas", "pandas")
        return self.to_arrow().to_pandas()

    def to_polars(self) -> pl.DataFrame:
        """Return the rows as a polars DataFrame. Raises MissingError if polars is not installed."""
        require("polars", "polars")
        import polars as pl

        made = pl.from_arrow(self.to_arrow())
        assert isinstance(made, pl.DataFrame)
        return made

    def head(self, limit: int = SHOWN) -> Head:
        """Return the first rows, as they are shown."""
        table = self.to_arrow()
        return Head(tuple(table.column_names), tuple(python_rows(table.slice(0, limit))), table.num_rows)

    def show(self, limit: int = SHOWN) -> None:
        """Print the first rows, aligned."""
        print(self.head(limit).text())  # noqa: T201  what it is for

    def _repr_html_(self) -> str:
        return html_table(self.head())


class Answer(Rows):
    """The rows that a query gave: they are in memory, and do not change."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def to_arrow(self) -> pa.Table:
        """Return the rows as a pyarrow Table."""
        return self._table

    @property
    def columns(self) -> Sequence[str]:
        """The names of the columns."""
        return list(self._table.column_names)

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __repr__(self) -> str:
        return f"Answer({len(self):,} rows: {', '.join(self.columns)})"


def closed(rows: Any) -> pa.Table:
    """Return the rows of an open stream as a table."""
    import pyarrow as pa

    return pa.Table.from_batches(list(rows.batches), rows.schema)
