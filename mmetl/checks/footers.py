"""What the ends of a table's Parquet files tell of its columns, so that some checks cost nothing or little."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from mmetl.contracts.transform import Input, Table

_EXACT = 2**62  # of larger numbers the difference might not fit; as times they stand for infinity
_FEW_BYTES = 2.5  # a value, in dictionary and numbers together: texts that hardly repeat take more
# Parquet has no seconds: they are stored as something else.
_MICROSECONDS = {"D": 86_400_000_000, "ms": 1_000, "us": 1, "ns": 0.001}


class Footers(NamedTuple):
    """What is known of columns, by their names in lower case.

    Attributes:
        filled: those in which no value is null.
        bounds: of columns of integers: a number that none is below, and one that none is above.
        few: columns of texts which are so few that dictionaries hold them.
        newest: of columns of times, the latest, in microseconds since 1970 in UTC.
    """

    filled: frozenset[str] = frozenset()
    bounds: Mapping[str, tuple[int, int]] = {}
    few: frozenset[str] = frozenset()
    newest: Mapping[str, int] = {}


def read_footers(table: Input, names: Collection[str]) -> Footers:
    """Look at the columns of these names, in lower case. Of a view nothing is known."""
    if not names or not isinstance(table, Table):
        return Footers()
    import pyarrow.parquet as pq

    ends = {name: _Ends() for name in names}
    for path in table.paths:
        footer = pq.read_metadata(path)
        wanted = [n for n in range(footer.num_columns) if footer.schema.column(n).path.lower() in names]
        for group, column in itertools.product(range(footer.num_row_groups), wanted):
            said = footer.row_group(group).column(column)
            ends[said.path_in_schema.lower()].add(said)
    kinds = {c.name.lower(): c.type for c in table.manifest.columns}
    found = {name: end for name, end in ends.items() if end.groups and name in kinds}
    integers = {name: end for name, end in found.items() if kinds[name].startswith(("int", "uint")) and end.known}
    bounds = {name: (end.low, end.high) for name, end in integers.items() if end.low <= end.high}
    return Footers(
        frozenset(name for name, end in found.items() if not end.nulls),
        {name: (low, high) for name, (low, high) in bounds.items() if max(-low, high) < _EXACT},
        frozenset(name for name, end in found.items() if kinds[name] == "string" and end.few),
        {name: us for name, end in found.items() if (us := _newest(kinds[name], end)) is not None},
    )


class _Ends:
    """What the row groups of one column say together.

    Attributes:
        groups: how many there are.
        nulls: how many values are null, or at least 1 where that is not said.
        known: whether all of them say between which values theirs are.
        low: the smallest of these, for columns of numbers and times.
        high: the largest.
        few: whether all have dictionaries, of so few values that their numbers take the place.
    """

    def __init__(self) -> None:
        self.groups, self.nulls = 0, 0
        self.known, self.few = True, True
        self.low, self.high = 2**64, -(2**64)

    def add(self, said: Any) -> None:
        """Take in a row group."""
        self.groups += 1
        stats = said.statistics if said.is_stats_set else None
        self.nulls += stats.null_count if stats and stats.has_null_count else 1
        self.few &= said.has_dictionary_page and said.total_uncompressed_size < _FEW_BYTES * said.num_values
        if stats and stats.has_min_max and stats.physical_type in {"INT32", "INT64"}:
            low, high = (_number(stats, end) for end in ("min", "max"))
            self.low, self.high = min(self.low, low), max(self.high, high)
        elif stats is None or stats.num_values:
            self.known = False


def _number(stats: Any, end: str) -> int:
    """Return an end as a number: of what is no integer, such as a time, the one that is stored."""
    return int(getattr(stats, end if stats.logical_type.type in {"INT", "NONE"} else f"{end}_raw"))


def _newest(kind: str, end: _Ends) -> int | None:
    """Return the latest time of a column in microseconds; None: not known, or not a time."""
    unit = "D" if kind == "date32[day]" else kind.removeprefix("timestamp[")[:2] if "timestamp[" in kind else ""
    scale = _MICROSECONDS.get(unit.rstrip(",]"))
    if scale is None or not end.known or abs(end.high) >= _EXACT:
        return None
    return int(end.high * scale) if scale >= 1 else end.high // 1000
