"""Selectors over a plan: which tasks they stand for. Pure: what has to be known about tasks is given."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatchcase
from functools import cached_property
from typing import NamedTuple

from mmetl.contracts.plan import NOTHING, Plan, TaskDetail
from mmetl.core.dag import downstream, upstream
from mmetl.core.selectors.parser import RESULTS, Atom, Place, Selection, unknown
from mmetl.errors import UsageError

WILDCARDS = frozenset("*?[")


class Known(NamedTuple):
    """What selectors look at besides names and the graph; empty where no selector asks.

    Attributes:
        details: task -> its detail, for `tag:` and `transform:`.
        states: task -> what holds of it, of `stale`, `fresh` and `new`.
        outcomes: task -> what became of it in the last run.
    """

    details: Mapping[str, TaskDetail] = NOTHING
    states: Mapping[str, Collection[str]] = NOTHING
    outcomes: Mapping[str, str] = NOTHING


class Evaluator:
    """Tells which tasks of a plan selectors stand for."""

    def __init__(self, plan: Plan, known: Known) -> None:
        self.plan = plan
        self.known = known

    def tasks(self, selection: Selection) -> set[str]:
        """Return the tasks of a selection.

        Raises:
            UsageError: for a name, tag or transform that no task has. A state or a result may be that of none.
        """
        return {t for word in selection for t in set.intersection(*map(self._reached, word))}

    def named(self, selection: Selection) -> set[str]:
        """Return the tasks that the selectors stand for without their graph operators."""
        return {t for word in selection for atom in word for t in self.matches(atom)}

    def matches(self, atom: Atom) -> set[str]:
        """Return the tasks that one method stands for, without graph operators."""
        if atom.method == "name":
            return self._by_name(atom)
        if atom.method == "state":
            return {t for t, states in self.known.states.items() if atom.value in states}
        if atom.method == "result":
            return {t for t, outcome in self.known.outcomes.items() if outcome in RESULTS[atom.value]}
        return self._by_detail(atom)

    @cached_property
    def _needs(self) -> dict[str, tuple[str, ...]]:
        return self.plan.needs

    def _reached(self, atom: Atom) -> set[str]:
        roots = self.matches(atom)
        if atom.around:
            return upstream(self._needs, downstream(self._needs, roots))
        return upstream(self._needs, roots, atom.above) | downstream(self._needs, roots, atom.below)

    def _by_name(self, atom: Atom) -> set[str]:
        name, tasks = atom.value, self.plan.tasks
        if name in tasks:
            return {name}
        if WILDCARDS.isdisjoint(name):
            found = {t for t in tasks if t.startswith(f"{name}@")}  # the members of a matrix
        else:
            found = {t for t in tasks if fnmatchcase(t, name)}
        if not found:
            raise unknown_task(self.plan, name, atom.place)
        return found

    def _by_detail(self, atom: Atom) -> set[str]:
        details = self.known.details
        words = {t: d.tags if atom.method == "tag" else (d.transform,) for t, d in details.items()}
        found = {t for t, own in words.items() if _any_matches(own, atom.value)}
        if not found:
            known = sorted({w for own in words.values() for w in own})
            what = f"no task of the pipeline '{self.plan.pipeline}' has the {atom.method} '{atom.value}'"
            place = atom.place.moved(len(atom.method) + 1)
            raise unknown(what, place, atom.value, known, f"{atom.method}s")
        return found


def _any_matches(words: Iterable[str], pattern: str) -> bool:
    return any(w == pattern or fnmatchcase(w, pattern) for w in words)


def unknown_task(plan: Plan, name: str, place: Place | None = None) -> UsageError:
    """Return the error for a name that no task of the plan has."""
    what = f"no task is called '{name}' in the pipeline '{plan.pipeline}'"
    return unknown(what, place, name, plan.tasks, "tasks")
