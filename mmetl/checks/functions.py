"""Checks that are functions of the project: they get columns and say which rows are bad."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import pyarrow as pa
import pyarrow.compute as pc

from mmetl.cache.tables import read_table
from mmetl.checks.rules import PLACED, THIS, Rule
from mmetl.contracts.entry import entry_of
from mmetl.contracts.transform import Input, Table
from mmetl.engines.duckdb import PLACE, PLACE_BITS, Session
from mmetl.errors import MmetlError, TaskError
from mmetl.transforms.tabular.python import raised
from mmetl.utils.text import quote


class Own(NamedTuple):
    """The functions of the project that checks call.

    Attributes:
        functions: `module:qualname` -> the function.
        root: the project's folder.
        log: where the trace of one that fails goes.
    """

    functions: Mapping[str, Callable[..., Any]]
    root: Path
    log: TextIO


def put_function(rule: Rule, number: int, own: Own, table: Input, db: Session) -> Rule:
    """Call the function of a check, and return the rule with the rows that it refuses.

    Args:
        rule: of a check `function`.
        number: of the rule among those of the table.
        own: the functions.
        table: the table or view under check, in the session as `this`.
        db: the session.

    Raises:
        TaskError: if the function fails, or returns anything but a boolean for each row.
    """
    known = {c.name.lower(): c.name for c in table.manifest.columns}
    columns = [known[name.lower()] for name in rule.said["columns"]]
    found = _of_table(rule, own, table, columns, db) if isinstance(table, Table) else _of_view(rule, own, columns, db)
    if not len(found):
        return rule
    name = f"__mmetl_bad_{number}"
    db.register(name, pa.table({"place": found}))
    condition = f"{PLACE} in (select place from {name})"
    failing = f"select * exclude ({PLACE}) from {PLACED} where {condition}"
    return rule._replace(condition=condition, measure=str(len(found)), failing=failing)


def _of_table(rule: Rule, own: Own, table: Table, columns: Sequence[str], db: Session) -> pa.Array:
    """Return the places of the bad rows. A keyed table comes in the order of its key, however it is cut."""
    key = table.manifest.key if table.manifest.buckets > 1 else ()
    rows = read_table(table, list(dict.fromkeys((*columns, *key)))).read_all()
    if not rows.num_rows:
        return pa.array([], pa.int64())
    order = pc.sort_indices(rows, sort_keys=[(k, "ascending") for k in key]) if key else None
    bad = pc.indices_nonzero(_mask(rule, own, (rows.take(order) if key else rows).select(columns)))
    bad = pc.cast(order.take(bad) if order is not None else bad, pa.int64())
    db.add_places(PLACED, table)
    places, start = [], 0
    for number, part in enumerate(table.manifest.parts):
        here = bad.filter(pc.and_(pc.greater_equal(bad, start), pc.less(bad, start + part.rows)))
        places.append(pc.add(here, (number << PLACE_BITS) - start))
        start += part.rows
    return pa.concat_arrays(places)


def _of_view(rule: Rule, own: Own, columns: Sequence[str], db: Session) -> pa.Array:
    """Return the places of the bad rows in a copy of the view, sorted by all columns."""
    db.rows(
        f"create temp table if not exists {PLACED} as select *, row_number() over () - 1 as {PLACE}"
        f" from (from {THIS} order by all)"
    )
    found = db.stream(f"select {', '.join(map(quote, columns))} from {PLACED} order by {PLACE}")
    rows = pa.Table.from_batches(found.batches, found.schema)
    return pc.cast(pc.indices_nonzero(_mask(rule, own, rows)), pa.int64())


def _mask(rule: Rule, own: Own, rows: pa.Table) -> pa.Array:
    function = own.functions[entry_of(rule.said["function"])]
    try:
        result = function(rows, **rule.said.get("args", {}))
    except MmetlError:
        raise
    except Exception as error:
        raise raised(function, error, own.root, own.log) from error
    try:
        mask = pa.chunked_array(result) if hasattr(result, "__arrow_c_stream__") else pa.array(result)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise _no_mask(rule, type(result).__name__) from error
    if len(mask) != rows.num_rows:
        raise _no_mask(rule, f"{len(mask):,} values for {rows.num_rows:,} rows")
    if not pa.types.is_boolean(mask.type) and not pa.types.is_null(mask.type):
        raise _no_mask(rule, f"values of type '{mask.type}'")
    filled = pc.fill_null(mask.cast(pa.bool_()), fill_value=False)
    return filled.combine_chunks() if isinstance(filled, pa.ChunkedArray) else filled


def _no_mask(rule: Rule, what: str) -> TaskError:
    return TaskError(
        f"'{rule.said['function']}' returned {what}", help="return a boolean for each row, true where the row is bad"
    )
