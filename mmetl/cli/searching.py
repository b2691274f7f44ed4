"""`search`, without its parsing."""

from __future__ import annotations

from typing import Any

from mmetl.api.search import Hit, Mode, search
from mmetl.cli.output import JSON_SCHEMA_VERSION, say, say_json, talk
from mmetl.core.looking.find import find_task
from mmetl.core.project import Project
from mmetl.errors import ExitCode

TEXT = "text"
SHOWN_TEXT = 300


def run_search(task: str, question: str, k: int, where: str | None, mode: Mode, *, as_json: bool = False) -> int:
    """Print the rows that answer a question."""
    project = Project.open(".")
    plan, name = find_task(project, task)
    hits = search(project, plan, name, question, k, where, mode)
    if as_json:
        found = {"task": f"{plan.pipeline}:{name}", "question": question, "hits": [_json(h) for h in hits]}
        say_json({"schema_version": JSON_SCHEMA_VERSION, **found})
        return ExitCode.DONE
    if not hits:
        talk("nothing was found")
    key = project.artifact(plan, name)[0].key
    for number, hit in enumerate(hits, 1):
        named = "  ".join(str(hit.row[c]) for c in key)
        say(f"{number}. {hit.score:.3f}  {named}")
        if hit.row.get(TEXT):
            say(f"   {_short(str(hit.row[TEXT]))}")
    return ExitCode.DONE


def _json(hit: Hit) -> dict[str, Any]:
    return {"score": round(hit.score, 6), "row": dict(hit.row)}


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SHOWN_TEXT else f"{line[:SHOWN_TEXT]}…"
