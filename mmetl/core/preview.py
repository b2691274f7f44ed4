"""What a run would do: the decision that it would take, and nothing changed."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from mmetl.contracts.plan import Plan, TaskNode
from mmetl.core.decide import Decision, Facts
from mmetl.core.options import RunOptions
from mmetl.core.project import Project
from mmetl.core.reasons import texts
from mmetl.core.restore import AGAIN, can_restore
from mmetl.core.select import forced, select
from mmetl.core.why import in_detail
from mmetl.observability.runs import Outcome


class Preview(NamedTuple):
    """What `run` would do with one task.

    Attributes:
        outcome: as in a run. A task that waits is `ran`: it would run, unless its inputs turn out to be the same.
        waits: whether the decision depends on what upstream tasks will make.
        notes: what else there is to know, such as why a query runs on one thread.
    """

    task: str
    outcome: Outcome
    waits: bool
    reasons: tuple[str, ...]
    notes: tuple[str, ...] = ()


def preview(project: Project, path: Path, options: RunOptions) -> tuple[Plan, list[Preview]]:
    """Take the decision that `run` would take, and change nothing."""
    plan = project.plan(path, options.variables)
    selected = select(plan, options.select)
    facts, decisions = project.decide(plan, selected, forced=forced(plan, options, selected))
    stale = [n for n in selected if decisions[n].freshness != "fresh"]
    details = project.details(plan, stale)
    fails: set[str] = set()
    previews = []
    for name in selected:
        decision, node = decisions[name], plan.tasks[name]
        waits = any(t not in facts.settled for t in (*node.tables, *node.after))
        outcome: Outcome = "fresh" if decision.freshness == "fresh" else "ran"
        if fails.intersection((*node.tables, *node.after)):
            outcome = "blocked"
        elif any(r.kind == "input_missing" for r in decision.reasons):
            outcome = "failed"
        elif outcome == "ran" and not waits and would_restore(project, node, facts, decision, details[name].cache):
            outcome = "restored"
        if outcome in {"failed", "blocked"}:
            fails.add(name)
        reasons = texts(in_detail(project.store, decision.reasons))
        notes = details[name].notes if name in details else ()
        previews.append(Preview(name, outcome, waits, tuple(reasons), tuple(notes)))
    return plan, previews


def would_restore(project: Project, node: TaskNode, facts: Facts, decision: Decision, cached: bool) -> bool:
    """Tell whether a stale task, nothing of which waits, would be restored from the build index."""
    if not cached or AGAIN.intersection(r.kind for r in decision.reasons):
        return False
    return can_restore(project, node, facts)
