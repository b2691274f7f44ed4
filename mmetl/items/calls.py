"""Call the author's function with a batch of items, and look at what it returns.

A batch that fails is halved until the items that fail are found: the others are computed all the same.
"""

from __future__ import annotations

import inspect
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmetl.cache.arrow_types import type_text
from mmetl.cache.python_rows import python_rows
from mmetl.cache.tables import cast
from mmetl.contracts.items import TOKENS_BESIDE, BusyError, Items
from mmetl.contracts.transform import Job
from mmetl.errors import MmetlError, TaskError
from mmetl.items.ledger import Numbers
from mmetl.items.pieces import gathered
from mmetl.utils.retry import retry

ITEM = "_item"
"""The column that says which item of the batch a row belongs to."""

ERROR = "_error"
"""The column in which a function may say why it could do nothing with an item."""

RETRY_LIMIT_S = 30.0  # the longest wait between two attempts
SHOWN = 3


@dataclass
class Result:
    """What a batch came to.

    Attributes:
        rows: the made columns, the rows of an item together, in the order of the items.
        counts: how many rows each item has.
        errors: position in the batch -> why the item failed.
    """

    rows: pa.Table
    counts: Numbers
    errors: dict[int, str] = field(default_factory=dict)

    def slice(self, start: int, length: int) -> Result:
        """Return the part of the result for some items."""
        before, size = int(self.counts[:start].sum()), int(self.counts[start : start + length].sum())
        errors = {i - start: e for i, e in self.errors.items() if start <= i < start + length}
        return Result(self.rows.slice(before, size), self.counts[start : start + length], errors)


def joined(results: list[Result]) -> Result:
    """Return results one after the other as one."""
    if len(results) == 1:
        return results[0]
    errors: dict[int, str] = {}
    start = 0
    for result in results:
        errors.update({start + i: e for i, e in result.errors.items()})
        start += len(result.counts)
    return Result(pa.concat_tables([r.rows for r in results]), np.concatenate([r.counts for r in results]), errors)


class CutShortError(Exception):
    """The work on a batch ended within it.

    Attributes:
        result: of its first items.
        why: what ended it.
    """

    def __init__(self, result: Result, why: BaseException) -> None:
        super().__init__()
        self.result, self.why = result, why


