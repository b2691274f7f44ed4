"""Lineage: how the rows of a task's table and those of what it reads belong together, as data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, Protocol

from mmetl.contracts.artifact import Manifest
from mmetl.utils.text import quote

SOURCES = ""
"""What the source files of a task are called among its inputs: a table of one column, `path`."""

PATH = '"path"'


class Trace(NamedTuple):
    """Which rows of an input the rows of a table came from.

    A row came from those rows of the input for which `where` is true and each pair is equal, null being equal to null. Several traces of
    one input add up: some rows have a part as they are, and others as a whole.

    Attributes:
        input: alias of the input; SOURCES for the source files.
        pairs: (expression over the table, expression over the input), in DuckDB's SQL. None at all: from every row of the input.
        where: a condition on the rows of the input; empty: none.
        exact: whether it came from all of these rows; else from some of them, nobody knows which, and from no others.
        must: whether it surely came from one of these rows: if there is only one, it is that.
        same_cut: whether both tables are cut into buckets alike, so that rows which belong together lie in buckets of one number.
        through: how the rows of another input came into the table, whose rows these pairs are over; None: over the table's own.
        why: what else had a part, or why no pair is known. A sentence without a capital and a full stop.
    """

    input: str
    pairs: tuple[tuple[str, str], ...] = ()
    where: str = ""
    exact: bool = True
    must: bool = False
    same_cut: bool = False
    why: str = ""
    through: Trace | None = None

    @property
    def outermost(self) -> Trace:
        """The trace whose pairs are over the table itself."""
        return self.through.outermost if self.through else self

    @property
    def whole(self) -> bool:
        """Whether nothing is known of single rows."""
        return not self.pairs and not self.exact


def whole(alias: str, why: str) -> Trace:
    """Say that no row of an input can be told from another."""
    return Trace(alias, exact=False, why=why)


def by_columns(
    alias: str, columns: Iterable[str], *, exact: bool = True, same_cut: bool = False, why: str = ""
) -> Trace:
    """Say that rows belong together which have the same in some columns."""
    pairs = tuple((quote(c), quote(c)) for c in columns)
    return Trace(alias, pairs, exact=exact and bool(pairs), same_cut=same_cut, why=why)


def same_rows(inputs: Mapping[str, Manifest], why: str = "") -> Iterator[Trace]:
    """Yield that the rows of a table are rows of its inputs, under their keys and in their buckets."""
    yield from (by_columns(alias, table.key, same_cut=True, why=why) for alias, table in inputs.items())


class Traced(Protocol):
    """A transform that knows where its rows come from."""

    def lineage(self, params: object, inputs: Mapping[str, Manifest], key: tuple[str, ...]) -> Iterable[Trace]:
        """Yield what is known of each input. Nothing is read. An input that none of them names is taken as a whole.

        Args:
            params: of the task.
            inputs: alias -> what is read; families and views without parts.
            key: of the task's own table, as the YAML says.
        """
        ...
