"""`status`, `why` and `show`, without their parsing."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from typing import Any

from mmetl.cache.layout import SCRATCH
from mmetl.cache.lock import reading
from mmetl.cache.python_rows import python_rows
from mmetl.cli.output import (
    JSON_SCHEMA_VERSION,
    LEFT,
    columns,
    count,
    run_json,
    say,
    say_json,
    size,
    summary,
    task_line,
    utc,
)
from mmetl.cli.rows import cell
from mmetl.contracts.transform import Input, View
from mmetl.core.keep import orphans
from mmetl.core.looking.drift import drifted
from mmetl.core.looking.find import find_task
from mmetl.core.looking.why import Explained, explain_task
from mmetl.core.project import Project
from mmetl.core.reasons import text
from mmetl.core.run import RunResult
from mmetl.core.running.inputs import current_input
from mmetl.core.running.quarantine import all_aside
from mmetl.errors import ExitCode, UsageError
from mmetl.observability.attempts import definition_run
from mmetl.observability.runs import find_run, kept_leftovers

_IS = {"fresh": "is fresh", "stale": "is stale", "waits": "waits"}
SHORT = 8  # digits of a definition's fingerprint
DRIFT = 10  # outputs that `status` names
SORTED_ROWS = 1_000_000  # a keyed table of more is shown in the order in which it is kept


def status(run: str | None, *, as_json: bool = False) -> int:
    """Say what happened in a run; of the latest one also which outputs are not as their tasks left them."""
    project = Project.open(".")
    found = find_run(project.store, run)
    if found is None:
        raise UsageError("nothing ran here yet", help="mmetl run")
    definition = definition_run(project.store, found.id)
    changed = drifted(project) if run is None else []
    if as_json:
        answer = run_json(found.id, found.pipeline, found.status, found.tasks)
        drift = [{"task": f"{d.pipeline}:{d.task}", "reason": text(d.reason)} for d in changed]
        say_json({**answer, "definition": definition or None, "drift": drift})
        return ExitCode.DONE
    ended = found.ended_ms or found.heartbeat_ms
    seconds = (ended - found.started_ms) / 1000
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(found.started_ms / 1000))
    of = f", definition {definition[:SHORT]}" if definition else ""
    say(f"run {found.id}: {found.status}, {at} UTC, pid {found.pid}{of}")
    worked = [task_line(t) for t in found.tasks if t.outcome != "fresh"]
    if worked:
        say(columns(worked))
    say(summary(RunResult(found.id, found.pipeline, found.status, found.tasks, seconds)))
    for d in changed[:DRIFT]:
        say(f"not as it was left: {text(d.reason)} ({d.pipeline}:{d.task}; the next run mends it)")
    if len(changed) > DRIFT:
        say(f"not as it was left: and {len(changed) - DRIFT} more outputs (mmetl dry-run)")
    for aside in all_aside(project):
        rows = count(aside.manifest.rows, "row")
        say(f"set aside: {rows} of {aside.pipeline}:{aside.task} (mmetl quarantine show {aside.task})")
    for path in kept_leftovers(project.store, found.id):
        say(LEFT.format(path=path))
    for pipeline, task in orphans(project):
        say(
            f"gone from the YAML: {pipeline}:{task} (mmetl clean --orphans removes what it left, mmetl forget keeps it)"
        )
    return ExitCode.DONE


def why(task: str, *, as_json: bool = False) -> int:
    """Say whether a task is fresh, and why or why not."""
    project = Project.open(".")
    plan, name = find_task(project, task)
    told = explain_task(project, plan, name)
    if as_json:
        say_json({"schema_version": JSON_SCHEMA_VERSION, "pipeline": plan.pipeline, "tasks": [*map(_json, told)]})
        return ExitCode.DONE
    for explained in told:
        say(f"{plan.pipeline}:{explained.task} {_IS[explained.state]}")
        for reason in explained.reasons:
            say(f"  - {reason}")
        if explained.built_ms is not None:
            at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(explained.built_ms / 1000))
            say(f"  last built {at} UTC by run {explained.run_id}")
        for note in explained.notes:
            say(f"  note: {note}")
    return ExitCode.DONE


def _json(found: Explained) -> dict[str, Any]:
    """Return one task of `why --json`."""
    return {
        "task": found.task,
        "state": found.state,
        "reasons": list(found.reasons),
        "built": utc(found.built_ms),
        "run_id": found.run_id or None,
        "notes": list(found.notes),
    }


def show(task: str, *, limit: int = 20, as_json: bool = False) -> int:
    """Print the rows of a task's artifact, or the files that it wrote."""
    project = Project.open(".")
    plan, name = find_task(project, task)
    with reading(project.store.folder):
        manifest, _ = project.artifact(plan, name)
        if manifest.kind == "files":
            files = [{"path": p.path, "bytes": p.size_bytes, "fingerprint": p.fingerprint} for p in manifest.parts]
            if as_json:
                for f in files:
                    say_json(f)
            else:
                say(columns([(str(f["path"]), size(int(str(f["bytes"]))), str(f["fingerprint"])) for f in files], ""))
            return ExitCode.DONE
        rows = _rows(project, current_input(project, plan, name))
        if as_json:
            for row in rows:
                say_json(row)
            return ExitCode.DONE
        head = list(itertools.islice(rows, limit))
        total = manifest.rows if manifest.kind == "table" else len(head) + sum(1 for _ in rows)
    names = [c.name for c in manifest.columns]
    say(columns([names, *([cell(r[n]) for n in names] for r in head)], indent=""))
    say(count(total, "row") + (f", the first {limit} shown" if total > limit else ""))
    return ExitCode.DONE


def _rows(project: Project, found: Input) -> Iterator[dict[str, Any]]:
    """Yield rows: a keyed table in the order of its key, unless it is too large to be sorted for a look."""
    if isinstance(found, View):
        from mmetl.transforms.tabular.views import view_rows

        with view_rows(found, project.root / SCRATCH / f"show-{os.getpid()}") as stream:
            for batch in stream:
                yield from python_rows(batch)
        return
    from mmetl.cache.tables import read_table

    reader = read_table(found)
    if found.manifest.buckets > 1 and found.manifest.rows <= SORTED_ROWS:
        reader = reader.read_all().sort_by([(k, "ascending") for k in found.manifest.key]).to_reader()
    for batch in reader:
        yield from python_rows(batch)