class Caller:
    """Calls one function for the items of one task.

    Args:
        job: the running task.
        function: of the transform's author; it takes `batch`, and `params` and `inputs` if it wants them, and returns rows or
            yields them piece by piece.
        items: what the author declared.
        made: the schema of what it makes.
        inputs: further tables, whole, by alias.
        stop: tells whether the run was interrupted.
    """

    def __init__(
        self,
        job: Job,
        function: Callable[..., Any],
        items: Items,
        made: pa.Schema,
        inputs: Mapping[str, pa.Table],
        stop: Callable[[], bool],
    ) -> None:
        self._job, self._function, self._items, self._made, self._stop = job, function, items, made, stop
        self._wanted = pa.schema([*made, *([pa.field(ITEM, pa.int64())] if items.many else []), (ERROR, pa.string())])
        takes = inspect.signature(function).parameters
        self._given = {k: v for k, v in {"params": job.params, "inputs": inputs}.items() if k in takes}
        self.name = getattr(function, "__name__", type(function).__name__)

    def __call__(self, batch: pa.RecordBatch) -> Result:
        """Return what the items of a batch come to.

        Raises:
            TaskError: for what is no item's fault: a wrong shape, an interrupt, a service that stays busy.
            CutShortError: where such an error, or an interrupt, came after some of the items were done.
        """
        todo, done = [batch], list[Result]()
        try:
            while todo:
                piece = todo.pop()
                room = self._room(piece)
                if room < piece.num_rows:
                    todo.append(piece.slice(room))
                    piece = piece.slice(0, room)
                try:
                    result = self._tried(piece)
                finally:
                    if self._job.meter:
                        self._job.meter.release()
                if result is None:
                    half = piece.num_rows // 2
                    todo += [piece.slice(half), piece.slice(0, half)]
                else:
                    done.append(result)
        except BaseException as error:
            if done:
                raise CutShortError(joined(done), error) from error
            raise
        return joined(done)

    def _room(self, batch: pa.RecordBatch) -> int:
        """Return for how many of the items it is sure that the run may spend what they cost. Raises LimitError for none."""
        paid, meter = self._items.paid, self._job.meter
        if paid is None or meter is None or not paid.used(self._job.params):
            return int(batch.num_rows)
        fits: int = meter.hold([size + TOKENS_BESIDE for size in paid.sent(self._job.params, batch)])
        return fits

    def _tried(self, batch: pa.RecordBatch) -> Result | None:
        """Return what the items come to; None where one of several failed, and it is not known which."""
        if self._stop():
            raise TaskError("the run was interrupted")
        try:
            returned = self._patiently(batch)
        except MmetlError:
            raise
        except Exception as error:  # noqa: BLE001  the author's code may raise anything
            if batch.num_rows > 1:
                return None
            return Result(self._made.empty_table(), np.zeros(1, np.int64), {0: self._told(error)})
        return self._looked_at(returned, batch.num_rows)

    def _rows(self, batch: pa.RecordBatch) -> pa.Table:
        """Return the rows that the function returns, or yields piece by piece."""
        returned = self._function(batch=batch, **self._given)
        if isinstance(returned, Iterator):
            return gathered(map(self._piece, returned), self._wanted, self._job.scratch)
        return self._table(returned)

    def _piece(self, yielded: Any) -> pa.Table:
        if self._stop():
            raise TaskError("the run was interrupted")
        rows = self._table(yielded)
        self._refuse_missing(rows)
        made = self._cast(rows)
        if self._items.many:
            made = made.append_column(ITEM, self._numbers(rows))
        errors = (
            rows.column(ERROR).cast(pa.string()) if ERROR in rows.column_names else pa.nulls(len(rows), pa.string())
        )
        return pa.Table.from_arrays([*made.columns, errors], schema=self._wanted)

    def _patiently(self, batch: pa.RecordBatch) -> pa.Table:
        """Call the function; wait and call again while a service is busy."""
        items = self._items
        busy: tuple[type[Exception], ...] = (BusyError, *items.retry_on)
        tried = retry(
            items.retries,
            items.retry_delay_s,
            on=busy,
            longest=RETRY_LIMIT_S,
            asked=lambda error: getattr(error, "after_s", 0.0),
            sleep=self._wait,
            told=lambda n, e: self._job.log.write(f"attempt {n} failed: {type(e).__name__}: {e}\n"),
        )(self._rows)
        try:
            return tried(batch)
        except busy as error:
            raise TaskError(
                f"'{self.name}' gave up after {items.retries + 1} attempts: {type(error).__name__}: {error}",
                help="what is finished is kept; run again when the service answers",
            ) from error

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self._stop():
                raise TaskError("the run was interrupted")
            time.sleep(min(0.1, seconds))

    def _told(self, error: Exception) -> str:
        """Return an error in one line; the trace goes to the log."""
        self._job.log.write("".join(traceback.format_exception(error)))
        first = str(error).splitlines()
        return f"{type(error).__name__}: {first[0]}" if first else type(error).__name__

    def _looked_at(self, rows: pa.Table, items: int) -> Result:
        """Return the function's rows as a result. Raises TaskError if they are not what was declared."""
        many = self._items.many
        self._refuse_missing(rows)
        if not many and rows.num_rows != items:
            raise TaskError(
                f"'{self.name}' returned {rows.num_rows} rows for {items} items",
                help=f"return one row an item, or declare many=True and return the column {ITEM}",
            )
        errors: dict[int, str] = {}
        of = self._items_of(rows, items) if many else np.arange(items)
        if ERROR in rows.column_names and rows.column(ERROR).null_count < rows.num_rows:
            told = rows.column(ERROR).to_pylist()
            errors = {int(of[i]): str(e) for i, e in enumerate(told) if e is not None}
            sound = pa.array(~np.isin(of, list(errors)))
            rows, of = rows.filter(sound), of[np.asarray(sound)]
        if many and len(of) > 1 and (of[1:] < of[:-1]).any():
            order = np.argsort(of, kind="stable")
            rows, of = rows.take(pa.array(order)), of[order]
        made = self._cast(rows)
        if many and self._items.key:
            self._check_key(made, of)
        return Result(made, np.bincount(of, minlength=items).astype(np.int64), errors)

    def _refuse_missing(self, rows: pa.Table) -> None:
        expected = [*self._made.names, *([ITEM] if self._items.many else [])]
        missing = [n for n in expected if n not in rows.column_names]
        if missing:
            had = ", ".join(rows.column_names) or "none"
            raise TaskError(f"'{self.name}' did not return the column '{missing[0]}'", help=f"it returned: {had}")

    def _table(self, returned: Any) -> pa.Table:
        try:
            if isinstance(returned, dict):
                return pa.table(returned)
            if isinstance(returned, pa.RecordBatch):
                return pa.Table.from_batches([returned])
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise TaskError(f"what '{self.name}' returned is not a table: {error}") from error
        if isinstance(returned, pa.Table):
            return returned
        raise TaskError(
            f"'{self.name}' returned {type(returned).__name__}, not rows",
            help="return a pyarrow RecordBatch or Table, or a dict of columns; or yield such",
        )

    def _items_of(self, rows: pa.Table, items: int) -> Numbers:
        numbers = self._numbers(rows)
        of: Numbers = np.asarray(numbers)
        if len(of) and (numbers.null_count or of.min() < 0 or of.max() >= items):
            raise TaskError(f"'{self.name}' returned a {ITEM} that is no position in its batch")
        return of

    def _numbers(self, rows: pa.Table) -> pa.ChunkedArray:
        try:
            return rows.column(ITEM).cast(pa.int64())
        except pa.ArrowException as error:
            raise TaskError(f"'{self.name}' returned a {ITEM} that is no number: {error}") from error

    def _cast(self, rows: pa.Table) -> pa.Table:
        for field_ in self._made:
            found = rows.column(field_.name).type
            if not found.equals(field_.type) and pa.types.is_null(found) and rows.num_rows:
                continue  # all null: any type
            if pa.types.is_nested(found) != pa.types.is_nested(field_.type) and not pa.types.is_null(found):
                raise TaskError(
                    f"'{self.name}' returned '{field_.name}' as '{found}', declared is '{type_text(field_.type)}'",
                    help="return the type that is declared",
                )
        return cast(rows.select(self._made.names), self._made)

    def _check_key(self, made: pa.Table, of: Numbers) -> None:
        key = list(self._items.key)
        for name in key:
            if made.column(name).null_count:
                raise TaskError(f"'{self.name}' returned a null in '{name}', which is a part of the key")
        named = made.select(key).append_column(ITEM, pa.array(of))
        sizes = named.group_by([ITEM, *key], use_threads=False).aggregate([([], "count_all")])
        repeated = sizes.filter(pc.greater(sizes.column("count_all"), 1))
        if repeated.num_rows:
            shown = ", ".join("/".join(str(r[k]) for k in key) for r in python_rows(repeated.slice(0, SHOWN)))
            raise TaskError(
                f"'{self.name}' returned several rows of one item with the same key: {shown}",
                help="add an occurrence number to the key, or return each once",
            )
