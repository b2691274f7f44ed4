"""Which tasks a command means. Asking for everything imports nothing of the selector language."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from mmetl.contracts.plan import Plan
from mmetl.core.options import RunOptions
from mmetl.core.project import Project
from mmetl.core.reasons import Kind


class Chosen(NamedTuple):
    """The tasks of a command in the plan's order, and those of them to run whatever is fresh -> why."""

    tasks: list[str]
    forced: Mapping[str, Kind]


def select(project: Project, plan: Plan, options: RunOptions) -> Chosen:
    """Return the tasks that the options mean: all of them when nothing is asked for.

    `--force` is for what the selectors name, not for what their graph operators add.

    Raises:
        UsageError: for a selector that is wrong, or names what there is not; for a selection of nothing.
    """
    retried, asks = options.retry, options.select or options.exclude
    if retried is None and not asks:
        return Chosen(list(plan.tasks), dict.fromkeys(plan.tasks if options.force else (), "forced"))
    tasks: Collection[str] = plan.tasks if retried is None else retried.tasks
    named: Collection[str] = plan.tasks if options.force else ()
    if asks and (retried is None or options.force):
        from mmetl.core.selectors.asked import ask

        asked = ask(project, plan, options.select, options.exclude)
        tasks = asked.tasks() if retried is None else tasks
        named = asked.named() if options.force else ()
    chosen = [t for t in plan.tasks if t in tasks]
    forced: dict[str, Kind] = dict.fromkeys(retried.aside if retried else (), "retried")
    forced.update(dict.fromkeys(named, "forced"))
    return Chosen(chosen, {t: forced[t] for t in chosen if t in forced})


def task_name(plan: Plan, name: str) -> str:
    """Return the short name of a task, given it or `pipeline:task`. Raises UsageError for an unknown one."""
    short = name.removeprefix(f"{plan.pipeline}:")
    if short in plan.tasks:
        return short
    from mmetl.core.selectors.evaluate import unknown_task

    raise unknown_task(plan, name)
