"""The builds of a task: the current one, and the earlier ones that the index still has."""

from __future__ import annotations

import time
from typing import NamedTuple

from mmetl.contracts.artifact import Fingerprint, Manifest
from mmetl.contracts.plan import Plan
from mmetl.core.project import Project
from mmetl.errors import UsageError
from mmetl.observability.runs import Run, find_run

SHOWN_KEY = 12  # characters of a build's key: enough to type, and to tell one from another
LISTED = 5


class Build(NamedTuple):
    """One build of a task. `made_ms` says when it became current last; `key` is empty for one outside of the index."""

    key: str
    fingerprint: Fingerprint
    made_ms: int

    @property
    def name(self) -> str:
        """Return the start of the key, and when it was made."""
        at = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(self.made_ms / 1000))
        return f"{self.key[:SHOWN_KEY]} of {at}" if self.key else at


def current_build(project: Project, plan: Plan, task: str) -> Build:
    """Return what a task's artifact is now. Raises UsageError if it has none."""
    sql = (
        "select coalesce(b.key, ''), t.manifest, t.built_ms from tasks t left join builds b"
        " on b.manifest = t.manifest and b.recipe = t.recipe and b.pipeline = t.pipeline and b.task = t.task"
        " where t.pipeline = ? and t.task = ? and t.manifest <> '' order by b.made_ms desc limit 1"
    )
    found = project.store.rows(sql, (plan.pipeline, task))
    if not found:
        raise UsageError(f"'{task}' has no artifact yet", help=f"mmetl run --select +{task}")
    return Build(*found[0])


def builds_of(project: Project, plan: Plan, task: str) -> list[Build]:
    """Return the builds of a task that the index has, the latest first."""
    sql = "select key, manifest, made_ms from builds where pipeline = ? and task = ? order by made_ms desc, key"
    return [Build(*row) for row in project.store.rows(sql, (plan.pipeline, task))]


def earlier_build(project: Project, plan: Plan, task: str, wanted: str | None) -> Build:
    """Return the build that the current one is compared with.

    Args:
        project: the project.
        plan: the plan of the task.
        task: its short name.
        wanted: the start of a run's id (what the task's artifact was after that run) or of a build's key; None for the
            last build with another content.

    Raises:
        UsageError: if there is no such build, or it is not kept any more.
    """
    kept = builds_of(project, plan, task)
    if wanted is None:
        now = current_build(project, plan, task).fingerprint
        found = [b for b in kept if b.fingerprint != now]
        if not found:
            raise UsageError(
                f"no earlier build of '{task}' is kept that differs",
                help="a task with `cache: false` keeps none; mmetl.yml says how long others are kept",
            )
        return found[0]
    if project.store.rows("select 1 from runs where substr(id, 1, ?) = ?", (len(wanted), wanted)) or wanted == "latest":
        run = find_run(project.store, None if wanted == "latest" else wanted)
        assert run
        return _after(project, plan, task, run, kept)
    matching = [b for b in kept if b.key.startswith(wanted)]
    if len(matching) == 1:
        return matching[0]
    what = f"several builds of '{task}' start with '{wanted}'" if matching else f"no run and no build is '{wanted}'"
    raise UsageError(what, help=_listed(kept))


def _after(project: Project, plan: Plan, task: str, run: Run, kept: list[Build]) -> Build:
    """Return the build that was current after a run: made or restored in it, or in the last run before it that did so."""
    sql = (
        "select r.started_ms, coalesce(r.ended_ms, r.heartbeat_ms) from task_runs t join runs r on r.id = t.run_id"
        " where t.pipeline = ? and t.task = ? and t.outcome in ('ran', 'restored') and r.started_ms <= ?"
        " order by r.started_ms desc limit 1"
    )
    for begun, ended in project.store.rows(sql, (plan.pipeline, task, run.started_ms)):
        for build in kept:
            if begun <= build.made_ms <= ended:
                return build
    raise UsageError(f"the build that '{task}' had after run '{run.id}' is not kept under that run", help=_listed(kept))


def _listed(kept: list[Build]) -> str:
    return "builds: " + (", ".join(b.name for b in kept[:LISTED]) or "none")


def manifest_of(project: Project, build: Build) -> Manifest:
    """Return a build's manifest. Raises UsageError if it is no longer kept."""
    rows = project.store.rows("select body from manifests where fingerprint = ?", (build.fingerprint,))
    if not rows:
        raise UsageError(f"the manifest of build {build.name} is no longer kept")
    return Manifest.from_json(rows[0][0])
