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
MOST_CELLS = 256  # a byte names a cell; each is an open file
BATCH_ROWS = 1 << 18
SLOTS_A_ROW = 4
FEW = 1 << 14  # these are sorted at once


def repeated(batches: Iterable[Hashes], rows: int, scratch: Path) -> Hashes:
    """Return the hashes that occur more than once, each once. Exact.

    They are cut into cells by their first bits, which wait in files: so memory is that of a cell, 1/256 of all at most.

    Args:
        batches: 64-bit hashes.
        rows: about how many they are.
        scratch: folder for what waits.
    """
    cells = 1
    while cells < MOST_CELLS and rows > cells * CELL_ROWS:
        cells *= 2
    scratch.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile(dir=scratch, buffering=0)) for _ in range(cells)]
        for hashes in _joined(batches):
            _spread(hashes, files)
        return np.concatenate([_repeated_in(_read(file)) for file in files])


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


def _spread(hashes: Hashes, files: list[Any]) -> None:
    """Append each hash to the file of its cell."""
    if len(files) == 1:
        files[0].write(hashes.data)
        return
    cell = hashes.view(np.uint8)[7::8] >> np.uint8(9 - len(files).bit_length())
    together = hashes[np.argsort(cell, kind="stable")]  # of bytes that is a radix sort
    ends = np.cumsum(np.bincount(cell, minlength=len(files))).tolist()
    for file, start, end in zip(files, [0, *ends], ends, strict=False):
        file.write(together[start:end].data)


def _read(file: Any) -> Hashes:
    file.seek(0)
    return np.fromfile(file, np.uint64)


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
        lost = hashes[slots.take(slot) != tag]
        if len(hashes) - len(lost) != np.count_nonzero(slots):
            return False
    ordered = np.sort(lost)
    return not bool(np.any(ordered[1:] == ordered[:-1]))
