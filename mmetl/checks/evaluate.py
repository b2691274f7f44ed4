"""Evaluate all checks of a task in one query over its parts."""

from __future__ import annotations

import datetime as dt
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from mmetl.cache.python_rows import python_rows
from mmetl.checks.footers import read_footers
from mmetl.checks.functions import Own, put_function
from mmetl.checks.languages import put_language
from mmetl.checks.repeats import repeated
from mmetl.checks.rules import REPEATED, THIS, Rule, Severity, compile_check
from mmetl.checks.split import split
from mmetl.contracts.artifact import Manifest
from mmetl.contracts.transform import Input, Parts, Table
from mmetl.engines.duckdb import Session, session
from mmetl.errors import TaskError
from mmetl.transforms.tabular.exactness import reasons_below
from mmetl.utils.text import near
from mmetl.utils.time import seconds_of

MOST_REPEATED = 1_000_000
"""Hashes; where more are repeated, all rows are grouped at once."""


class Result(NamedTuple):
    """What came of one check.

    Attributes:
        label: what messages call it, such as `range(n)`.
        severity: what is asked for where it fails.
        told: what is wrong, such as `3 rows`; empty where all is well.
        rows: how many rows fail; 0 for what no row is to blame for.
        fails: whether the table must not be published.
        sample: failing rows, as many as were asked for.
    """

    label: str
    severity: Severity
    told: str = ""
    rows: int = 0
    fails: bool = False
    sample: Sequence[Mapping[str, Any]] = ()

    def __str__(self) -> str:
        return f"{self.label}: {self.told or 'holds'}"


class Examination:
    """A table whose checks can be evaluated, in an open session.

    Args:
        table: the table or view under check, in the session as `this`.
        rules: its checks, compiled.
        db: the session.
        scratch: folder for what does not fit into memory.
    """

    def __init__(self, table: Input, rules: Sequence[Rule], db: Session, scratch: Path) -> None:
        self._table, self._rules, self._db, self._scratch = table, rules, db, scratch

    def results(self, sample: int = 0) -> list[Result]:
        """Return one result for each check, in their order, with so many rows of each that fails."""
        with _reworded():
            total, values = _measure(self._db, self._rules, self._scratch)
            results = [_result(rule, v, total, self._db) for rule, v in zip(self._rules, values, strict=True)]
            return [
                r._replace(sample=_rows(self._db, rule, sample if r.told else 0))
                for r, rule in zip(results, self._rules, strict=True)
            ]

    def set_aside(self, parts: Parts, before: Table | None) -> tuple[Manifest, Manifest]:
        """Return the table without the rows that a check of severity `quarantine` refuses, and the table of those.

        Args:
            parts: where parts go.
            before: the rows that were set aside already.
        """
        assert isinstance(self._table, Table)  # no check of a view has this severity
        with _reworded():
            return split(self._db, self._table, self._rules, parts, before)


@contextmanager
def examine(
    table: Input,
    expect: Sequence[Mapping[str, Any]],
    related: Mapping[str, Input],
    own: Own,
    scratch: Path,
    *,
    threads: int = 1,
    memory_limit: str | None = None,
    on_cancel: Callable[[Callable[[], None]], None] | None = None,
) -> Iterator[Examination]:
    """Open a table to its checks.

    Args:
        table: the table under check, or the view: its query is run.
        expect: validated checks, as JSON values.
        related: `task.column` of a relationship to another task -> what that task made.
        own: the functions that checks call.
        scratch: folder for what does not fit into memory.
        threads: how many threads may be used.
        memory_limit: such as `2GB`, above which queries spill.
        on_cancel: registers a function that interrupts the work.

    Raises:
        TaskError: for a check that cannot be put to the table: an unknown column, a wrong type or query.
    """
    names = {to: f"other_{n}" for n, to in enumerate(related)}
    others = _others(table, expect, related, names)
    footers = read_footers(table, set(_looked_at(expect)))
    alone = any(reasons_below((table,)))
    rules = [compile_check(check, table.manifest, others, footers) for check in expect]
    tables: dict[str, Input] = {THIS: table, **{names[to]: found for to, found in related.items()}}
    with session(
        scratch,
        tables=tables,
        threads=1 if alone else threads,
        memory_limit=memory_limit,
        canonical=alone,
        on_cancel=on_cancel,
    ) as db:
        with _reworded():
            for rule in rules:
                _refuse_keyless(rule, table.manifest, db)
            for n, rule in enumerate(rules):
                if rule.kind == "function":
                    rules[n] = put_function(rule, n, own, table, db)
                elif rule.kind == "language":
                    rules[n] = put_language(rule, n, db)
        yield Examination(table, rules, db, scratch)


