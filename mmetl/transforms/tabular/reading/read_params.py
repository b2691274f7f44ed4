"""The params of `tabular.read`."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from mmetl.utils.time import seconds_of

Format = Literal["csv", "tsv", "ndjson", "json", "arrow", "parquet", "xlsx", "sqlite"]
MAX_BAD_FRACTION = 0.01  # a wrong delimiter or a wrong type spoils nearly all rows, a writer's mishap few
_DURATION = re.compile(r"(\d+(?:\.\d+)?) ?(s|m|h|d|w)")


class Watermark(BaseModel):
    """How a table that grows is read on from where the last read ended."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    column: str = Field(description="a column that grows with each new or changed row")
    lookback: float | int | str = Field(
        default=0,
        description="how far before the last value to read again: where the column holds numbers a number in its unit,"
        " where it holds times as text a time such as 90s, 15m, 2h, 1d",
    )

    @property
    def lookback_s(self) -> float | None:
        """The lookback in seconds, or None when it is a number in the column's own unit."""
        found = _DURATION.fullmatch(self.lookback) if isinstance(self.lookback, str) else None
        return seconds_of(found[0]) if found else None


class ReadParams(BaseModel):
    """Params of `tabular.read`."""

    model_config = ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True)

    path: str | list[str] = Field(description="a file, a glob or a list of them, relative to the project")
    format: Format | None = Field(
        default=None,
        description="csv, tsv, ndjson, json, arrow, parquet, xlsx or sqlite; default: by the path's extension",
    )
    schema_: Literal["same", "union"] = Field(
        default="same",
        alias="schema",
        description="whether files of other columns are refused, or make up one table of all columns: null where one is"
        " missing, and in a type that holds the values of all files, else text",
    )
    types: dict[str, str] = Field(
        default_factory=dict,
        description="column: DuckDB type, where it should not be what the values suggest; a cast as in SQL: 1.25 as INTEGER"
        " is 1, and what cannot be cast is an error",
    )
    columns: list[str] = Field(default_factory=list, description="columns to keep, in this order; default: all")
    partition_by: list[str] = Field(
        default_factory=list,
        description="columns whose values are in the names of the folders, such as year=2024/region=eu: what"
        " `tabular.write` with `partition_by` has written",
    )
    names: list[str] = Field(
        default_factory=list, description="names of all columns, for csv, tsv and xlsx without a header"
    )
    delimiter: str | None = Field(
        default=None, min_length=1, max_length=1, description="between columns; default: a comma, in tsv a tab"
    )
    header: bool = Field(
        default=True, description="whether a csv, tsv or xlsx file begins with the names of its columns"
    )
    null_values: list[str] = Field(
        default_factory=list, description="texts that mean null in csv and tsv, beside nothing"
    )
    encoding: Literal["utf-8", "latin-1", "utf-16"] = Field(default="utf-8", description="of csv and tsv files")
    bad_rows: Literal["fail", "quarantine"] = Field(
        default="fail",
        description="whether a row of a csv, tsv or ndjson file that cannot be read fails the task, or is set aside, to be"
        " looked at with `mmetl quarantine show`",
    )
    max_bad_fraction: float = Field(
        default=MAX_BAD_FRACTION,
        ge=0,
        le=1,
        description="the share of all rows that `bad_rows: quarantine` may set aside; more fail the task",
    )
    sheet: Annotated[int, Field(ge=1)] | str | None = Field(
        default=None, description="of an xlsx file: its name, or its number from 1; default: the first"
    )
    table: str | None = Field(default=None, description="the table to read, of a SQLite file")
    query: str | None = Field(default=None, description="a SELECT to read, in SQLite's own SQL")
    watermark: Watermark | None = Field(
        default=None, description="read only rows that are new since the last run; SQLite with a key only"
    )

    @property
    def paths(self) -> list[str]:
        """The paths as a list."""
        return [self.path] if isinstance(self.path, str) else self.path
