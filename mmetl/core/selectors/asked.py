"""What `--select` and `--exclude` ask for, over a project: facts are loaded only for the methods that are used."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from mmetl.contracts.plan import Plan
from mmetl.core.project import Project
from mmetl.core.selectors.evaluate import Evaluator, Known
from mmetl.core.selectors.parser import Selection, parse
from mmetl.errors import UsageError
from mmetl.observability.runs import find_run, last_busy_run

SHOWN = 8  # names in a message


def ask(project: Project, plan: Plan, select: Sequence[str], exclude: Sequence[str]) -> Asked:
    """Read the texts of `--select` and `--exclude`, and look up what their methods need.

    Raises:
        UsageError: for a text that is no selector.
    """
    wanted, unwanted = parse(select, plan), parse(exclude, plan, "--exclude")
    return Asked(Evaluator(plan, look_up(project, plan, wanted, unwanted)), wanted, unwanted)


CHANGING = frozenset({"state", "result"})
"""Methods that may stand for no task at one time, and for some at another."""


class Asked:
    """The tasks that two options ask for. Pure.

    Args:
        evaluator: knows the plan.
        wanted: what to select; empty for all tasks.
        unwanted: what to leave out.
    """

    def __init__(self, evaluator: Evaluator, wanted: Selection, unwanted: Selection) -> None:
        self.plan = evaluator.plan
        self.evaluator = evaluator
        self.wanted = wanted
        self.unwanted = unwanted

    def tasks(self) -> set[str]:
        """Return the tasks asked for.

        Raises:
            UsageError: for a name, tag or transform that no task has; if no task is left. States and results change: that
                nothing is stale, or has failed, is no error.
        """
        taken = self.evaluator.tasks(self.wanted) if self.wanted else set(self.plan.tasks)
        left_out = self.evaluator.tasks(self.unwanted)
        changing = any(a.method in CHANGING for selection in (self.wanted, self.unwanted) for w in selection for a in w)
        if not taken - left_out and not changing:
            place = (self.wanted or self.unwanted)[0][0].place._replace(offset=0)
            help_ = f"selected: {self._listed(taken)}; excluded: {self._listed(left_out)}"
            raise UsageError("the selection is empty", place.where, help_)
        return taken - left_out

    def named(self) -> set[str]:
        """Return the tasks that `--select` stands for without its graph operators; all where nothing is selected."""
        return self.evaluator.named(self.wanted) if self.wanted else set(self.plan.tasks)

    def _listed(self, tasks: Collection[str]) -> str:
        names = [t for t in self.plan.tasks if t in tasks]
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        return (", ".join(names[:SHOWN]) or "none") + more


def look_up(project: Project, plan: Plan, *selections: Selection) -> Known:
    """Return what the methods of these selections have to know, and nothing else."""
    used = {atom.method for selection in selections for word in selection for atom in word}
    known = Known()
    if used & {"tag", "transform"}:
        known = known._replace(details=project.details(plan, plan.tasks))
    if "state" in used:
        known = known._replace(states=_states(project, plan))
    if "result" in used:
        known = known._replace(outcomes=_outcomes(project, plan))
    return known


def _states(project: Project, plan: Plan) -> dict[str, set[str]]:
    """Decide over the whole plan; a task that only waits for others is neither stale nor fresh."""
    facts, decisions = project.decide(plan)
    return {t: {d.freshness, *(() if t in facts.records else ("new",))} for t, d in decisions.items()}


def _outcomes(project: Project, plan: Plan) -> dict[str, str]:
    """Return the outcomes of the pipeline's last run that had something to do, of tasks that there still are."""
    run_id = last_busy_run(project.store, plan.pipeline)
    run = find_run(project.store, run_id) if run_id else None
    names = {t.task.removeprefix(f"{plan.pipeline}:"): t.outcome for t in run.tasks} if run else {}
    return {t: outcome for t, outcome in names.items() if t in plan.tasks}
