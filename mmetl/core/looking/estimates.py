"""How many items a task would compute, told before it runs: by what its transform compares, with nothing computed or written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mmetl.cache.artifacts import PartStore
from mmetl.cache.lock import reading
from mmetl.contracts.plan import Plan, TaskDetail, TaskNode
from mmetl.core.facts import Facts
from mmetl.core.options import RunOptions
from mmetl.core.project import Project
from mmetl.core.reasons import Reason
from mmetl.core.running.deadline import Cancellation
from mmetl.core.running.history import ItemHistory
from mmetl.core.running.jobs import Jobs
from mmetl.observability.logs import TaskLog


def estimate(
    project: Project,
    plan: Plan,
    node: TaskNode,
    facts: Facts,
    detail: TaskDetail,
    reasons: Iterable[Reason],
    options: RunOptions,
) -> Mapping[str, float]:
    """Return how many items a stale task with settled inputs would find added and so on, and compute.

    Raises:
        MmetlError: where a run would fail before it computed anything.
    """
    jobs = Jobs(project, options, PartStore(project.files), "dry-run")
    transform: Any = jobs.transform(detail)
    seen = detail._replace(functions=(), templated=False)  # nothing is called, and no secret is needed
    job = jobs.job(transform, plan, node, facts, seen, TaskLog(""), Cancellation())
    kinds = {r.kind for r in reasons}
    job.earlier = ItemHistory(project, node, plan.pipeline, forced="forced" in kinds, retried="retried" in kinds)
    with reading(project.store.folder):
        counts: Mapping[str, float] = transform.estimate(job)
    return counts
