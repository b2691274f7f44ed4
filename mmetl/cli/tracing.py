"""`why --key`, without its parsing: the rows that a row came from and that came from it, as a tree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmetl.api.lineage.model import Lineage, Row, Step
from mmetl.cli.output import JSON_SCHEMA_VERSION, count, say, say_json, utc
from mmetl.cli.rows import cell
from mmetl.core.looking.find import find_task
from mmetl.core.project import Project
from mmetl.engines.packages import require
from mmetl.errors import ExitCode
from mmetl.utils.text import shown

LINE = 110  # characters of a row that is shown
_GONE = {"quarantined": "the row is set aside", "removed": "the row is no longer there; an earlier build had it"}
WAYS = (("came from", "upstream"), ("went into", "downstream"))


def why_row(task: str, key: Sequence[str], limit: int, *, as_json: bool = False) -> int:
    """Say from which rows a row came, and which came from it."""
    require("tabular", "duckdb", "pyarrow")
    from mmetl.api.lineage.keys import parsed_key
    from mmetl.api.lineage.trace import trace

    project = Project.open(".")
    plan, name = find_task(project, task)
    found = trace(project, plan, name, parsed_key(key), limit)
    if as_json:
        say_json(_json(found))
    else:
        for line in _lines(found, limit):
            say(line)
    return ExitCode.DONE


def _json(found: Lineage) -> dict[str, Any]:
    """Return the object that `why --key --json` prints."""
    return {
        "schema_version": JSON_SCHEMA_VERSION,
        "task": found.task,
        "state": found.state,
        "start": _step_json(found.start),
        "upstream": [_step_json(s) for s in found.upstream],
        "downstream": [_step_json(s) for s in found.downstream],
        "parts_read": found.parts_read,
        "parts": found.parts,
    }


def _step_json(step: Step) -> dict[str, Any]:
    return {
        "task": step.task,
        "kind": step.kind,
        "by": list(step.by),
        "grain": step.grain,
        "total": step.total,
        "rows": [_row_json(row) for row in step.rows],
        "notes": list(step.notes),
        "state": step.state or None,
        "built": utc(step.built_ms),
        "run_id": step.run_id or None,
        "place": step.place or None,
        "quarantined": [{"key": dict(aside.key), "error": aside.error} for aside in step.aside],
    }


def _row_json(row: Row) -> dict[str, Any]:
    since = row.since and {"run_id": row.since.run_id or None, "at": utc(row.since.at_ms)}
    return {"key": dict(row.key), "values": dict(row.values), "since": since or None}


# --- as a tree


def _lines(found: Lineage, limit: int) -> Iterator[str]:
    head = _head(found.start) if found.state == "current" else f"{found.start.task}: {_GONE[found.state]}"
    yield f"{found.task.partition(':')[0]}:{head}"
    yield from (f"  {line}" for line in _rows(found.start, limit))
    for word, way in WAYS:
        steps: Sequence[Step] = getattr(found, way)
        if steps:
            yield word
            yield from _tree(steps, found.start.task, limit, "")


def _state(step: Step) -> str:
    return {"stale": "stale: a run may change it", "waits": "waits: a run may change it"}[step.state]


def _tree(steps: Sequence[Step], by: str, limit: int, indent: str) -> Iterator[str]:
    """Yield the steps that were first reached through a task, each with those that were first reached through it."""
    own = [s for s in steps if s.by[0] == by and (s.task != by or s.kind == "sources")]
    for step in own:
        last = step is own[-1]
        below = indent + ("   " if last else "│  ")
        yield f"{indent}{'└─' if last else '├─'} {_head(step)}"
        inside = any(s.by[0] == step.task for s in steps if s is not step) and step.kind != "sources"
        yield from (f"{below}{'│' if inside else ' '} {line}" for line in _rows(step, limit))
        if step.kind != "sources":
            yield from _tree(steps, step.task, limit, below)


def _head(step: Step) -> str:
    noun = "file" if step.kind in {"files", "sources"} else "row"
    many = count(step.total, noun)
    maybe = f"some of {many}" if step.total > 1 else f"perhaps {many}"
    amount = {"rows": many, "some": maybe, "whole": f"as a whole, {many}"}[step.grain]
    name = "source" if step.kind == "sources" else step.task
    since = {row.since.run_id for row in step.rows if row.since}
    told = [
        amount,
        f"since run {min(since)}" if len(since) == 1 and min(since) else "",
        f"kept in {step.place}" if step.place else "",
        _state(step) if step.state not in {"", "fresh"} else "",
        f"also by {', '.join(step.by[1:])}" if step.by[1:] else "",
    ]
    return f"{name}: {', '.join(filter(None, told))}"


def _rows(step: Step, limit: int) -> Iterator[str]:
    among = "among them: " if step.grain == "whole" else ""
    for row in step.rows[:limit]:
        yield f"{among}{_row(row)}"
    if step.total > len(step.rows[:limit]) and not among:
        yield f"and {step.total - len(step.rows[:limit]):,} more" if limit else count(step.total, "row")
    yield from (f"set aside: {_values(aside.key)}: {aside.error}" for aside in step.aside)
    yield from (f"note: {note}" for note in step.notes)


def _row(row: Row) -> str:
    line = _values(row.key)
    rest = [f"{name}={cell(value)}" for name, value in row.values.items() if value is not None]
    for text in rest:
        if len(line) + len(text) > LINE:
            break
        line += f"{'  ' if line else ''}{text}"
    return line


def _values(values: Mapping[str, Any]) -> str:
    return "  ".join(f"{name}={shown(str(value))}" for name, value in values.items())
