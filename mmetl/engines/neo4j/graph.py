"""Neo4j as a target: a part of a database, which others may use too, is kept equal to a graph.

What is written goes by MERGE in batches, so that it can be done again at any point. A small difference is one transaction; a larger one
is several: the first takes back the stamp which says what the database holds, the last writes it. Without the stamp, or when anything
is odd, all rows are merged, and what the task keeps besides them is left.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from mmetl.contracts.graph import OWN
from mmetl.contracts.target import Applied, Difference
from mmetl.engines.cypher import Ends
from mmetl.engines.graph_groups import Group, Groups, grouped, refuse_dangling
from mmetl.engines.neo4j.answers import Neo4jAnswer, explain, is_about_query
from mmetl.engines.neo4j.rows import (
    Row,
    all_properties,
    as_rows,
    batches,
    key_of,
    key_rows,
    properties_of,
    refuse_types,
    whole_rows,
)
from mmetl.engines.neo4j.session import Stamp, count, read_stamp, session
from mmetl.engines.neo4j.text import (
    BEGIN,
    PREFIX,
    STAMP,
    UNIQUE_STAMPS,
    UNSTAMP,
    any_edges,
    any_nodes,
    count_nodes,
    kept_edges,
    kept_nodes,
    leave_edges,
    leave_nodes,
    merge_edges,
    merge_nodes,
    spare_edges,
    spare_nodes,
    unique_keys,
)
from mmetl.engines.neo4j.transactions import transactions
from mmetl.errors import AnewError, TaskError

TRANSACTION_ROWS = 20_000
"""Rows that one transaction writes at most: it has to fit into the server's memory."""

Key = tuple[str, ...]


class Step(NamedTuple):
    """A statement over a batch of rows.

    Attributes:
        statement: what is done with them.
        rows: the batch.
        found: whether it says how many of them it has done, which must be all.
        again: what is done instead where nobody knows whether it was done before; empty: the same.
    """

    statement: str
    rows: Sequence[Row]
    found: bool = False
    again: str = ""


