"""A project from Python: run tasks, and get what they made."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmetl.api.artifact import Artifact
from mmetl.api.html import html_states
from mmetl.api.lineage.model import LIMIT, Key, Lineage
from mmetl.api.query import query
from mmetl.api.rows import Answer, closed
from mmetl.api.run import Quiet, Run, RunFailedError, guest
from mmetl.core.looking.find import find_task
from mmetl.core.looking.listing import Listed, list_tasks
from mmetl.core.options import RunOptions
from mmetl.core.project import Project as CoreProject
from mmetl.core.run import run as core_run
from mmetl.core.selectors.parser import METHODS
from mmetl.core.sources import forget_edited
from mmetl.engines.packages import require
from mmetl.errors import UsageError

_PLAIN = re.compile(r"[\w:@.,-]*\w")
"""A name without any selector's sign: of a task, of a family of a matrix, of a pipeline."""


class Project:
    """A project, as `mmetl` sees it from a folder. Nothing is kept open: every call sees the files as they are then.

    Use `Project.open`.
    """

    def __init__(self, start: Path, env: Mapping[str, str] | None = None) -> None:
        self._start = start
        self._env = env

    @classmethod
    def open(cls, start: str | Path = ".", *, env: Mapping[str, str] | None = None) -> Project:
        """Find the project upward from a folder or a pipeline file.

        Args:
            start: the folder or the file.
            env: the environment that `${NAME}` sees; None: the process's own.

        Raises:
            ConfigError: if `mmetl.yml` is invalid.
            UsageError: if there is no such folder.
        """
        path = Path(start).absolute()
        if not path.exists():
            raise UsageError(f"there is no '{path}'", help="name a folder or a pipeline file")
        opened = cls(path, env)
        opened.root  # noqa: B018  raises here, not later
        return opened

    @property
    def root(self) -> Path:
        """The folder that all paths are relative to."""
        with self._opened() as project:
            return project.root

    @property
    def pipelines(self) -> list[str]:
        """The names of the pipelines."""
        with self._opened() as project:
            return [project.plan(path).pipeline for path in project.pipeline_files()]

    def tasks(
        self, pipeline: str | None = None, *, select: Sequence[str] = (), exclude: Sequence[str] = ()
    ) -> list[Listed]:
        """Return the tasks of a pipeline, with what each is and whether it is fresh, as `mmetl list` does."""
        with self._opened() as project:
            options = RunOptions(select=tuple(select), exclude=tuple(exclude))
            return list_tasks(project, project.find_pipeline(pipeline), options)[1]

    def run(
        self,
        what: str | None = None,
        *,
        pipeline: str | None = None,
        exclude: Sequence[str] = (),
        force: bool = False,
        jobs: int | None = None,
        keep_going: bool = False,
        variables: Mapping[str, Any] | None = None,
        allow_shrink: Sequence[str] = (),
        max_tokens: int | None = None,
        max_cost: float | None = None,
        check: bool = True,
    ) -> Run:
        """Bring tasks up to date: run what is stale, and only that.

        Args:
            what: a task, which is run after all that it needs, as `make` does; a selector, as for `mmetl run --select`;
                a pipeline's name or file; None: the whole pipeline.
            pipeline: its name or file, where the project has several that `what` could mean.
            exclude: selectors of tasks to leave out.
            force: take the named tasks (or all) as stale, and compute them anew.
            jobs: how many tasks may run at the same time.
            keep_going: go on with what does not need a failed task.
            variables: take the place of vars of the pipeline.
            allow_shrink: tasks whose source may list far fewer files.
            max_tokens: stop before paid services have taken more; what is finished is kept.
            max_cost: stop before they cost more, by the prices that tasks state.
            check: raise an error if a task failed; False: return the result, whose `ok` is then false.

        Raises:
            RunFailedError: if a task failed; its `run` is the result.
            ConfigError: if the pipeline is invalid.
            UsageError: for a name or a selector that means nothing.
            RefusedError: if another run holds the project.
            MissingError: if a package of an extra is not installed that a task to be run is sure to need; nothing was run then.
        """
        with self._opened() as project, guest():
            forget_edited(project.root)
            path, select = _target(project, what, pipeline)
            options = RunOptions(
                select=select,
                exclude=tuple(exclude),
                force=force,
                keep_going=keep_going,
                variables={name: _text(value) for name, value in (variables or {}).items()},
                allow_shrink=frozenset(allow_shrink),
                max_tokens=max_tokens,
                max_cost=max_cost,
            )
            made = core_run(project, path, options if jobs is None else options._replace(jobs=jobs), Quiet())
        if made.status == "cancelled":
            raise KeyboardInterrupt
        result = Run.of(made)
        if check and not result.ok:
            raise RunFailedError(result)
        return result

    def artifact(self, task: str) -> Artifact:
        """Return what a task made, as `task` or `pipeline:task`; nothing is read yet.

        Raises:
            UsageError: if there is no such task.
        """
        with self._opened() as project:
            plan, name = find_task(project, task)
        return Artifact(self._opened, plan.pipeline, name)

    def sql(self, sql: str) -> Answer:
        """Run one query over the artifacts: each task that made a table is one, as `task` or `pipeline.task`.

        Raises:
            UsageError: for a query that is wrong, with the position in it.
        """
        with self._opened() as project, query(project, sql) as rows:
            return Answer(closed(rows))

    def why(self, task: str, key: Key, *, limit: int = LIMIT) -> Lineage:
        """Tell from which rows a row came, and which came from it, as `mmetl why TASK --key` does.

        Args:
            task: as `task` or `pipeline:task`.
            key: a value; column -> value; or the values of the key's columns in order. The start of a text is enough.
            limit: how many rows to give of each task; all are counted and followed.

        Raises:
            UsageError: if there is no such task, or no such row; with the nearest keys.
        """
        require("tabular", "duckdb", "pyarrow")
        from mmetl.api.lineage.trace import trace

        with self._opened() as project:
            plan, name = find_task(project, task)
            return trace(project, plan, name, key, limit)

    def __repr__(self) -> str:
        return f"Project({str(self.root)!r})"

    def _repr_html_(self) -> str:
        rows = []
        with self._opened() as project:
            for path in project.pipeline_files():
                plan, tasks = list_tasks(project, path, RunOptions())
                rows += [(plan.pipeline, t.task, t.state, t.transform, t.description) for t in tasks]
            return html_states(str(project.root), ("pipeline", "task", "state", "transform", ""), rows)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[CoreProject]:
        project = CoreProject.open(self._start, self._env)
        try:
            yield project
        finally:
            if "store" in vars(project):
                project.store.close()


