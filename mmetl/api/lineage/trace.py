"""Following a row through the tasks: up to its sources, and down to all that was made of it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from mmetl.api.lineage.history import History
from mmetl.api.lineage.hops import Hops
from mmetl.api.lineage.keys import Located, as_aside, locate, readable_aside
from mmetl.api.lineage.model import LIMIT, Aside, Grain, Key, Lineage, Row, Step
from mmetl.api.lineage.rows import Found, Reader, Wanted
from mmetl.api.lineage.tables import Link, Readable, Tables
from mmetl.api.query import scratch_folder
from mmetl.cache.lock import reading
from mmetl.contracts.lineage import SOURCES, Trace
from mmetl.contracts.plan import Plan
from mmetl.core.dag import upstream
from mmetl.core.looking.listing import WORDS
from mmetl.core.project import Project
from mmetl.errors import TaskError, UsageError


def trace(project: Project, plan: Plan, task: str, key: Key, limit: int = LIMIT) -> Lineage:
    """Tell from which rows a row came, and which came from it. Only state and parts are read; nothing is run.

    Args:
        project: the project.
        plan: the plan of the task.
        task: its short name.
        key: of the row; see keys.Key.
        limit: how many rows to show of each task; all are counted and followed.

    Raises:
        UsageError: if the task has no rows that are kept, or none with this key.
    """
    tables = Tables(project, plan)
    table = tables.readable(task)
    _refuse(tables, table)
    with reading(project.store.folder), scratch_folder(project) as scratch:
        reader = Reader(Path(scratch) / "spill", max(limit, 1))
        walk = _Walk(tables, reader, limit)
        located = locate(tables, reader, table, key, walk.asked_of(task, up=True, down=True))
        start = walk.step(table, _Reached(), located.found, located)
        above: list[Step] = []
        below: list[Step] = []
        if located.state != "removed":
            above = walk.up(task, located.found)
        if located.state == "current":
            below = walk.down(task, located.found)
        (start,), above, below = walk.with_states([start], above, below)
        name = f"{plan.pipeline}:{task}"
        return Lineage(name, located.state, start, above, below, len(reader.read), len(reader.known))


def _refuse(tables: Tables, table: Readable) -> None:
    """Raise UsageError for a task of which no row can be asked for."""
    if table.kind == "none":
        raise UsageError(f"'{table.task}' has no artifact yet", help=f"mmetl run --select +{table.task}")
    if table.kind == "view":
        below = ", ".join(dict.fromkeys(link.source for link in tables.links(table.task) if link.source))
        raise UsageError(f"'{table.task}' is a view: it has no rows of its own", help=f"ask what it reads: {below}")


@dataclass
class _Reached:
    """How a task was reached: which of its rows are wanted, and what is said of them."""

    by: dict[str, None] = field(default_factory=dict)
    wanted: list[Wanted] = field(default_factory=list)
    aside: list[tuple[Trace, pa.Table]] = field(default_factory=list)
    exact: bool = True
    only: bool = False
    expected: bool = False
    whole: dict[str, None] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)


class _Passed(NamedTuple):
    """What leads on from a task.

    Attributes:
        values: of the rows that are known, the expressions that lead to other tasks; None: none is known.
        whole: whether any other row of the task may matter, too.
    """

    values: pa.Table | None
    whole: bool = False


class _Walk:
    """Goes from task to task.

    Args:
        tables: the tables of the plan.
        reader: reads them.
        limit: how many rows to show of each.
    """

    def __init__(self, tables: Tables, reader: Reader, limit: int) -> None:
        self._tables, self._reader, self._limit = tables, reader, limit
        self._hops = Hops(tables, reader)
        self._history = History(tables.project, tables.plan)

    # --- the two ways

    def up(self, task: str, found: Found) -> list[Step]:
        """Return the steps to the sources."""
        reached: dict[tuple[str, bool], _Reached] = {}
        self._leave_up(task, _Passed(found.values), reached)
        steps: list[Step] = []
        for name, sources in itertools.product(reversed(list(self._tables.plan.tasks)), (False, True)):
            there = reached.get((name, sources))
            if there is not None:
                at = self._arrive(self._tables.readable(name, sources=sources), there, steps, down=False)
                if at and not sources:
                    self._leave_up(name, at, reached)
        return steps

    def down(self, task: str, found: Found) -> list[Step]:
        """Return the steps to all that was made of a row."""
        passed = {task: _Passed(found.values)}
        steps: list[Step] = []
        for name in self._tables.plan.tasks:
            there = _Reached()
            for link in self._tables.links(name) if self._may_read(name, passed) else ():
                if link.source in passed and name != link.source:
                    self._reach(there, link.source, link, passed[link.source], down=True)
            if not there.by:
                continue
            at = self._arrive(self._tables.readable(name), there, steps, down=True)
            if at:
                passed[name] = at
        return steps

    def asked_of(self, task: str, *, up: bool, down: bool) -> list[str]:
        """Return the expressions over the rows of a task that lead to those that they came from, and to those that came from them."""
        above = (side for link in (self._tables.links(task) if up else ()) for side, _ in link.trace.outermost.pairs)
        users = self._tables.users(task) if down else []
        below = (side for link in users for _, side in link.trace.pairs)
        where = (link.trace.where for link in users if link.trace.where)
        return list(dict.fromkeys((*above, *below, *where)))

    # --- from one task to the next

    def _may_read(self, name: str, passed: Iterable[str]) -> bool:
        node = self._tables.plan.tasks[name]
        return not {*node.tables, *node.after}.isdisjoint(passed)

    def _leave_up(self, task: str, at: _Passed, reached: dict[tuple[str, bool], _Reached]) -> None:
        for link in self._tables.links(task):
            there = (task, True) if link.source == SOURCES else (link.source, False)
            self._reach(reached.setdefault(there, _Reached()), task, link, at, down=False)

    def _reach(self, there: _Reached, by: str, link: Link, at: _Passed, *, down: bool) -> None:
        """Note which rows are reached from those of another task, over a link between the two."""
        trace, why = link.trace, f"{link.task}: {link.trace.why}"
        there.by[by] = None
        if at.whole or trace.whole:
            there.whole["" if at.whole else why] = None
        if at.values is None or trace.whole:
            return
        there.expected |= trace.same_cut and not down
        here = {side for _, side in trace.pairs} if down else {side for side, _ in trace.outermost.pairs}
        if not here <= set(at.values.column_names):
            there.whole["the row is not there, so what it was made of cannot be told"] = None
            return
        wanted = (self._hops.down if down else self._hops.up)(link.task, trace, at.values)
        if wanted is None:
            return
        there.only = not there.wanted and trace.must and not down and at.values.num_rows == 1
        there.exact &= trace.exact
        if trace.why:
            there.notes[why] = None
        there.wanted.append(wanted)
        if down and wanted.values is not None and not trace.through:
            there.aside.append((trace, wanted.values))

    def _arrive(self, table: Readable, there: _Reached, steps: list[Step], *, down: bool) -> _Passed | None:
        """Add the step of a task; return what leads on from it, None for nothing."""
        found = Found()
        asked = [] if table.kind == "sources" else self.asked_of(table.task, up=not down, down=down)
        if there.wanted and table.kind != "none":
            try:
                found = self._reader.find(table, there.wanted, asked)
            except (UsageError, TaskError) as error:
                there.whole[error.what] = None
        if table.kind == "sources" and there.whole:
            found, there.exact = self._reader.find(table, [Wanted(())]), len(table.paths) == 1
            there.notes, there.whole = ({} if there.exact else there.whole), {}
        there.exact |= there.only and found.total == 1
        aside = self._aside(table, there)
        if found.total or there.whole or aside or there.expected:
            steps.append(self.step(table, there, found, aside=aside))
        return _Passed(found.values, bool(there.whole)) if found.total or there.whole else None

    def _aside(self, table: Readable, there: _Reached) -> tuple[Aside, ...]:
        aside = readable_aside(self._tables, table.task) if there.aside else None
        if aside is None or aside.input is None:
            return ()
        columns = {f'"{c.name}"' for c in aside.input.manifest.columns}
        wanted = []
        for trace, values in there.aside:
            for side in (1, 0):
                sides = tuple(pair[side] for pair in trace.pairs)
                if columns.issuperset(sides):
                    wanted.append(Wanted(sides, values))
                    break
        if not wanted:
            return ()
        key = [c.name for c in aside.input.manifest.columns if c.name in table.key]
        return as_aside(self._reader.find(aside, wanted).shown, key)

    # --- what is told

    def step(
        self,
        table: Readable,
        there: _Reached,
        found: Found,
        located: Located | None = None,
        *,
        aside: Sequence[Aside] = (),
    ) -> Step:
        """Return what is told of a task."""
        if located and located.aside:
            found = Found()  # what is kept of a row that is set aside is told with the reason
        since = self._history.since(table.task, found.parts) if found.parts else [None] * len(found.shown)
        rows = [
            Row({k: row[k] for k in table.key}, {c: v for c, v in row.items() if c not in table.key}, at)
            for row, at in list(zip(found.shown, since, strict=True))[: self._limit]
        ]
        grain: Grain = "rows" if there.exact else "some"
        if there.whole:
            grain = "whole"
        node, record = self._tables.plan.tasks[table.task], self._records.get(table.task)
        total = found.total if grain != "whole" else table.rows or 0
        notes = [n for n in (*there.notes, *there.whole) if n]
        if grain == "rows" and not found.total and there.expected and not aside:
            notes.append("no row of it is there now")
        if located and located.of:
            run = self._history.run_of(table.task, located.of)
            notes.append(f"the build {located.of.name} had it" + (f", of run {run}" if run else ""))
        return Step(
            table.task,
            table.kind,
            tuple(there.by),
            grain,
            total,
            rows,
            tuple(notes),
            "",
            record[0] if record and table.kind != "sources" else None,
            record[1] if record and table.kind != "sources" else "",
            node.place if node.kept and table.kind != "sources" else "",
            located.aside if located else aside,
        )

    @cached_property
    def _records(self) -> Mapping[str, tuple[int, str]]:
        sql = "select task, built_ms, run_id from tasks where pipeline = ?"
        found = self._tables.project.store.rows(sql, (self._tables.plan.pipeline,))
        return {task: (built_ms, run_id) for task, built_ms, run_id in found}

    def with_states(self, *lists: Sequence[Step]) -> Iterator[list[Step]]:
        """Yield steps with the states of their tasks."""
        plan = self._tables.plan
        needs = plan.needs
        wanted = upstream(needs, [s.task for steps in lists for s in steps])
        _, decisions = self._tables.project.decide(plan, [n for n in plan.tasks if n in wanted], asking=False)
        for steps in lists:
            yield [s if s.kind == "sources" else s._replace(state=WORDS[decisions[s.task].freshness]) for s in steps]