class Neo4jGraph:
    """What one task keeps in a database.

    Args:
        connection: to the server (see engines.neo4j.session).
        owner: the task, `pipeline:task`.
        on_cancel: registers what interrupts it.
        log: takes lines about what was tried again.
    """

    engine = "neo4j"

    def __init__(
        self,
        connection: Mapping[str, Any],
        owner: str,
        *,
        on_cancel: Callable[[Callable[[], None]], None] = lambda _stop: None,
        log: Callable[[str], object] = lambda _line: None,
    ) -> None:
        self._connection, self._owner, self._on_cancel, self._log = connection, owner, on_cancel, log
        self._stopped = threading.Event()
        on_cancel(self._stopped.set)

    def applied(self) -> Applied | None:
        """See `Target`."""
        with self._session() as opened:
            stamp = read_stamp(opened, self._owner)
        return Applied(stamp.manifest, stamp.spec) if stamp and stamp.manifest else None

    def apply(self, difference: Difference, now: Applied) -> Mapping[str, int]:
        """See `Target`."""
        new = grouped(difference.rows)
        old = {} if difference.whole else grouped(difference.old)
        refuse_types(new)
        if difference.whole:
            refuse_dangling(new)
        with self._session() as opened:
            before = read_stamp(opened, self._owner)
            for statement in (UNIQUE_STAMPS, *map(unique_keys, sorted(_labels(new)))):
                opened.run(statement).consume()
            steps = self._all(opened, new, before) if difference.whole else self._changes(old, new)
            self._write(opened, steps, _stamp(Stamp() if difference.whole else before, old, new, now))
        return difference.counts

    def _session(self) -> AbstractContextManager[Any]:
        return session(self._connection, on_cancel=self._on_cancel)

    def drop(self) -> None:
        """See `Target`."""
        with self._session() as opened:
            self._write(opened, self._left(opened, {}), None)

    @contextmanager
    def ask(self, query: str, parameters: Mapping[str, Any], *, scratch: Path | None = None) -> Iterator[Neo4jAnswer]:
        """See `GraphStore`. What a query changes is there for the query itself; then the transaction is taken back."""
        from neo4j.exceptions import ClientError

        with session(self._connection, on_cancel=self._on_cancel, reads=scratch is None, notes="WARNING") as opened:
            transaction = opened.begin_transaction()
            try:
                yield Neo4jAnswer(transaction.run(query, dict(parameters)))
            except ClientError as error:  # also for a row that cannot be computed
                if self._stopped.is_set() or not is_about_query(error):
                    raise
                raise explain(error, query) from error
            transaction.close()

    # --- what is to be done

    def _changes(self, old: Groups, new: Groups) -> Iterator[Step]:
        """Yield what replaces rows by rows: edges that are gone first, nodes that are gone, new nodes, new edges."""
        lost = {group: _gone(group, old, new) for group in old}
        for group, rows in sorted(lost.items(), key=lambda item: not item[0].is_edge):
            statement = (
                leave_edges(self._owner, Ends(*group)) if group.is_edge else leave_nodes(self._owner, group.label)
            )
            yield from (Step(statement, batch) for batch in batches(as_rows(group, rows)))
        for group in new:
            before = [old[group]] if group in old else []
            known = {key for rows in before for key in key_rows(group, rows)}
            yield from self._merge(group, new[group], properties_of(group, new[group], *before), known=known)

    def _all(self, opened: Any, new: Groups, before: Stamp | None) -> Iterator[Step]:
        """Yield what lets all rows be there, and nothing else that the task keeps."""
        is_empty = before is None and not opened.run(count_nodes(self._owner)).single()[0]
        taken = {group: _is_taken(opened, group) for group in new}  # before the first of them is written
        if not is_empty or any(taken.values()):
            yield from self._left(opened, {group: set(key_rows(group, rows)) for group, rows in new.items()})
        columns = {name for rows in new.values() for name in rows.column_names}
        absent = [p for p in before.properties if p not in columns] if before else ()
        for group in new:
            names = properties_of(group, new[group]) if is_empty else all_properties(group, new[group])
            yield from self._merge(group, new[group], names, is_taken=taken[group], absent=absent)

    def _merge(
        self,
        group: Group,
        rows: pa.Table,
        properties: Sequence[str],
        *,
        is_taken: bool = True,
        absent: Sequence[str] = (),
        known: Container[Key] = (),
    ) -> Iterator[Step]:
        """Yield what lets rows be there.

        Args:
            group: what they are.
            rows: as `grouped` returns them.
            properties: those that are written.
            is_taken: whether anything of their label or type is there, which may be others'.
            absent: properties that are removed.
            known: keys of those that the task keeps already.
        """
        said = self._owner, properties, absent
        again = ""
        if group.is_edge:
            spare, merge = spare_edges(Ends(*group)), merge_edges(Ends(*group), *said)
            if not is_taken:
                merge, again = merge_edges(Ends(*group), *said, create=True), merge
        else:
            spare, merge = spare_nodes(group.label), merge_nodes(group.label, *said)
        for batch in whole_rows(group, rows, properties):
            others = [row for row in batch if key_of(group, row) not in known] if is_taken else []
            if others:
                yield Step(spare, [{k: v for k, v in row.items() if k in OWN} for row in others])
            yield Step(merge, batch, found=True, again=again)

    def _left(self, opened: Any, wanted: Mapping[Group, set[Key]]) -> Iterator[Step]:
        """Yield what lets the task keep no more than is wanted: edges, then nodes."""
        edges, nodes = [], []
        seen = set()
        for id_, kind, sources, source, targets, target, key in opened.run(kept_edges(self._owner)):
            named = (source, target, key)
            groups = [Group(kind, a, b) for a in _own(sources) for b in _own(targets)]
            found = next(((g, named) for g in groups if named in wanted.get(g, ())), None)
            if found is None or found in seen:
                edges.append({"id": id_})
            seen.add(found)
        for id_, labels, key in opened.run(kept_nodes(self._owner)):
            if not any((key,) in wanted.get(Group(label), ()) for label in _own(labels)):
                nodes.append({"id": id_})
        for batch in batches(edges):
            yield Step(leave_edges(self._owner), batch)
        for batch in batches(nodes):
            yield Step(leave_nodes(self._owner), batch)

    # --- doing it

    def _write(self, opened: Any, steps: Iterator[Step], stamp: Stamp | None) -> None:
        """Do steps in as many transactions as it takes; the last one lets the database say what it holds from then on."""
        write = transactions(opened, self._stopped, self._log)
        todo, step = [], next(steps, None)
        rows, begun = 0, False
        while step is not None:
            todo.append(step)
            rows += len(step.rows)
            step = next(steps, None)
            if step is not None and rows + len(step.rows) > TRANSACTION_ROWS:
                write(self._some, todo, begin=not begun)
                todo, rows, begun = [], 0, True
        write(self._last, todo, stamp)

    def _some(self, transaction: Any, steps: Sequence[Step], *, again: bool, begin: bool = False) -> None:
        if begin:
            transaction.run(BEGIN, owner=self._owner).consume()
        for step in steps:
            if self._stopped.is_set():
                raise TaskError("the run was interrupted")
            result = transaction.run((again and step.again) or step.statement, rows=step.rows)
            if step.found and result.single()[0] < len(step.rows):
                raise AnewError("edges lead to nodes that are not there")
            result.consume()

    def _last(self, transaction: Any, steps: Sequence[Step], stamp: Stamp | None, *, again: bool) -> None:
        self._some(transaction, steps, again=again)
        if stamp is None:
            transaction.run(UNSTAMP, owner=self._owner).consume()
            return
        if count(transaction, self._owner, stamp.types) != (stamp.nodes, stamp.edges):
            raise AnewError("the database does not hold what it should")
        transaction.run(STAMP, owner=self._owner, said=stamp._asdict()).consume()


def _is_taken(opened: Any, group: Group) -> bool:
    """Tell whether a database holds anything of the kind of a group."""
    return bool(opened.run(any_edges(group.label) if group.is_edge else any_nodes(group.label)).single()[0])


def _labels(groups: Iterable[Group]) -> set[str]:
    """Return the labels of nodes, and of the ends of edges."""
    return set(chain.from_iterable((g.source, g.target) if g.is_edge else (g.label,) for g in groups))


def _own(labels: Iterable[str]) -> list[str]:
    """Return labels of a node besides those that say who keeps it."""
    return [label for label in labels if not label.startswith(PREFIX)]


def _gone(group: Group, old: Groups, new: Groups) -> list[Key]:
    """Return the keys of rows that are there no more."""
    there = set(key_rows(group, new[group])) if group in new else set()
    return [key for key in key_rows(group, old[group]) if key not in there]


def _stamp(before: Stamp | None, old: Groups, new: Groups, now: Applied) -> Stamp:
    """Return what a database holds that held `before`, without some rows and with others."""
    before = before or Stamp()
    counts = [before.nodes, before.edges]
    for groups, sign in ((old, -1), (new, 1)):
        for group, rows in groups.items():
            counts[group.is_edge] += sign * rows.num_rows
    types = {group.label for group in new if group.is_edge}.union(before.types)
    names = {name for rows in new.values() for name in rows.column_names if not name.startswith("_")}
    properties = tuple(sorted(names.union(before.properties)))
    return Stamp(now.manifest, now.spec, counts[0], counts[1], tuple(sorted(types)), properties)
