"""Batches over worker processes: the same results in the same order as one after the other, where that is faster."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mmetl.items.calls import Result, joined
from mmetl.items.pieces import Sent, received, sent
from mmetl.workers.local import LocalWorkers, Lost

PAYS_S = 4.0
"""Seconds of work left, here, from which on worker processes are started: each takes 0.5 s of CPU until it is ready, and 100 MB."""


class Spread:
    """Computes the first batch here, sees how long it took, and goes on in workers where enough is left.

    Args:
        call: computes a batch here.
        workers: makes the workers; they are asked with (setup, batch) and answer as `packed` does.
        setup: what a worker needs to know to compute a batch.
        scratch: a folder for rows that are too many for a pipe.
        empty: the made columns without rows.
        log: where workers' prints and traces go.
        left: how many items are left to compute.
    """

    def __init__(
        self,
        call: Callable[[pa.RecordBatch], Result],
        workers: Callable[[], LocalWorkers],
        setup: str,
        scratch: Path,
        empty: pa.Table,
        log: Callable[[str], object],
        left: Callable[[], int],
    ) -> None:
        self._call, self._workers, self._setup, self._scratch, self._empty = (
            call,
            workers,
            setup,
            scratch,
            empty,
        )
        self._log, self._left = log, left
        self._started: LocalWorkers | None = None

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[Result]:
        """Yield the results of batches, in their order."""
        remaining = iter(batches)
        for batch in remaining:
            began = time.perf_counter()
            result = self._call(batch)
            each_s = (time.perf_counter() - began) / batch.num_rows
            pays = (self._left() - batch.num_rows) * each_s > PAYS_S
            yield result
            if pays:
                yield from self._outside(remaining)

    def _outside(self, batches: Iterator[pa.RecordBatch]) -> Iterator[Result]:
        self._started = workers = self._workers()
        under_way: list[pa.RecordBatch] = []

        def calls() -> Iterator[tuple[str, Sent]]:
            for batch in batches:
                under_way.append(batch)
                yield self._asked(batch)

        for answer in workers.stream(calls()):
            yield self._result(answer, under_way.pop(0))

    def _asked(self, batch: pa.RecordBatch) -> tuple[str, Sent]:
        return self._setup, sent(pa.Table.from_batches([batch]), self._scratch)

    def _result(self, answer: Any, batch: pa.RecordBatch) -> Result:
        """Return what an answer says; a batch whose worker died is halved until the items are found that it dies of."""
        if not isinstance(answer, Lost):
            return self._unpacked(answer)
        self._log(f"{batch.num_rows} items: {answer.why}\n")
        if batch.num_rows == 1:
            return Result(self._empty, np.zeros(1, np.int64), {0: answer.why})
        assert self._started
        half = batch.num_rows // 2
        halves = [batch.slice(0, half), batch.slice(half)]
        answers = self._started.map([self._asked(piece) for piece in halves])
        return joined([self._result(found, piece) for found, piece in zip(answers, halves, strict=True)])

    def _unpacked(self, answer: Packed) -> Result:
        rows, counts, errors, said = answer
        if said:
            self._log(said)
        return Result(received(rows), np.frombuffer(counts, np.int64), errors)


Packed = tuple[Sent, bytes, dict[int, str], str]
"""A result as a worker sends it: rows, counts, errors, and what was printed."""


def packed(result: Result, said: str, scratch: Path) -> Packed:
    """Return a result, and what was printed, as a worker sends them."""
    return sent(result.rows, scratch), result.counts.tobytes(), result.errors, said


def batch_of(asked: Sent) -> pa.RecordBatch:
    """Read a batch that was sent to a worker."""
    return received(asked).to_batches()[0]
