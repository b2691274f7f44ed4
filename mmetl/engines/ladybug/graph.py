"""Ladybug as a target: an embedded graph database in a folder, a projection of a table that can be made anew at any time.

What was learned of version 0.22, by trying it:
- `COPY` does not reach the journal: without a checkpoint afterwards its rows are lost, and what was done to them breaks the replay. So
  it fills new databases only, which are closed by a checkpoint. Changes go by `LOAD FROM ... CREATE`, which the journal has.
- A `COPY` that fails may leave the process unsound. So ends are checked before; a database that failed is thrown away.
- A checkpoint after changes all over the graph costs half of a load. So the journal stays beside the database, is replayed by who
  opens it, and is taken in when it has grown. Where both together cost the least was measured: see JOURNAL_SHARE.
- What is given as `$rows` makes it import pandas and polars, where they are installed, to see whether it is one of their tables: 0.1 s
  for polars. So the rows of a change come from a Parquet file, if it can be named and has types that are read from there as from Arrow.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmetl.contracts.graph import NAME
from mmetl.contracts.target import Applied, Difference
from mmetl.engines.cypher import Ends, Rows, change_nodes, create_edges, create_nodes, delete_edges, delete_nodes
from mmetl.engines.graph_groups import (
    Catalogue,
    Declared,
    Group,
    Groups,
    grouped,
    refuse_clashing_names,
    refuse_dangling,
)
from mmetl.engines.ladybug.answers import LadybugAnswer, explain
from mmetl.engines.ladybug.schema import (
    ALIKE_IN_FILES,
    WITH_ZONE,
    copy_edges,
    copy_nodes,
    create_edge_table,
    create_node_table,
    type_of,
)
from mmetl.engines.packages import require
from mmetl.engines.stamps import (
    BEGUN,
    STAMP,
    drop_folder,
    is_begun,
    mark_begun,
    read_stamp,
    refuse_foreign,
    write_stamp,
)
from mmetl.errors import AnewError, TaskError

DATABASE = "graph.lbug"
JOURNAL = f"{DATABASE}.wal"
ASIDE = "new.lbug"
CATALOGUE = "catalogue.json"

ROWS = "rows.parquet"
PLAIN_PATH = re.compile(r"[\w ./-]+")
"""In others the engine would take a character for a wildcard, or for the end of the path."""

JOURNAL_SHARE = 0.06
"""A journal that is longer than this share of the database is taken into it: replaying it would slow every query down.

