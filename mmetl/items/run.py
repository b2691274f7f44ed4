"""Do an item-wise task: compute what is new in batches across parts, and put each part of the output together.

The parts of the input are gone through in order, twice: once to hash their items (see plan), and once, for those that are
not kept, to compute and to write. In between only hashes are held, some 50 bytes an item.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmetl.cache.arrow_types import columns_of
from mmetl.cache.python_rows import python_rows
from mmetl.cache.tables import read_part, write_table
from mmetl.contracts.artifact import Manifest
from mmetl.contracts.items import Basis, ItemIndex, Items, Unit
from mmetl.contracts.transform import Job, Made, Table
from mmetl.errors import TaskError
from mmetl.items.calls import ERROR, ITEM, CutShortError, Result, joined
from mmetl.items.hashes import Hashes
from mmetl.items.ledger import Ledger, Numbers, read_ledger, write_ledger
from mmetl.items.plan import Changed, Plan, plan_items
from mmetl.items.rows import MadeRows
from mmetl.items.shape import Shape

NOTE_S = 0.5  # how often finished parts are made durable, so that a kill does not lose them
OPEN_BYTES = 64 << 20  # of input parts that wait for a batch to become full
PIECE_S = 2.0  # and items of a part that is not finished


@dataclass(frozen=True)
class Failures:
    """What happens to items that fail.

    Attributes:
        set_aside: they go into quarantine, and the others go on; else the first one fails the task.
        max_fraction: of all items; above it the task fails all the same.
    """

    set_aside: bool
    max_fraction: float


@dataclass
class _Open:
    """A part of the output on its way.

    Attributes:
        changed: the part of the input.
        rows: of the input, what goes into the output or names an item.
        given: of the new items, what the function is given; None where all of it is in batches: a text may be half a gigabyte.
        results: of the first of the new items.
    """

    changed: Changed
    rows: pa.Table
    given: pa.Table | None
    results: list[Result] = field(default_factory=list)
    noted: tuple[int, int] = (0, 0)  # results, and items, that a kill does not lose any more

    @property
    def computed(self) -> int:
        # Not a number of its own: an interrupt between the two would leave items without their rows.
        return sum(len(r.counts) for r in self.results)

    @property
    def held(self) -> int:
        """Bytes of the input that wait."""
        return max(int(t.nbytes) for t in (self.rows, self.given) if t is not None)

    @property
    def whole(self) -> bool:
        return self.computed == len(self.changed.todo)


class _Piece(NamedTuple):
    """New items of a part on their way into a batch, from `start` to before `end` of them."""

    unit: _Open
    start: int
    end: int

    @property
    def rows(self) -> pa.Table:
        assert self.unit.given is not None
        return self.unit.given.slice(self.start, self.end - self.start)


Batches = Iterator[pa.RecordBatch]
Compute = Callable[[Iterable[pa.RecordBatch]], Iterator[Result]]
"""Turns batches into results, in the same order; how many are under way at a time is its own affair."""


class ItemRun:
    """One run of one item-wise task.

    Args:
        job: the running task.
        items: what the transform declares.
        table: the input.
        shape: the task's columns.
        basis: what decides, besides the items.
        failures: what happens to items that fail.
    """

    def __init__(self, job: Job, items: Items, table: Table, shape: Shape, basis: Basis, failures: Failures) -> None:
        self._job, self._items, self._table, self._shape, self._basis = job, items, table, shape, basis
        self._failures = failures
        self._batch_rows = items.batch_rows(job.params) if callable(items.batch_rows) else items.batch_rows
        self._plan: Plan = plan_items(table, shape, basis, job.earlier, job.parts)
        self._made = MadeRows(job.parts, shape.made, self._plan)
        self._units: dict[int, Unit] = dict(self._plan.kept)
        self._failed: dict[int, pa.Table] = {}  # place of an input part -> its items that failed
        self._open: deque[_Open] = deque()
        self._waiting: deque[tuple[_Open, int]] = deque()  # which items the batches under way consist of
        self._noted_at = time.monotonic()
        self._to_note: list[Unit] = []
        self._computed = 0

    @property
    def left(self) -> int:
        """How many items are still to be computed."""
        return self._plan.to_compute - self._computed

    def run(self, compute: Compute) -> Made:
        """Compute and write what is not known. Raises TaskError where an item fails that may not."""
        self._job.progress(0, self._plan.to_compute, self._plan.counts)
        try:
            try:
                for result in compute(self._batches()):
                    self._take(result)
                    del result  # else it would be held while the next one is computed
            except CutShortError as cut:
                self._take(cut.result)
                raise cut.why from cut.why.__cause__
            self._finish()
        except BaseException:
            self._note(everything=True)
            raise
        units = tuple(self._units[n] for n in range(len(self._table.manifest.parts)))
        quarantine = self._quarantine(units)
        counts = self._plan.counts | {"computed": self._computed}
        failed = sum(u.failed for u in units)
        return Made(
            tuple(p for u in units for p in u.parts),
            self._shape.columns,
            self._table.manifest.buckets,
            quarantine=quarantine,
            items=ItemIndex(self._basis, units),
            key=self._shape.output_key,
            counts={k: v for k, v in (counts | {"failed": failed}).items() if v or k == "computed"},
        )

    # --- batches out

    def _batches(self) -> Batches:
        """Yield new items, across the parts, in batches of a bounded number of rows and bytes."""
        pieces: list[_Piece] = []
        rows = size = 0
        for changed in self._plan.changed:
            unit = self._opened(changed)
            if not len(changed.todo) and len(self._open) == 1:
                self._finish()
            if pieces and sum(u.held for u in self._open) > OPEN_BYTES:
                yield self._batch(pieces)
                pieces, rows, size = [], 0, 0
            for start, end in self._ranges_of(unit):
                if pieces and size + self._bytes_of(unit, start, end) > self._items.batch_bytes:
                    yield self._batch(pieces)
                    pieces, rows, size = [], 0, 0
                at = start
                while rows + end - at >= self._batch_rows:
                    room = self._batch_rows - rows
                    yield self._batch([*pieces, _Piece(unit, at, at + room)])
                    at += room
                    pieces, rows, size = [], 0, 0
                if at < end:
                    pieces.append(_Piece(unit, at, end))
                    rows, size = rows + end - at, size + self._bytes_of(unit, at, end)
        if pieces:
            yield self._batch(pieces)

    def _opened(self, changed: Changed) -> _Open:
        """Read a part of the input."""
        rows, changed.at_hand = changed.at_hand, None
        if rows is None:
            rows = read_part(self._table, changed.number, self._shape.needed)
        given = rows.select(self._shape.given) if len(changed.todo) else None
        if given is not None and len(changed.todo) < len(given):
            given = given.take(pa.array(changed.todo))
        unit = _Open(changed, rows.select(self._shape.stays), given)
        self._open.append(unit)
        return unit

    def _bytes_of(self, unit: _Open, start: int, end: int) -> int:
        """Return the bytes of some new items, with what they bring with them from elsewhere."""
        assert unit.given is not None
        piece = unit.given.slice(start, end - start)
        outside = int(pc.sum(piece.column(self._items.weight)).as_py() or 0) if self._items.weight else 0
        return int(piece.nbytes) + outside

    def _ranges_of(self, unit: _Open) -> Iterator[tuple[int, int]]:
        """Yield where pieces of a part's new items start and end that fit into a batch; an item that does not is one of its own."""
        halves = [(0, len(unit.changed.todo))] if unit.given is not None else []
        while halves:
            start, end = halves.pop()
            if end - start > 1 and (
                end - start > self._batch_rows or self._bytes_of(unit, start, end) > self._items.batch_bytes
            ):
                half = (start + end) // 2
                halves += [(half, end), (start, half)]
            else:
                yield start, end

    def _batch(self, pieces: list[_Piece]) -> pa.RecordBatch:
        """Make a batch. Nothing but it then holds what the function is given of parts that are through."""
        self._waiting.extend((p.unit, p.end - p.start) for p in pieces)
        rows = pa.concat_tables([p.rows for p in pieces]).combine_chunks()
        for unit, _, end in pieces:
            if end == len(unit.changed.todo):
                unit.given = None
        return rows.to_batches()[0]

    # --- results in

    def _take(self, result: Result) -> None:
        """Hand the result of a batch, or of its first items, out to the parts that its items are of."""
        start = 0
        self._computed += len(result.counts)
        while start < len(result.counts):
            unit, waiting = self._waiting.popleft()
            items = min(waiting, len(result.counts) - start)
            if items < waiting:
                self._waiting.appendleft((unit, waiting - items))
            own = result.slice(start, items)
            positions = unit.changed.todo[unit.computed : unit.computed + items]
            if own.errors and not self._failures.set_aside:
                self._fail(unit, positions, own)
            unit.results.append(own)
            start += items
        spent = self._job.meter.counts if self._job.meter else {}
        self._job.progress(self._computed, self._plan.to_compute, {**self._plan.counts, **spent})
        self._finish()
        self._note()

    def _finish(self) -> None:
        """Write the parts whose items are all computed, in order."""
        while self._open and self._open[0].whole:
            self._write(self._open.popleft())

    def _write(self, unit: _Open) -> None:
        changed = unit.changed
        made = self._made.assemble(changed, joined(unit.results) if unit.results else None)
        # Only what the output repeats: a text of 5 MB beside each of its 5,000 chunks would be 25 GB.
        rows = unit.rows.select([n for n in self._shape.output.names if n not in made.column_names])
        ledger = changed.ledger
        if self._items.many or (ledger.rows != 1).any():
            rows = rows.take(pa.array(np.repeat(np.arange(len(ledger)), ledger.rows)))
        columns = [made.column(n) if n in made.column_names else rows.column(n) for n in self._shape.output.names]
        output = pa.Table.from_arrays(columns, schema=self._shape.output)
        parts = write_table(output.to_batches(), self._shape.output, self._job.parts)
        bucket = changed.part.bucket
        written = Unit(
            changed.part.fingerprint,
            write_ledger(ledger, self._job.parts, bucket),
            tuple(p._replace(bucket=bucket) for p in parts),
            len(ledger.errors),
        )
        if ledger.errors:
            self._failed[changed.number] = self._aside(unit.rows, ledger)
        self._units[changed.number] = written
        self._to_note.append(written)
        self._made.written(changed, written)

    # --- what a kill must not lose

    def _note(self, *, everything: bool = False) -> None:
        """Make finished parts durable, every now and then; and computed items of one that takes long."""
        now = time.monotonic()
        due = now - self._noted_at
        if self._job.earlier is None or not (everything or due > NOTE_S) or not self._computed:
            return
        units, self._to_note = self._to_note, []
        if everything or due > PIECE_S or not units:
            units += self._pieces()
        if units:
            self._job.earlier.note(self._basis, units)
        self._noted_at = time.monotonic()

    def _pieces(self) -> list[Unit]:
        """Keep computed items of parts that are not finished, as units that no part of an input has made."""
        found = []
        for unit in self._open:
            results, items = unit.noted
            new = unit.results[results:]
            computed = items + sum(len(r.counts) for r in new)
            if computed > items:
                found.append(self._piece(unit.changed.ledger.items[unit.changed.todo[items:computed]], joined(new)))
                unit.noted = (results + len(new), computed)
        return found

    def _piece(self, items: Hashes, result: Result) -> Unit:
        nothing = np.zeros(len(items), np.uint64)
        ledger = write_ledger(Ledger(items, nothing, nothing, result.counts, result.errors), self._job.parts, 0)
        parts = write_table(result.rows.to_batches(), self._shape.made, self._job.parts)
        return Unit(f"items {ledger.fingerprint}", ledger, parts, len(result.errors))

    # --- what fails

    def _fail(self, unit: _Open, positions: Numbers, result: Result) -> None:
        position, error = min(result.errors.items())
        told = unit.rows.select(self._shape.key or self._shape.reads[:1])
        named = python_rows(told.slice(int(positions[position]), 1))[0]
        shown = ", ".join(f"{k} '{v}'" if isinstance(v, str) else f"{k} {v}" for k, v in named.items())
        more = f", and {len(result.errors) - 1} more" if len(result.errors) > 1 else ""
        raise TaskError(
            f"an item failed ({shown[:200]}{more}): {error}",
            help="mend it, or set failing items aside with `on_error: quarantine`",
        )

    def _aside(self, rows: pa.Table, ledger: Ledger) -> pa.Table:
        """Return the items of a part that failed: why, what they are called, and their fingerprint."""
        at = sorted(ledger.errors)
        named = rows.select(self._shape.key or self._shape.reads).take(pa.array(at, pa.int64()))
        hashes = [f"{int(h):016x}{int(low):016x}" for h, low in ledger.items[at]]
        named = named.append_column(ITEM, pa.array(hashes, pa.string()))
        return named.add_column(0, ERROR, pa.array([ledger.errors[i] for i in at], pa.string()))

    def _quarantine(self, units: tuple[Unit, ...]) -> Manifest | None:
        """Keep the failed items of all parts as a table. Raises TaskError if there are too many."""
        failed, total = sum(u.failed for u in units), sum(u.ledger.rows for u in units)
        if not failed:
            return None
        for number, unit in self._plan.kept.items():
            if unit.failed:
                rows = read_part(self._table, number, self._shape.needed)
                self._failed[number] = self._aside(rows, read_ledger(unit.ledger, self._job.parts))
        rows = pa.concat_tables([self._failed[n] for n in sorted(self._failed)])
        if failed > total * self._failures.max_fraction:
            self._note(everything=True)
            raise TaskError(
                f"{failed:,} of {total:,} items failed, more than a share of {self._failures.max_fraction:g};"
                f" the first: {rows.column(ERROR)[0].as_py()}",
                help="mend them, or raise `max_fraction`",
            )
        parts = write_table(rows.to_batches(), rows.schema, self._job.parts)
        return Manifest("table", parts, (), columns_of(rows.schema))


def in_order(call: Callable[[pa.RecordBatch], Result]) -> Compute:
    """Compute one batch after the other, here."""

    def compute(batches: Iterable[pa.RecordBatch]) -> Iterator[Result]:
        return map(call, batches)  # a batch is let go before its result is written: it may be half a gigabyte

    return compute
