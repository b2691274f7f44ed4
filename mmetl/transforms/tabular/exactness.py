"""Whether the number of threads may change what a query gives: what its inputs tell of that."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mmetl.contracts.transform import Input, View


def reasons_below(inputs: Iterable[Input]) -> Iterator[str]:
    """Yield why the number of threads may change the result of a view that is read."""
    for view in (i for i in inputs if isinstance(i, View)):
        from mmetl.engines.sql.query import analyse  # its parser is loaded where there is a view only

        exact = exact_columns(view.inputs.values())
        yield from analyse(view.manifest.sql, volatile=True).single_thread(exact)
        yield from reasons_below(view.inputs.values())


def exact_columns(tables: Iterable[Input]) -> frozenset[str]:
    """Return the lower-case names of columns that hold integers or decimals in every table that has them."""
    exact: set[str] = set()
    other: set[str] = set()
    for table in tables:
        for column in table.manifest.columns:
            if "<" in column.type:
                return frozenset()  # a struct may be unpacked into columns of any name
            is_exact = column.type.startswith(("int", "uint", "decimal"))
            (exact if is_exact else other).add(column.name.lower())
    return frozenset(exact - other)
