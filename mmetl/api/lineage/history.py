"""Since when a row has been as it is, as far as the builds tell that are kept."""

from __future__ import annotations

from collections.abc import Sequence

from mmetl.api.lineage.model import Since
from mmetl.contracts.artifact import Fingerprint
from mmetl.contracts.plan import Plan
from mmetl.core.looking.builds import Build, builds_of
from mmetl.core.project import Project

MOST = 20  # builds that are looked at


class History:
    """The builds of the tasks of a plan; of each task their manifests are read once.

    Args:
        project: the project.
        plan: the plan.
    """

    def __init__(self, project: Project, plan: Plan) -> None:
        self._project, self._plan = project, plan
        self._known: dict[str, list[tuple[Build, str]]] = {}

    def since(self, task: str, parts: Sequence[Fingerprint]) -> list[Since | None]:
        """Return for each part the build since which all builds have had it."""
        builds = self._builds(task)
        found: dict[Fingerprint, Since | None] = {}
        for part in dict.fromkeys(parts):
            first: Build | None = None
            for build, body in builds:
                if part not in body:
                    break
                first = build
            found[part] = Since(self.run_of(task, first), first.made_ms) if first else None
        return [found[p] for p in parts]

    def _builds(self, task: str) -> list[tuple[Build, str]]:
        if task not in self._known:
            builds = builds_of(self._project, self._plan, task)[:MOST]
            rows = {b.fingerprint: "" for b in builds}
            for fingerprint in rows:
                found = self._project.store.rows("select body from manifests where fingerprint = ?", (fingerprint,))
                rows[fingerprint] = found[0][0] if found else ""
            self._known[task] = [(b, rows[b.fingerprint]) for b in builds]
        return self._known[task]

    def run_of(self, task: str, build: Build) -> str:
        """Return the run that made or restored a build; empty where it is no longer listed."""
        sql = (
            "select r.id from task_runs t join runs r on r.id = t.run_id where t.pipeline = ? and t.task = ?"
            " and t.outcome in ('ran', 'restored') and r.started_ms <= ? and coalesce(r.ended_ms, r.heartbeat_ms) >= ?"
            " order by r.started_ms desc limit 1"
        )
        found = self._project.store.rows(sql, (self._plan.pipeline, task, build.made_ms, build.made_ms))
        return str(found[0][0]) if found else ""