Each change of 1 % of a graph of 600,000 rows adds 0.12 s of CPU to all that follow, and taking them in costs 1.1 to 1.6 s: the mean is least
with five or six of them. The database is twice as large once that has been done.
"""

JOURNAL_BYTES = 1 << 20
"""And shorter ones stay."""

LEAST_MEMORY = 256 << 20
"""Bytes below which the engine refuses work that it could do."""


class LadybugGraph:
    """A target in a folder of its own, which holds one Ladybug database.

    Args:
        folder: where it lies.
        threads: how many the engine may use.
        memory: bytes that it may use; None: as much as it thinks fit.
        on_cancel: registers what interrupts it.
        declared: what it has tables for in any case.
    """

    engine = "ladybug"

    def __init__(
        self,
        folder: Path,
        *,
        threads: int = 1,
        memory: int | None = None,
        on_cancel: Callable[[Callable[[], None]], None] = lambda _stop: None,
        declared: Declared | None = None,
    ) -> None:
        self.folder, self._declared = folder, declared or {}
        self._threads, self._memory, self._on_cancel = threads, memory, on_cancel
        self._stopped = threading.Event()

    def applied(self) -> Applied | None:
        """See `Target`."""
        return None if is_begun(self.folder) else read_stamp(self.folder)

    def apply(self, difference: Difference, now: Applied) -> Mapping[str, int]:
        """See `Target`."""
        if difference.whole:
            refuse_foreign(self.folder)
            catalogue = self._make(grouped(difference.rows))
        else:
            catalogue = self._change(difference)
        (self.folder / CATALOGUE).write_text(catalogue.to_json(), encoding="utf-8")
        write_stamp(self.folder, now)
        return difference.counts

    def drop(self) -> None:
        """See `Target`."""
        drop_folder(self.folder)

    @contextlib.contextmanager
    def open(self, path: Path | None = None, *, read_only: bool = True) -> Iterator[Any]:
        """Open the database, or another one, for one use; give a connection. Nothing but `_make` takes the journal in by itself."""
        require("graph", "ladybug")
        import ladybug

        memory = max(self._memory, LEAST_MEMORY) if self._memory else 0
        place = path or self.folder / DATABASE
        with (
            ladybug.Database(
                place,
                read_only=read_only,
                auto_checkpoint=False,
                buffer_pool_size=memory,
                max_num_threads=self._threads,
            ) as database,
            ladybug.Connection(database, num_threads=self._threads) as connection,
        ):

            def stop() -> None:
                self._stopped.set()
                connection.interrupt()

            self._on_cancel(stop)
            yield connection

    @contextlib.contextmanager
    def ask(self, query: str, parameters: Mapping[str, Any], *, scratch: Path | None = None) -> Iterator[LadybugAnswer]:
        """See `GraphStore`. A query that changes the graph changes a copy of it, which is nobody's afterwards."""
        path = self.folder / DATABASE
        if not path.exists():
            raise TaskError(f"there is no database in '{self.folder.name}'", help="mmetl run")
        if scratch is not None:
            scratch.mkdir(parents=True, exist_ok=True)
            for name in (DATABASE, JOURNAL):
                if (self.folder / name).exists():
                    shutil.copyfile(self.folder / name, scratch / name)
            path = scratch / DATABASE
        with contextlib.ExitStack() as stack:
            try:
                connection = stack.enter_context(self.open(path, read_only=scratch is None))
            except RuntimeError as error:
                raise TaskError(
                    f"the graph cannot be opened: {error}", help="is a run writing it? try again"
                ) from error
            try:
                found = (
                    connection.execute(query, parameters=dict(parameters)) if parameters else connection.execute(query)
                )
            except RuntimeError as error:
                if self._stopped.is_set():
                    raise self._told(error) from error
                raise explain(str(error), query, self._names()) from error
            yield LadybugAnswer(found)

    def _names(self) -> set[str]:
        """Return the labels, types and properties that there are."""
        catalogue = Catalogue.from_json((self.folder / CATALOGUE).read_text(encoding="utf-8"))
        return {group.label for group in catalogue.shape} | {
            p for properties in catalogue.shape.values() for p in properties
        }

    # --- made anew

    def _make(self, groups: Groups) -> Catalogue:
        """Make the database aside, then put it in the place of the one that is there."""
        catalogue = Catalogue(declared=self._declared).changed({}, groups)
        refuse_clashing_names(catalogue.shape)
        refuse_dangling(groups)
        mark_begun(self.folder)
        self._remove(lambda name: name.startswith(ASIDE))
        try:
            with self.open(self.folder / ASIDE, read_only=False) as connection:
                _create_tables(connection, catalogue, groups)
                for group, rows in groups.items():
                    table = rows.select([*_own(rows), *_held(catalogue, group, rows)])
                    statement = copy_edges(*group) if group.is_edge else copy_nodes(group.label)
                    connection.execute(statement, parameters={"rows": table})
                connection.execute("CHECKPOINT")
        except RuntimeError as error:
            self._remove(lambda name: name.startswith(ASIDE))
            raise self._told(error) from error
        _sync(self.folder / ASIDE)
        # The journal of the old database first: together with the new one it would be nonsense.
        self._remove(lambda name: name not in {ASIDE, BEGUN, STAMP, DATABASE})
        os.replace(self.folder / ASIDE, self.folder / DATABASE)
        return catalogue

    def _remove(self, unwanted: Callable[[str], bool]) -> None:
        for path in list(self.folder.iterdir()):
            if unwanted(path.name):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()

    # --- changed

    def _change(self, difference: Difference) -> Catalogue:
        """Take a difference over in one transaction. Raises AnewError where tables would have to change, or anything is odd."""
        before = Catalogue.from_json((self.folder / CATALOGUE).read_text(encoding="utf-8"), self._declared)
        new, old = grouped(difference.rows), grouped(difference.old)
        after = before.changed(old, new)
        if after.shape != before.shape:
            raise AnewError("labels, types or properties came or went")
        if not new and not old:
            return after
        mark_begun(self.folder)
        try:
            with self.open(read_only=False) as connection:
                connection.execute("CALL force_checkpoint_on_close=false")
                connection.execute("BEGIN TRANSACTION")
                _Changes(connection, after, self.folder / ROWS).apply(old, new)
                connection.execute("COMMIT")
                if self._is_journal_long():
                    connection.execute("CHECKPOINT")
        except RuntimeError as error:
            if self._stopped.is_set():
                raise self._told(error) from error
            raise AnewError(str(error)) from error
        for name in (DATABASE, JOURNAL):
            _sync(self.folder / name)
        return after

    def _is_journal_long(self) -> bool:
        journal, database = self.folder / JOURNAL, self.folder / DATABASE
        size = journal.stat().st_size if journal.exists() else 0
        return size > max(JOURNAL_BYTES, JOURNAL_SHARE * database.stat().st_size)

    def _told(self, error: RuntimeError) -> TaskError:
        return TaskError("the run was interrupted" if self._stopped.is_set() else f"Ladybug refused: {error}")


