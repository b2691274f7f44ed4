"""What a run would do: the decision that it would take, and nothing changed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from mmetl.contracts.plan import Plan, TaskNode
from mmetl.core.decide import Decision, decide
from mmetl.core.options import RunOptions
from mmetl.core.project import Project
from mmetl.core.reasons import texts
from mmetl.core.restore import AGAIN, restorable, suppose_restored
from mmetl.core.select import select
from mmetl.core.why import in_detail
from mmetl.errors import MmetlError
from mmetl.observability.runs import Outcome


class Preview(NamedTuple):
    """What `run` would do with one task.

    Attributes:
        outcome: as in a run. A task that waits is `ran`: it would run, unless its inputs turn out to be the same.
        waits: whether the decision depends on what upstream tasks will make.
        notes: what else there is to know, such as why a query runs on one thread.
        counts: of an item-wise task whose inputs are settled: how many items are added and so on, and would be computed.
    """

    task: str
    outcome: Outcome
    waits: bool
    reasons: tuple[str, ...]
    notes: tuple[str, ...] = ()
    counts: Mapping[str, float] = MappingProxyType({})


def preview(project: Project, path: Path, options: RunOptions) -> tuple[Plan, list[Preview]]:
    """Take the decision that `run` would take, and change nothing."""
    plan = project.plan(path, options.variables)
    selected, forced = select(project, plan, options)
    facts, decisions = project.decide(plan, selected, forced=forced)
    stale = [n for n in selected if decisions[n].freshness != "fresh"]
    details = project.details(plan, stale)
    fails: set[str] = set()
    supposed: set[str] = set()
    previews = []
    for name in selected:
        decision, node = decisions[name], plan.tasks[name]
        if supposed.intersection((*node.tables, *node.after)) and not node.globs:
            decision = decide(node, facts)
            if decision.freshness == "fresh":
                facts.settled.add(name)
        waits = any(t not in facts.settled for t in (*node.tables, *node.after))
        outcome: Outcome = "fresh" if decision.freshness == "fresh" else "ran"
        if fails.intersection((*node.tables, *node.after)):
            outcome = "blocked"
        elif any(r.kind in {"input_missing", "input_unusable"} for r in decision.reasons):
            outcome = "failed"
        elif outcome == "ran" and not waits and details[name].cache and may_restore(node, decision):
            manifest = restorable(project, node, facts)
            if manifest:
                outcome = "restored"
                suppose_restored(node, facts, manifest)
                supposed.add(name)
        reasons = texts(in_detail(project.store, decision.reasons))
        counts: Mapping[str, float] = {}
        if outcome == "ran" and not waits and details[name].counted:
            from mmetl.core.estimates import estimate  # imports what only some tasks need

            try:
                counts = estimate(project, plan, node, facts, details[name], decision.reasons)
            except MmetlError as error:
                outcome, reasons = "failed", [*reasons, error.what]
        if outcome in {"failed", "blocked"}:
            fails.add(name)
        notes = details[name].notes if name in details else ()
        previews.append(Preview(name, outcome, waits, tuple(reasons), tuple(notes), counts))
    return plan, previews


def may_restore(node: TaskNode, decision: Decision) -> bool:
    """Tell whether an earlier output could be an answer to these reasons."""
    return node.max_age_s is None and not node.kept and not AGAIN.intersection(r.kind for r in decision.reasons)
