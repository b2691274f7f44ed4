"""`test`, without its parsing."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmetl.cli.output import JSON_SCHEMA_VERSION, columns, count, say, say_json
from mmetl.cli.rows import cell
from mmetl.core.cases.bench import Bench, Verdict
from mmetl.core.cases.collect import collect
from mmetl.core.cases.unrecorded import Unrecorded
from mmetl.errors import ExitCode
from mmetl.observability.logs import routed_output

SHOWN_ROWS = 20  # rows of one test that are printed; all are in `--json`
SHOWN_LOG = 20  # lines of what a task printed
ASIDE = "set aside: "


def run_tests(names: Sequence[str], select: Sequence[str], exclude: Sequence[str], *, as_json: bool) -> int:
    """Run tests and say how each came out."""
    project = Unrecorded.open(".")
    assert isinstance(project, Unrecorded)
    trials = collect(project, names, select, exclude)
    verdicts = []
    with tempfile.TemporaryDirectory(prefix="mmetl-test-") as folder:
        bench = Bench(project, Path(folder))
        for trial in trials:
            with routed_output():
                verdict = bench.run(trial)
            verdicts.append(verdict)
            if not as_json:
                say(_text(verdict))
    statuses = [v.status for v in verdicts]
    if as_json:
        say_json(
            {
                "schema_version": JSON_SCHEMA_VERSION,
                "tests": [_object(v) for v in verdicts],
                **{status: statuses.count(status) for status in ("passed", "failed", "invalid")},
            }
        )
    else:
        told = [f"{statuses.count(s)} {s}" for s in ("passed", "failed", "invalid") if s in statuses or s == "passed"]
        say(f"{count(len(verdicts), 'test')}: {', '.join(told)}")
    if "invalid" in statuses:
        return ExitCode.CONFIG
    return ExitCode.TASK_FAILED if "failed" in statuses else ExitCode.DONE


def _text(verdict: Verdict) -> str:
    trial = verdict.trial
    where = trial.where(on_key=True)
    head = f"{verdict.status}  {trial.name}"
    if verdict.status == "passed":
        return head
    lines = [f"{head}  ({trial.case.task})  {where.file}:{where.line}:{where.column}"]
    if verdict.error:
        lines += _indented(str(verdict.error))
    for contrast, label in ((verdict.contrast, ""), (verdict.aside, ASIDE)):
        if contrast:
            lines += _indented(label + _summary(contrast), _table(contrast, verdict.columns))
    if verdict.log:
        printed = verdict.log.splitlines()
        more = [f"... {len(printed) - SHOWN_LOG} lines above"] if len(printed) > SHOWN_LOG else []
        lines += _indented("it printed:", *(f"  {line}" for line in (*more, *printed[-SHOWN_LOG:])))
    return "\n".join(lines)


def _indented(*texts: str) -> list[str]:
    return [f"  {line}".rstrip() for text in texts for line in text.splitlines()]


def _summary(contrast: Any) -> str:
    if contrast.moved:
        return "the rows come in another order"
    told = [
        (len(contrast.different), "differs", "differ"),
        (len(contrast.missing), "is missing", "are missing"),
        (len(contrast.unexpected), "is unexpected", "are unexpected"),
    ]
    return "; ".join(f"{count(n, 'row')} {one if n == 1 else many}" for n, one, many in told if n)


def _table(contrast: Any, names: Sequence[str]) -> str:
    """Return the rows that differ: `~` with other values, `-` missing, `+` unexpected."""
    lines = list(_lines(contrast, names))
    if not lines:
        return ""
    shown = columns([["", *names], *lines[:SHOWN_ROWS]], indent="")
    more = len(lines) - SHOWN_ROWS
    return f"{shown}\n... and {count(more, 'row')} more; --json has them" if more > 0 else shown


def _lines(contrast: Any, names: Sequence[str]) -> Iterator[list[str]]:
    for pair in contrast.different:
        yield ["~", *(_change(pair, name) if name in pair.columns else _value(pair.found, name) for name in names)]
    for sign, rows in (("-", contrast.missing), ("+", contrast.unexpected)):
        for row in rows:
            yield [sign, *(_value(row, name) for name in names)]


def _change(pair: Any, name: str) -> str:
    return f"{_value(pair.found, name)} (expected {_value(pair.expected, name)})"


def _value(row: Mapping[str, Any], name: str) -> str:
    """Return a cell; null and an empty text are told apart, since they may be all that differs."""
    value = row.get(name)
    return "null" if value is None and name in row else "''" if value == "" else cell(value)


def _object(verdict: Verdict) -> dict[str, Any]:
    trial = verdict.trial
    where = trial.where(on_key=True)
    error = verdict.error
    return {
        "test": trial.name,
        "pipeline": trial.pipeline.plan.pipeline,
        "task": trial.case.task,
        "file": where.file,
        "line": where.line,
        "status": verdict.status,
        "error": str(error) if error else None,
        "rows": _difference(verdict.contrast),
        "quarantined": _difference(verdict.aside),
        "log": verdict.log or None,
    }


def _difference(contrast: Any) -> dict[str, Any] | None:
    """Return what differs; None where nothing does."""
    if not contrast:
        return None
    return {
        "missing": list(contrast.missing),
        "unexpected": list(contrast.unexpected),
        "different": [
            {"expected": p.expected, "found": p.found, "columns": list(p.columns)} for p in contrast.different
        ],
        "other_order": contrast.moved,
    }
