"""Answer `why`: look into reasons, and tell about a task and what it waits for."""

from __future__ import annotations

import time

from mmetl.cache.plans import load_recipe
from mmetl.cache.store import Store
from mmetl.contracts.plan import Plan
from mmetl.core.dag import upstream
from mmetl.core.decide import Decision, Facts
from mmetl.core.project import Project
from mmetl.core.reasons import Reason, recipe_reasons, texts


def in_detail(store: Store, reasons: tuple[Reason, ...]) -> tuple[Reason, ...]:
    """Replace "the recipe changed" by one reason for each component that did."""
    found: list[Reason] = []
    for reason in reasons:
        if reason.kind == "recipe" and reason.subject == "recipe":
            before, after = load_recipe(store, reason.before), load_recipe(store, reason.after)
            found += recipe_reasons(before, after)
        else:
            found.append(reason)
    return tuple(found)


def explain_task(project: Project, plan: Plan, name: str) -> list[str]:
    """Return lines that say whether a task is fresh and why; for a waiting one, also about what it waits for."""
    needs = {n: (*node.tables, *node.after) for n, node in plan.tasks.items()}
    wanted = [n for n in plan.tasks if n in upstream(needs, [name])]
    facts, decisions = project.decide(plan, wanted)
    lines = _lines(project, plan, facts, name, decisions[name])
    for other in wanted:
        if other != name and decisions[other].freshness == "stale":
            lines += _lines(project, plan, facts, other, decisions[other])
    return lines


def _lines(project: Project, plan: Plan, facts: Facts, name: str, decision: Decision) -> list[str]:
    words = {"fresh": "is fresh", "stale": "is stale", "unknown": "waits"}
    lines = [f"{plan.pipeline}:{name} {words[decision.freshness]}"]
    lines += [f"  - {t}" for t in texts(in_detail(project.store, decision.reasons))]
    record = facts.records.get(name)
    if record:
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(record.built_ms / 1000))
        lines.append(f"  last built {at} UTC by run {record.run_id}")
    detail = project.details(plan, [name])[name]
    lines += [f"  note: all of {file} counts: {why}" for file, why in detail.whole.items()]
    return lines
