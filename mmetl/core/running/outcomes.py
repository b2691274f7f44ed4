"""What is told of the tasks that a run set out to do and did not come to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mmetl.contracts.plan import Plan
from mmetl.core.dag import downstream
from mmetl.observability.runs import TaskRun


def never_ran(plan: Plan, stale: Iterable[str], outcomes: Mapping[str, TaskRun]) -> list[TaskRun]:
    """Return the tasks that never ran: blocked by a failure upstream, or skipped because the run stopped."""
    below = downstream(plan.needs, [t for t, r in outcomes.items() if r.outcome == "failed"])
    return [TaskRun(n, "blocked" if n in below else "skipped") for n in stale if n not in outcomes]
