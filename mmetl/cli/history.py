"""`runs` and `logs`, without their parsing."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

from mmetl.cli.output import JSON_SCHEMA_VERSION, columns, say, say_json, talk
from mmetl.core.project import Project
from mmetl.errors import ExitCode, UsageError
from mmetl.observability.history import Listed, logs_of, recent_runs
from mmetl.observability.runs import Run, find_run
from mmetl.utils.text import near

LATEST = "latest"
LOOK_S = 0.2  # between two looks at a log that is followed


def runs(limit: int, *, as_json: bool = False) -> int:
    """List the latest runs, the newest first."""
    found = recent_runs(Project.open(".").store, limit)
    if as_json:
        say_json({"schema_version": JSON_SCHEMA_VERSION, "runs": [_json(r) for r in found]})
    elif found:
        say(columns([("RUN", "PIPELINE", "STATUS", "STARTED (UTC)", "TOOK", "TASKS"), *map(_line, found)], indent=""))
    else:
        talk("nothing ran here yet")
    return ExitCode.DONE


def _json(run: Listed) -> dict[str, object]:
    """Return one run of `--json`."""
    return {
        "run_id": run.id,
        "pipeline": run.pipeline,
        "status": run.status,
        "started": _time(run.started_ms, "T") + "Z",
        "seconds": round(run.seconds, 3),
        "arguments": run.arguments,
        "outcomes": run.outcomes,
    }


def _line(run: Listed) -> tuple[str, ...]:
    none = "nothing to do" if run.status == "succeeded" else "nothing finished"
    done = ", ".join(f"{n} {outcome}" for outcome, n in run.outcomes.items()) or none
    return (run.id, run.pipeline, run.status, _time(run.started_ms), f"{run.seconds:.1f} s", done)


def _time(ms: int, between: str = " ") -> str:
    return time.strftime(f"%Y-%m-%d{between}%H:%M:%S", time.gmtime(ms / 1000))


def logs(run_id: str, task: str | None, *, follow: bool = False) -> int:
    """Print what a task printed in a run, or what all its tasks did, each under a heading."""
    project = Project.open(".")
    run = _run(project, run_id)
    found = logs_of(project.store, run.id)
    if task is None:
        if follow:
            raise UsageError("--follow is for one task", help=f"mmetl logs {run_id} TASK --follow")
        for name, path in found.items():
            say(f"== {name}: {path.relative_to(project.root)}")
            _print(path)
        if not found:
            talk(f"no task of run {run.id} wrote a log")
        return ExitCode.DONE
    named = [name for name in found if task in (name, name.partition(":")[2])]
    if len(named) != 1:
        raise _no_log(run, task, named, list(found))
    _print(found[named[0]])
    if follow:
        _follow(project, run.id, found[named[0]])
    return ExitCode.DONE


def _run(project: Project, wanted: str) -> Run:
    """Return a run; `latest` is the last one that left logs: one with nothing to do leaves none."""
    if wanted == LATEST:
        listed = [r.id for r in recent_runs(project.store, 1000)]
        wanted = next((i for i in listed if logs_of(project.store, i)), listed[0] if listed else "")
    run = find_run(project.store, wanted or None)
    if run is None:
        raise UsageError("nothing ran here yet", help="mmetl run")
    return run


def _no_log(run: Run, task: str, named: list[str], known: list[str]) -> UsageError:
    if named:
        return UsageError(f"several pipelines have a task '{task}'", help=f"write one of: {', '.join(named)}")
    close = near(task, [*known, *(n.partition(":")[2] for n in known)])
    return UsageError(
        f"no task '{task}' wrote a log in run '{run.id}'",
        help=f"did you mean '{close}'?" if close else f"logs: {', '.join(known) or 'none'}",
    )


def _print(path: Path) -> None:
    with path.open(encoding="utf-8", errors="replace") as log:
        shutil.copyfileobj(log, sys.stdout)


def _follow(project: Project, run_id: str, path: Path) -> None:
    """Print what is added to a log, until the run has ended."""
    with path.open(encoding="utf-8", errors="replace") as log:
        log.seek(0, 2)
        running = True
        while running:
            run = find_run(project.store, run_id)
            running = run is not None and run.status == "running"
            time.sleep(LOOK_S if running else 0)
            shutil.copyfileobj(log, sys.stdout)
            sys.stdout.flush()