def _looked_at(expect: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the columns, in lower case, of which the ends of files may tell enough."""
    for check in expect:
        yield from (name.lower() for kind in ("not_null", "unique") for name in check.get(kind, ()))
        said = (check.get(kind) for kind in ("accepted_values", "regex", "text_length", "relationship", "freshness"))
        yield from (found["column"].lower() for found in said if found)


def _refuse_keyless(rule: Rule, manifest: Manifest, db: Session) -> None:
    """Raise TaskError for a query whose rows are to be set aside, and have no key to find them by."""
    if rule.kind != "sql" or rule.severity != "quarantine":
        return
    names = [name for name, _ in db.columns(str(rule.said).strip().rstrip(";"))]
    for column in manifest.key:
        if column.lower() not in {n.lower() for n in names}:
            raise TaskError(
                f"the query of a check with `severity: quarantine` gives no column '{column}' of the key",
                help="select the key of the rows that fail",
            )


def _others(
    table: Input, expect: Sequence[Mapping[str, Any]], related: Mapping[str, Input], names: Mapping[str, str]
) -> dict[str, tuple[str, str]]:
    """Return, of each relationship, where the values of the other column are."""
    found = {}
    for said in (check["relationship"] for check in expect if "relationship" in check):
        to = said["to"]
        other = related.get(to, table)
        column = to[len(other.task) + 1 :]
        known = [c.name for c in other.manifest.columns]
        if column.lower() not in {k.lower() for k in known}:
            close = near(column, known)
            help_ = f"did you mean '{close}'?" if close else f"columns: {', '.join(known)}"
            raise TaskError(
                f"check relationship({said['column']}): '{other.task}' has no column '{column}'", help=help_
            )
        found[to] = (names.get(to, THIS), column)
    return found


def _measure(db: Session, rules: Sequence[Rule], scratch: Path) -> tuple[int, list[int | None]]:
    """Return how many rows there are, and what each rule counts; None where there is nothing to count.

    One query, and one more for each rule that was not proved to hold.
    """
    # Counting all rows costs nothing, and makes it an aggregate where all else are queries of their own.
    asked = [rule.proof or ("null" if rule.hashes else rule.measure) for rule in rules if rule.measure]
    ((total, *found),) = db.rows(f"select {', '.join(['count(*)', *asked])} from {THIS}")
    values = iter(found)
    counts = [next(values) if rule.measure else None for rule in rules]
    for n, rule in enumerate(rules):
        if counts[n] if rule.proof else rule.hashes:
            counts[n] = _again(db, rule, total, scratch)
    return total, counts


def _again(db: Session, rule: Rule, total: int, scratch: Path) -> int:
    """Return what a rule counts that was not proved to hold: first by hashes, where it has these."""
    measure = rule.measure
    if rule.hashes:
        batches = (batch.column(0).to_numpy() for batch in db.stream(rule.hashes).batches)
        found = repeated(batches, total, scratch)
        if not len(found):
            return 0
        if len(found) <= MOST_REPEATED:
            db.register(REPEATED, pa.table({"h": found}))
            measure = rule.among
    ((_, count),) = db.rows(f"select count(*), {measure} from {THIS}")
    return int(count)


def _rows(db: Session, rule: Rule, limit: int) -> list[dict[str, Any]]:
    if not limit or not rule.failing:
        return []
    batches = db.stream(f"select * from (\n{rule.failing}\n) limit {limit}").batches
    return list(itertools.islice((row for batch in batches for row in python_rows(batch)), limit))


def _result(rule: Rule, value: int | None, total: int, db: Session) -> Result:
    rows = 0
    if rule.kind == "row_count":
        told = _count(total, rule.said)
    elif rule.kind == "schema":
        told = "; ".join(_differences(db, rule.said))
    elif rule.kind == "freshness":
        told = _age(value, rule.said["max_age"])
    else:
        rows = int(value or 0)
        told = _rows_of(rows) if rows else ""
    if rule.severity != "quarantine" or rows <= rule.max_fraction * total:
        return Result(rule.label, rule.severity, told, rows, rule.severity == "error" and bool(told))
    told = f"{rows:,} of {_rows_of(total)}, more than a share of {rule.max_fraction:g}"
    return Result(rule.label, rule.severity, told, rows, fails=True)


def _count(rows: int, said: Mapping[str, int | None]) -> str:
    low, high = said.get("min"), said.get("max")
    if low is not None and rows < low:
        return f"the table has {_rows_of(rows)}, expected at least {low:,}"
    if high is not None and rows > high:
        return f"the table has {_rows_of(rows)}, expected at most {high:,}"
    return ""


def _rows_of(n: int) -> str:
    return "1 row" if n == 1 else f"{n:,} rows"


def _age(newest_us: int | None, max_age: str) -> str:
    if newest_us is None:
        return "there is no time in the column"
    if time.time() - newest_us / 1e6 <= seconds_of(max_age):
        return ""
    newest = dt.datetime(1970, 1, 1) + dt.timedelta(microseconds=newest_us)  # noqa: DTZ001  printed as UTC
    return f"the newest is {newest:%Y-%m-%d %H:%M:%S} UTC, older than {max_age}"


def _differences(db: Session, said: Mapping[str, str]) -> Iterator[str]:
    """Yield how the columns of the table differ from a contract."""
    found = {name.lower(): (name, kind) for name, kind in db.columns(f"select * from {THIS}")}
    wanted = db.columns("select " + ", ".join(f"cast(null as {kind}) as c{n}" for n, kind in enumerate(said.values())))
    for name, (_, kind) in zip(said, wanted, strict=True):
        _, has = found.pop(name.lower(), (name, ""))
        if not has:
            yield f"'{name}' is missing"
        elif has != kind:
            yield f"'{name}' is {has}, expected {kind}"
    yield from (f"'{name}' is not expected" for name, _ in found.values())


@contextmanager
def _reworded() -> Iterator[None]:
    """Say of what DuckDB refuses that it was met in a check."""
    try:
        yield
    except TaskError as e:
        if e.what == "the query was interrupted":
            raise
        raise TaskError(f"its checks cannot be evaluated: {e.what}", e.where, e.help) from e
