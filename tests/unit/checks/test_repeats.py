"""Which hashes occur twice, against plain counting: few and many, in one cell and in 256, and those made to collide."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmetl.checks import repeats
from mmetl.checks.repeats import BATCH_ROWS, CELL_ROWS, MOST_CELLS, repeated

SHAPES = {
    "all different": lambda random, n: random.permutation(n).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15),
    "one twice": lambda random, n: np.append(random.integers(0, 2**63, n - 1, np.uint64) * np.uint64(2), [7, 7]),
    "most of them often": lambda random, n: random.integers(0, n // 3 + 1, n, np.uint64) << np.uint64(32),
    "the same last bits": lambda random, n: (random.permutation(n).astype(np.uint64) << np.uint64(32)) | np.uint64(5),
    "the same first bits": lambda random, n: random.permutation(n).astype(np.uint64),
    "last bits that differ in the last": lambda random, n: np.arange(n, dtype=np.uint64) % np.uint64(2),
}


@pytest.mark.parametrize("rows", [1, 2, 500, 60_000])
@pytest.mark.parametrize("cells", [1, MOST_CELLS])
@pytest.mark.parametrize("shape", SHAPES)
def test_finds_those_that_occur_twice_and_no_others(tmp_path: Path, shape: str, cells: int, rows: int) -> None:
    hashes = SHAPES[shape](np.random.default_rng(3), rows).astype(np.uint64)
    values, counts = np.unique(hashes, return_counts=True)
    batches = np.array_split(hashes, 7)
    found = repeated(batches, CELL_ROWS * cells, tmp_path / "new")
    assert sorted(found.tolist()) == values[counts > 1].tolist()
    assert not (tmp_path / "new").exists()  # so few wait in memory


@pytest.mark.parametrize("cells", [1, 4])
@pytest.mark.parametrize("shape", SHAPES)
def test_what_does_not_fit_into_memory_waits_in_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: str, cells: int
) -> None:
    monkeypatch.setattr(repeats, "MOST_WAITING", 3 * BATCH_ROWS)
    hashes = SHAPES[shape](np.random.default_rng(3), 4 * BATCH_ROWS + 17).astype(np.uint64)
    values, counts = np.unique(hashes, return_counts=True)
    found = repeated(np.array_split(hashes, 99), CELL_ROWS * cells, tmp_path / "new")
    assert sorted(found.tolist()) == values[counts > 1].tolist()
    assert not list((tmp_path / "new").iterdir())  # what waited is gone


def test_of_nothing_nothing_occurs_twice(tmp_path: Path) -> None:
    assert not len(repeated([], 0, tmp_path))
