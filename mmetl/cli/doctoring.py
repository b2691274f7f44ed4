"""`doctor`, without its parsing."""

from __future__ import annotations

from mmetl.cli.output import JSON_SCHEMA_VERSION, say, say_json
from mmetl.core.looking.doctor import Finding, examine
from mmetl.core.project import Project
from mmetl.errors import ExitCode

SIGNS = {"good": " ", "missing": "-", "bad": "!"}


def doctor(*, deep: bool = False, as_json: bool = False) -> int:
    """Tell what the installation and the project are like; exit with 1 if something is wrong."""
    found = list(examine(Project.open("."), deep=deep))
    bad = [f for f in found if f.state == "bad"]
    if as_json:
        say_json({"schema_version": JSON_SCHEMA_VERSION, "healthy": not bad, "findings": [f._asdict() for f in found]})
    else:
        group = ""
        width = max(len(f.name) for f in found)
        for f in found:
            if f.group != group:
                say(f.group)
                group = f.group
            say(_line(f, width))
        say(f"{len(bad)} wrong" if bad else "nothing is wrong")
    return ExitCode.TASK_FAILED if bad else ExitCode.DONE


def _line(found: Finding, width: int) -> str:
    help_ = f"  ({found.help})" if found.help else ""
    return f"{SIGNS[found.state]} {found.name.ljust(width)}  {found.value}{help_}"
