"""`query`, `cypher` and `diff`, without their parsing."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmetl.api.cypher import cypher
from mmetl.api.diff import Change, Difference, diff
from mmetl.api.query import query
from mmetl.cache.python_rows import python_rows
from mmetl.cli.output import JSON_SCHEMA_VERSION, count, say, say_json, talk
from mmetl.cli.rows import cell, print_csv, print_json, print_table
from mmetl.core.looking.find import find_task
from mmetl.core.project import Project
from mmetl.errors import ExitCode, UsageError
from mmetl.utils.text import shown

SIGNS = {"added": "+", "changed": "~", "removed": "-"}


def run_query(sql: str, limit: int | None, *, as_json: bool = False, as_csv: bool = False) -> int:
    """Print the rows of a query over the project's artifacts, as they are computed."""
    _refuse_both(as_json=as_json, as_csv=as_csv)
    with query(Project.open("."), sql) as rows:
        listed = (row for batch in rows.batches for row in python_rows(batch))
        _print(list(rows.schema.names), listed, limit, as_json=as_json, as_csv=as_csv)
    return ExitCode.DONE


def run_cypher(
    task: str, asked: str, params: Sequence[str], limit: int | None, *, as_json: bool = False, as_csv: bool = False
) -> int:
    """Print the rows of a query over the graph of a task."""
    _refuse_both(as_json=as_json, as_csv=as_csv)
    project = Project.open(".")
    plan, name = find_task(project, task)
    with cypher(project, plan, name, asked, _parameters(params)) as answer:
        _print(list(answer.names), answer.rows(), limit, as_json=as_json, as_csv=as_csv)
        for warning in answer.warnings():
            talk(f"warning: {warning}")
    return ExitCode.DONE


def _refuse_both(*, as_json: bool, as_csv: bool) -> None:
    if as_json and as_csv:
        raise UsageError("--json and --csv were both given", help="choose one")


def _print(
    names: Sequence[str], rows: Iterator[dict[str, Any]], limit: int | None, *, as_json: bool, as_csv: bool
) -> None:
    if as_json:
        print_json(itertools.islice(rows, limit))
    elif as_csv:
        print_csv(names, itertools.islice(rows, limit))
    else:
        print_table(names, rows, limit)


def _parameters(pairs: Sequence[str]) -> dict[str, Any]:
    """Return `name=value` pairs; what is JSON is taken as that, everything else as text. Raises UsageError without a `=`."""
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise UsageError(f"--param '{shown(pair)}' has no value", help="write --param name=value")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def show_diff(task: str, against: str | None, limit: int, *, as_json: bool = False) -> int:
    """Print what differs between the current build of a task and an earlier one."""
    project = Project.open(".")
    plan, name = find_task(project, task)
    found = diff(project, plan, name, against, limit)
    if as_json:
        say_json(_json(found))
        return ExitCode.DONE
    numbers = ", ".join(f"{n:,} {kind}" for kind, n in found.counts.items())
    say(f"{found.task}: {numbers} ({found.before.name} -> {found.after.name})")
    for column, (before, after) in found.columns.items():
        said = f"was {before}, is {after}" if before and after else f"added, {after}" if after else f"removed, {before}"
        say(f"column {column}: {said}")
    for change in found.changes:
        say(f"{SIGNS[change.kind]} {_row(change, found.key)}")
    total = sum(found.counts[k] for k in SIGNS)
    if total > len(found.changes):
        say(f"the first {len(found.changes):,} of {count(total, 'change')}; --limit shows more")
    return ExitCode.DONE


def _row(change: Change, key: tuple[str, ...]) -> str:
    """Return one line: a whole row, or the key and the columns that differ."""
    before, after = change.before, change.after
    if before is None or after is None:
        return _values(after or before or {})
    # Columns that only one build has are told once, above.
    differ = [n for n in after if n not in key and n in before and before[n] != after[n]]
    told = ", ".join(f"{n} {cell(before[n])} -> {cell(after[n])}" for n in differ)
    return f"{_values({k: after[k] for k in key})}: {told}"


def _values(row: Mapping[str, Any]) -> str:
    return "  ".join(f"{name}={cell(value)}" for name, value in row.items())


def _json(found: Difference) -> dict[str, Any]:
    """Return the object that `diff --json` prints."""
    return {
        "schema_version": JSON_SCHEMA_VERSION,
        "task": found.task,
        "before": found.before.key or None,
        "after": found.after.key or None,
        "key": list(found.key),
        **found.counts,
        "columns": {name: {"before": b or None, "after": a or None} for name, (b, a) in found.columns.items()},
        "parts_read": found.read,
        "changes": [{"change": c.kind, "before": c.before, "after": c.after} for c in found.changes],
    }
