"""`check`, without its parsing."""

from __future__ import annotations

from typing import Any

from mmetl.cache.lock import reading
from mmetl.cli.output import JSON_SCHEMA_VERSION, columns, count, say, say_json
from mmetl.cli.rows import cell
from mmetl.core.looking.find import find_task
from mmetl.core.project import Project
from mmetl.core.running.checking import Checked, check_task
from mmetl.errors import ExitCode


def check(task: str, *, rows: bool, limit: int, as_json: bool) -> int:
    """Evaluate the checks of a task's table, and say which rows fail."""
    project = Project.open(".")
    plan, name = find_task(project, task)
    with reading(project.store.folder):
        checked = check_task(project, plan, name, sample=limit if rows else 0)
    if as_json:
        say_json(_object(name, checked, rows=rows))
    else:
        _say(checked)
    failed = any(r.fails for r in checked.results)
    return ExitCode.TASK_FAILED if failed else ExitCode.DONE


def _say(checked: Checked) -> None:
    if checked.run_id:
        say(f"the table that run {checked.run_id} made, which was not published")
    say(columns([(_word(r), r.label, r.told) for r in checked.results], indent=""))
    for result in checked.results:
        if result.sample:
            more = f", the first {len(result.sample)} shown" if result.rows > len(result.sample) else ""
            say(f"\n{result.label}: {count(result.rows, 'row')}{more}")
            names = list(result.sample[0])
            say(columns([names, *([cell(row[n]) for n in names] for row in result.sample)], indent=""))


def _word(result: Any) -> str:
    if result.fails:
        return "failed"
    return {"warn": "warning", "quarantine": "quarantine"}[result.severity] if result.told else "holds"


def _object(task: str, checked: Checked, *, rows: bool) -> dict[str, Any]:
    return {
        "schema_version": JSON_SCHEMA_VERSION,
        "task": task,
        "rejected_by": checked.run_id or None,
        "checks": [
            {
                "check": r.label,
                "severity": r.severity,
                "holds": not r.told,
                "error": r.told or None,
                "failing": r.rows,
                **({"rows": list(r.sample)} if rows else {}),
            }
            for r in checked.results
        ],
    }
