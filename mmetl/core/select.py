"""Which tasks a command means."""

from __future__ import annotations

from collections.abc import Sequence

from mmetl.contracts.plan import Plan
from mmetl.core.dag import downstream, upstream
from mmetl.core.options import RunOptions
from mmetl.errors import UsageError
from mmetl.utils.text import near


def select(plan: Plan, wanted: Sequence[str]) -> list[str]:
    """Return the selected tasks in the plan's order; all of them when nothing is asked for.

    Args:
        plan: the plan.
        wanted: task names; `+name` adds all that it needs, `name+` all that needs it. A name may be written
            `pipeline:task`.

    Raises:
        UsageError: for a name that no task has.
    """
    if not wanted:
        return list(plan.tasks)
    needs = {n: (*node.tables, *node.after) for n, node in plan.tasks.items()}
    found: set[str] = set()
    for selector in wanted:
        name = task_name(plan, selector.strip("+"))
        found.add(name)
        if selector.startswith("+"):
            found |= upstream(needs, [name])
        if selector.endswith("+"):
            found |= downstream(needs, [name])
    return [n for n in plan.tasks if n in found]


def task_name(plan: Plan, name: str) -> str:
    """Return the short name of a task, given it or `pipeline:task`. Raises UsageError for an unknown one."""
    short = name.removeprefix(f"{plan.pipeline}:")
    if short in plan.tasks:
        return short
    close = near(short, plan.tasks)
    some = ", ".join(list(plan.tasks)[:8])
    raise UsageError(
        f"no task is called '{name}' in the pipeline '{plan.pipeline}'",
        help=f"did you mean '{close}'?" if close else f"tasks: {some}",
    )


def forced(plan: Plan, options: RunOptions, selected: Sequence[str]) -> frozenset[str]:
    """Return the tasks to run by force: those named, not those that `+` added; all when none is named."""
    if not options.force:
        return frozenset()
    named = {s.strip("+").removeprefix(f"{plan.pipeline}:") for s in options.select}
    return frozenset(n for n in selected if n in named or not named)
