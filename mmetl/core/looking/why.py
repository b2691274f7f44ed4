"""Answer `why`: look into reasons, and tell about a task and what it waits for."""

from __future__ import annotations

from typing import NamedTuple

from mmetl.cache.plans import load_recipe
from mmetl.cache.store import Store
from mmetl.contracts.plan import Plan
from mmetl.core.dag import upstream
from mmetl.core.decide import Decision
from mmetl.core.facts import Facts
from mmetl.core.looking.listing import WORDS
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


class Explained(NamedTuple):
    """Whether one task is fresh, and why or why not.

    Attributes:
        task: its short name.
        state: `fresh`, `stale` or `waits`.
        reasons: as texts.
        built_ms: when it was last built; None if it never was.
        run_id: the run that did so.
        notes: what else there is to know: why all of a file's code counts.
    """

    task: str
    state: str
    reasons: tuple[str, ...]
    built_ms: int | None = None
    run_id: str = ""
    notes: tuple[str, ...] = ()


def explain_task(project: Project, plan: Plan, name: str) -> list[Explained]:
    """Say whether a task is fresh and why; for a waiting one, also about what it waits for."""
    wanted = [n for n in plan.tasks if n in upstream(plan.needs, [name])]
    facts, decisions = project.decide(plan, wanted)
    told = [name, *(n for n in wanted if n != name and decisions[n].freshness == "stale")]
    return [_explained(project, plan, facts, n, decisions[n]) for n in told]


def _explained(project: Project, plan: Plan, facts: Facts, name: str, decision: Decision) -> Explained:
    record, whole = facts.records.get(name), project.details(plan, [name])[name].whole
    return Explained(
        name,
        WORDS[decision.freshness],
        tuple(texts(in_detail(project.store, decision.reasons))),
        record.built_ms if record else None,
        record.run_id if record else "",
        tuple(f"all of {file} counts: {why}" for file, why in whole.items()),
    )