def _target(project: CoreProject, what: str | None, pipeline: str | None) -> tuple[Path, tuple[str, ...]]:
    """Return the pipeline file and the selectors that a person means."""
    if what is None:
        return project.find_pipeline(pipeline), ()
    if not _PLAIN.fullmatch(what) or what.partition(":")[0] in METHODS:
        return project.find_pipeline(pipeline), (what,)
    files = [project.find_pipeline(pipeline)] if pipeline else project.pipeline_files()
    plans = {path: project.plan(path) for path in files}
    homes = {p: plan.pipeline for p, plan in plans.items() if _has(plan.tasks, what.removeprefix(f"{plan.pipeline}:"))}
    if len(homes) > 1:
        names = ", ".join(f"{name}:{what}" for name in homes.values())
        raise UsageError(f"several pipelines have a task '{what}'", help=f"write one of: {names}")
    for path, name in homes.items():
        return path, (f"+{what.removeprefix(f'{name}:')}",)
    if pipeline is None and (
        what in {p.stem for p in files} | {plan.pipeline for plan in plans.values()} or "." in what
    ):
        return project.find_pipeline(what), ()
    find_task(project, what)
    raise UsageError(f"no task is called '{what}' in the pipeline '{pipeline}'", help="leave the pipeline out")


def _has(tasks: Mapping[str, Any], name: str) -> bool:
    return name in tasks or any(t.startswith(f"{name}@") for t in tasks)


def _text(value: object) -> str:
    """Return a value as `--var` would be given it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
