"""What is told of a row: the rows that it came from, and those that came from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

Grain = Literal["rows", "some", "whole"]
"""`rows`: it is these rows, all of them and no others. `some`: it is some of these, nobody knows which, and no others. `whole`: any row of
the task may be one."""

State = Literal["current", "quarantined", "removed"]
Key = str | int | Mapping[str, Any] | Sequence[Any]
"""A value alone, columns with their values, or the values of the key's columns in order."""

LIMIT = 5  # rows that are shown of each task

Kind = Literal["table", "view", "files", "sources", "none"]


class Since(NamedTuple):
    """A run after which the part of an artifact in which a row is has not changed: the row was computed in it, or before.

    Attributes:
        run_id: empty where the run is no longer listed.
        at_ms: when it had made the artifact, in milliseconds since 1970.
    """

    run_id: str
    at_ms: int


class Row(NamedTuple):
    """One row.

    Attributes:
        key: the columns that name it; empty in a table without a key.
        values: of its other columns those that can be shown, long texts cut.
        since: None where it is not known.
    """

    key: Mapping[str, Any]
    values: Mapping[str, Any]
    since: Since | None = None


class Aside(NamedTuple):
    """A row that is set aside, and why: of the task's own table, or an item of which it could not make one."""

    key: Mapping[str, Any]
    error: str


class Step(NamedTuple):
    """What one task has to do with the row that was asked for.

    Attributes:
        task: its name; of source files the task that reads them.
        kind: what it made; `sources`: these are its source files; `none`: nothing that is there.
        by: the tasks through which it was reached; empty for the task itself.
        grain: how exact this is.
        total: how many rows it is.
        rows: the first of them.
        notes: what else had a part, or why no row can be told.
        state: `fresh`, `stale` or `waits`, as `mmetl list` says.
        built_ms: when its artifact was built; None if it has none.
        run_id: the run that did so.
        place: the folder, the store or the files in which its rows are kept besides.
        aside: rows that are set aside.
    """

    task: str
    kind: Kind
    by: Sequence[str] = ()
    grain: Grain = "rows"
    total: int = 0
    rows: Sequence[Row] = ()
    notes: Sequence[str] = ()
    state: str = ""
    built_ms: int | None = None
    run_id: str = ""
    place: str = ""
    aside: Sequence[Aside] = ()


class Lineage(NamedTuple):
    """The answer.

    Attributes:
        task: `pipeline:task`.
        state: whether the row is there; `removed`: an earlier build has it.
        start: the row.
        upstream: where it came from, the nearest first.
        downstream: what came from it, the nearest first.
        parts_read: how many parts of artifacts were read.
        parts: how many parts the artifacts have of which some were read.
    """

    task: str
    state: State
    start: Step
    upstream: Sequence[Step]
    downstream: Sequence[Step]
    parts_read: int
    parts: int
