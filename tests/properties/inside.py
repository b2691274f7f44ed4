"""Run a project inside this process: as a new process would, but a hundred times in a few seconds."""

from __future__ import annotations

import contextlib
import importlib
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from mmetl.core.executor import RunOptions
from mmetl.core.project import Project
from mmetl.core.run import RunResult, run

FILE = "pipeline.yaml"


class Silent:
    """A progress that says nothing."""

    def begin(self, pipeline: str, run_id: str, todo: int, fresh: int) -> None: ...

    def started(self, task: str) -> None: ...

    def items(self, task: str, done: int, todo: int, counts: Any) -> None: ...

    def finished(self, result: Any) -> None: ...


class Hook(Silent):
    """Calls a function when the run begins: after the first observation, before the first action."""

    def __init__(self, act: Callable[[], None]) -> None:
        self.act = act

    def begin(self, pipeline: str, run_id: str, todo: int, fresh: int) -> None:
        self.act()


@contextlib.contextmanager
def new_imports(root: Path) -> Iterator[None]:
    """Forget the modules of a project afterwards, as the end of a process does."""
    path, before = list(sys.path), set(sys.modules)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path[:] = path
        for name in set(sys.modules) - before:
            if str(getattr(sys.modules[name], "__file__", "")).startswith(str(root)):
                del sys.modules[name]


def run_here(root: Path, progress: Any = None, **options: Any) -> RunResult:
    """Run the project's pipeline; a failed task is an error of the test."""
    with new_imports(root.resolve()):
        project = Project.open(root)
        try:
            result = run(project, (root / FILE).resolve(), RunOptions(**options), progress or Silent())
        finally:
            project.store.close()
    assert result.status == "succeeded", [t for t in result.tasks if t.error]
    return result


def outcomes(result: RunResult) -> dict[str, str]:
    return {t.task: t.outcome for t in result.tasks}


def worked(result: RunResult) -> dict[str, str]:
    """Return the tasks that were not fresh."""
    return {t: o for t, o in outcomes(result).items() if o != "fresh"}


def write_pipeline(root: Path, tasks: dict[str, Any], name: str = "x") -> None:
    body = {"version": 1, "name": name, "tasks": tasks}
    (root / FILE).write_text(yaml.safe_dump(body, sort_keys=False))


def tree(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder with its bytes."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def from_scratch(root: Path, place: Path) -> RunResult:
    """Run a copy of the project that has neither state nor outputs."""
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(root, place, ignore=shutil.ignore_patterns(".mmetl", "out", "__pycache__"))
    return run_here(place)
