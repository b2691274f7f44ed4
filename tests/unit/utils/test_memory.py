"""Amounts of memory."""

from __future__ import annotations

import pytest

from mmetl.utils.memory import fair_share, machine_bytes, memory_bytes
from tests.harness import Project


@pytest.mark.parametrize(
    ("text", "amount"), [("1B", 1), ("2KB", 2000), ("2 KiB", 2048), ("1.5MB", 1_500_000), ("3GiB", 3 << 30)]
)
def test_memory_bytes(text: str, amount: int) -> None:
    assert memory_bytes(text) == amount


@pytest.mark.parametrize("text", ["", "2", "GB", "-1GB", "2GBs"])
def test_no_amount(text: str) -> None:
    with pytest.raises(ValueError, match="is no amount of memory"):
        memory_bytes(text)


def test_fair_share() -> None:
    assert fair_share("8GB", 4) == "2000000000B"
    assert memory_bytes(fair_share(None, 1)) == int(machine_bytes() * 0.8)


SORT = (
    "  {0}: {{transform: tabular.sql, params: {{sql: select md5(range::text) as x from range(2000000) order by x}}}}\n"
)


def test_limit_of_a_project(empty: Project) -> None:
    """All tasks of a run share it: above it queries spill to disk, or fail where they cannot. A task's own comes first."""
    empty.tasks(SORT.format("a"))
    empty.write("mmetl.yml", "version: 1\nmemory_limit: 100MB\n")
    assert empty.mmetl("run", "--json").outcomes() == {"a": "ran"}  # 2 million texts of 32 characters do not fit
    assert list((empty.root / ".mmetl/scratch").iterdir()) == []
    empty.edit("mmetl.yml", "100MB", "20MB")
    done = empty.mmetl("run", "--json", "--force", "--jobs", "2")
    assert done.code == 1
    assert "the query needs more memory" in done.json()["tasks"][0]["error"]
    empty.edit("pipeline.yaml", "order by x", "order by x, memory_limit: 1GB")
    assert empty.mmetl("run", "--json", "--force", "--jobs", "2").outcomes() == {"a": "ran"}


def test_wrong_limit(empty: Project) -> None:
    empty.tasks(SORT.format("a"))
    empty.write("mmetl.yml", "version: 1\nmemory_limit: lots\n")
    done = empty.fast("validate")
    assert done.code == 3
    assert done.err.startswith(
        "mmetl.yml:2:15: error: 'memory_limit' is 'lots', expected an amount of memory such as 8GB"
    )
