"""`retry`, without its parsing."""

from __future__ import annotations

from mmetl.cli.checking import with_variables
from mmetl.cli.running import run_file
from mmetl.core.options import RunOptions
from mmetl.core.project import Project
from mmetl.core.retry import retry_options


def retry(run_id: str | None, pairs: list[str], *, as_json: bool = False) -> int:
    """Run again what came to no result in a run, and say how it went."""
    project = Project.open(".")
    path, options = retry_options(project, run_id, with_variables(RunOptions(), pairs).variables)
    return run_file(project, path, options, as_json=as_json)
