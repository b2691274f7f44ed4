"""Which hashes occur more than once among very many: what proves that all values differ, at a tenth of a hash table's cost."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]

CELL_ROWS = 1 << 19  # of these the slots fit into a processor's cache
MOST_CELLS = 256  # a byte names a cell; each may be an open file
BATCH_ROWS = 1 << 18
MOST_WAITING = 1 << 24  # hashes that wait in memory: 128 MB
SLOTS_A_ROW = 4
FEW = 1 << 14  # these are sorted at once


def repeated(batches: Iterable[Hashes], rows: int, scratch: Path) -> Hashes:
    """Return the hashes that occur more than once, each once. Exact.

    They are cut into cells by their first bits, which wait in memory, and where they are very many in files: so memory is
    bounded by MOST_WAITING, and by a cell, 1/256 of all at most.

    Args:
        batches: 64-bit hashes, at most BATCH_ROWS in each.
        rows: about how many they are.
        scratch: folder for what waits in files.
    """
    cells = 1
    while cells < MOST_CELLS and rows > cells * CELL_ROWS:
        cells *= 2
    with contextlib.ExitStack() as files:
        waiting = _Cells(cells, rows, scratch, files)
        for hashes in _joined(batches):
            waiting.add(hashes)
        return np.concatenate([_repeated_in(cell) for cell in waiting.take()])


class _Cells:
    """Hashes that wait until all of the same first bits are there.

    Memory is taken once: to be given a page by the system costs more than to write to it.
    """

    def __init__(self, cells: int, rows: int, scratch: Path, opened: contextlib.ExitStack) -> None:
        self._cells, self._scratch, self._opened = cells, scratch, opened
        self._waiting = np.empty(max(BATCH_ROWS * 2, min(rows + BATCH_ROWS * 2, MOST_WAITING)), np.uint64)
        self._used = 0
        self._ends: list[list[int]] = []  # of each batch that waits: where each cell's hashes end in it
        self._files: list[Any] = []

    def add(self, hashes: Hashes) -> None:
        """Take a batch, ordered by cells."""
        if self._used + len(hashes) > len(self._waiting):
            self._put_away()
        begin, self._used = self._used, self._used + len(hashes)
        here = self._waiting[begin : self._used]
        if self._cells == 1:
            here[:] = hashes
            self._ends.append([begin, self._used])
            return
        cell = hashes.view(np.uint8)[7::8] >> np.uint8(9 - self._cells.bit_length())
        np.take(hashes, np.argsort(cell, kind="stable"), out=here, mode="clip")  # of bytes that is a radix sort
        ends = np.cumsum(np.bincount(cell, minlength=self._cells)) + begin
        self._ends.append([begin, *ends.tolist()])

    def take(self) -> Iterator[Hashes]:
        """Yield the hashes of each cell."""
        if self._files:
            self._put_away()
            for file in self._files:
                file.seek(0)
                yield np.fromfile(file, np.uint64)
            return
        for cell in range(self._cells):
            yield self._of(cell)

    def _of(self, cell: int) -> Hashes:
        found = [self._waiting[ends[cell] : ends[cell + 1]] for ends in self._ends]
        return np.concatenate(found or [self._waiting[:0]])

    def _put_away(self) -> None:
        """Move what waits to files."""
        if not self._files:
            self._scratch.mkdir(parents=True, exist_ok=True)
            files = (tempfile.TemporaryFile(dir=self._scratch, buffering=0) for _ in range(self._cells))  # noqa: SIM115
            self._files = [self._opened.enter_context(file) for file in files]
        if self._ends:
            for cell, file in enumerate(self._files):
                file.write(self._of(cell).data)
        self._used, self._ends = 0, []


def _joined(batches: Iterable[Hashes]) -> Iterator[Hashes]:
    """Yield the same in fewer pieces: what is cut costs by the piece."""
    waiting: list[Hashes] = []
    rows = 0
    for hashes in batches:
        waiting.append(hashes)
        rows += len(hashes)
        if rows >= BATCH_ROWS:
            yield np.concatenate(waiting)
            waiting, rows = [], 0
    if waiting:
        yield np.concatenate(waiting)


def _repeated_in(hashes: Hashes) -> Hashes:
    if _surely_differ(hashes):
        return hashes[:0]
    ordered = np.sort(hashes)
    return np.unique(ordered[1:][ordered[1:] == ordered[:-1]])


def _surely_differ(hashes: Hashes) -> bool:
    """Tell whether no two are equal; False also where that is not known. A third of the time of a sort.

    Each hash writes its last bits into a slot which bits before these choose, and sees whether they stayed. If as many see
    theirs as slots are taken, each slot has one owner: no two of those are equal, and none is equal to one that lost, which
    would have seen its own bits too. The few that lost are sorted.
    """
    lost = hashes
    if len(hashes) > FEW:
        size = 1 << (len(hashes) * SLOTS_A_ROW - 1).bit_length()
        tag = hashes.view(np.uint32)[::2] | np.uint32(1)  # 0 is an empty slot
        slot = (hashes.view(np.uint32)[1::2] & np.uint32(size - 1)).astype(np.intp)
        slots = np.zeros(size, np.uint32)
        slots[slot] = tag
        lost = np.compress(slots.take(slot) != tag, hashes)
        if len(hashes) - len(lost) != np.count_nonzero(slots):
            return False
    ordered = np.sort(lost)
    return not bool(np.any(ordered[1:] == ordered[:-1]))