class _Changes:
    """Changes a database, in the transaction of a connection; `file` is where rows can wait for it."""

    def __init__(self, connection: Any, catalogue: Catalogue, file: Path) -> None:
        self._connection, self._catalogue, self._file = connection, catalogue, file

    def apply(self, old: Groups, new: Groups) -> None:
        """Replace rows by rows: edges go first and come last. Raises AnewError if one is not there, or has no node."""
        edges = [group for group in old if group.is_edge]
        for group in edges:
            self._do(partial(delete_edges, ends=Ends(*group)), _named(old[group]))
        for group in [*old, *(g for g in new if g not in old)]:
            if not group.is_edge:
                self._nodes(group, old.get(group), new.get(group))
        for group in new:
            if group.is_edge:
                rows = new[group]
                held = _held(self._catalogue, group, rows)
                made = partial(create_edges, ends=Ends(*group), properties=held, casts=_casts(rows))
                self._do(made, rows.select([*_own(rows), *held]))

    def _nodes(self, group: Group, old: pa.Table | None, new: pa.Table | None) -> None:
        before = _names(old)
        if old is not None:
            self._do(partial(delete_nodes, label=group.label), _named(old.filter(_missing(old, _names(new)))))
        if new is not None:
            held = _held(self._catalogue, group, new)
            rows = new.select([NAME, *held])
            is_new = _missing(rows, before)
            said: dict[str, Any] = {"label": group.label, "properties": held, "casts": _casts(rows)}
            self._do(partial(create_nodes, **said), rows.filter(is_new))
            if held:
                self._do(partial(change_nodes, **said), rows.filter(pc.invert(is_new)))

    def _do(self, write: Callable[[Rows], str], rows: pa.Table) -> None:
        if not rows.num_rows:
            return
        with self._given(rows.combine_chunks()) as (source, parameters):
            statement = write(source)
            ((done,),) = self._connection.execute(statement, parameters=parameters).get_all()
        if done != rows.num_rows:
            raise AnewError(f"{done} of {rows.num_rows} rows were found: {statement}")

    @contextlib.contextmanager
    def _given(self, rows: pa.Table) -> Iterator[tuple[Rows, dict[str, Any]]]:
        """Give a statement its rows: how it reads them, and its parameters."""
        path = str(self._file)
        if not (PLAIN_PATH.fullmatch(path) and all(str(f.type) in ALIKE_IN_FILES for f in rows.schema)):
            yield Rows("LOAD FROM $rows"), {"rows": rows}
            return
        pq.write_table(rows, path, compression="none")
        try:
            yield Rows(f"LOAD FROM '{path}'"), {}
        finally:
            self._file.unlink()


def _create_tables(connection: Any, catalogue: Catalogue, groups: Groups) -> None:
    kinds = {f.name: f.type for rows in groups.values() for f in rows.schema}
    kinds |= {name: kind for said in catalogue.declared.values() for name, kind in said.items()}
    pairs: dict[str, list[tuple[str, str]]] = {}
    for group, properties in catalogue.shape.items():
        if group.is_edge:
            pairs.setdefault(group.label, []).append((group.source, group.target))
        else:
            connection.execute(create_node_table(group.label, _types(kinds, properties)))
    for label, ends in pairs.items():
        connection.execute(create_edge_table(label, ends, _types(kinds, catalogue.properties(label))))


def _types(kinds: Mapping[str, pa.DataType], properties: frozenset[str]) -> dict[str, str]:
    """Return the types of properties, in the order of the graph's columns."""
    return {name: type_of(kind, name) for name, kind in kinds.items() if name in properties}


def _held(catalogue: Catalogue, group: Group, rows: pa.Table) -> list[str]:
    """Return the properties that the table of a group has, in the order of the rows' columns."""
    known = catalogue.properties(group.label)
    return [name for name in rows.column_names if name in known]


def _own(rows: pa.Table) -> list[str]:
    names: list[str] = rows.column_names
    return names[: names.index(NAME) + 1]


def _named(rows: pa.Table) -> pa.Table:
    return rows.select(_own(rows))


def _names(rows: pa.Table | None) -> pa.Array:
    return pa.array([], pa.string()) if rows is None else rows[NAME].combine_chunks()


def _missing(rows: pa.Table, names: pa.Array) -> pa.ChunkedArray:
    return pc.invert(pc.is_in(rows[NAME], value_set=names))


def _casts(rows: pa.Table) -> dict[str, str]:
    """Return the columns that the engine takes for another type than they have."""
    return {f.name: WITH_ZONE for f in rows.schema if pa.types.is_timestamp(f.type) and f.type.tz is not None}


def _sync(path: Path) -> None:
    if path.exists():
        with path.open("rb") as file:
            os.fsync(file.fileno())
