"""`validate`, `dry-run` and `run`, without their parsing."""

from __future__ import annotations

import os
from pathlib import Path

from mmetl.cache.layout import log_path
from mmetl.cli.output import LEFT, results_alone, run_json, say, say_json, summary, talk
from mmetl.cli.progress import Starting
from mmetl.core.options import RunOptions
from mmetl.core.project import Project
from mmetl.core.run import run as core_run
from mmetl.observability.runs import kept_leftovers


def open_project(pipeline: str | None) -> tuple[Project, Path]:
    """Return the project and the pipeline file that a command line means."""
    project = Project.open(pipeline if pipeline and os.path.isfile(pipeline) else ".")
    return project, project.find_pipeline(pipeline)


def run(pipeline: str | None = None, options: RunOptions | None = None, *, as_json: bool = False) -> int:
    """Run a pipeline and say how it went."""
    return run_file(*open_project(pipeline), options or RunOptions(), as_json=as_json)


def run_file(project: Project, path: Path, options: RunOptions, *, as_json: bool = False) -> int:
    """Run the pipeline of a file and say how it went."""
    progress = Starting(quiet=as_json)
    try:
        with results_alone():
            result = core_run(project, path, options, progress)
    finally:
        progress.close()
    failed = {t.task: t.error for t in result.tasks if t.outcome == "failed"}
    if as_json:
        say_json(run_json(result.run_id, result.pipeline, result.status, result.tasks))
    else:
        for task, error in failed.items():
            log = log_path(result.run_id, result.pipeline, task)
            talk(f"failed: {result.pipeline}:{task}: {error}\n  log: {log}")
        for left in kept_leftovers(project.store, result.run_id):
            talk(LEFT.format(path=left))
        say(summary(result))
    return result.exit_code
