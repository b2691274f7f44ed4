"""What the ends of a table's Parquet files tell of its columns, so that some checks cost nothing or little."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping
from typing import NamedTuple

from mmetl.contracts.artifact import Manifest
from mmetl.contracts.transform import Input, Table

_EXACT = 2**62  # of larger numbers the difference might not fit


class Footers(NamedTuple):
    """What is known of columns, by their names in lower case.

    Attributes:
        filled: those in which no value is null.
        bounds: of columns of integers: a number that none is below, and one that none is above.
    """

    filled: frozenset[str] = frozenset()
    bounds: Mapping[str, tuple[int, int]] = {}


def read_footers(table: Input, names: Collection[str]) -> Footers:
    """Look at the columns of these names, in lower case. Of a view nothing is known."""
    if not names or not isinstance(table, Table):
        return Footers()
    import pyarrow.parquet as pq

    nulls: dict[str, int] = {}
    ends: dict[str, list[int]] = {}
    unknown: set[str] = set(names) - _integers(table.manifest)
    for path in table.paths:
        footer = pq.read_metadata(path)
        wanted = [n for n in range(footer.num_columns) if footer.schema.column(n).path.lower() in names]
        for group, column in itertools.product(range(footer.num_row_groups), wanted):
            said = footer.row_group(group).column(column)
            name, stats = said.path_in_schema.lower(), said.statistics if said.is_stats_set else None
            nulls[name] = nulls.get(name, 0) + (stats.null_count if stats and stats.has_null_count else 1)
            if stats and stats.has_min_max and name not in unknown:
                ends.setdefault(name, []).extend((stats.min, stats.max))
            elif stats is None or stats.num_values:
                unknown.add(name)
    bounds = {name: (min(e), max(e)) for name, e in ends.items() if name not in unknown}
    exact = {name: (low, high) for name, (low, high) in bounds.items() if max(-low, high) < _EXACT}
    return Footers(frozenset(name for name, count in nulls.items() if not count), exact)


def _integers(manifest: Manifest) -> set[str]:
    return {c.name.lower() for c in manifest.columns if c.type.startswith(("int", "uint"))}
