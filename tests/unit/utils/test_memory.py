"""Amounts of memory."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

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


FREED = """
import ctypes
from mmetl.utils.memory import give_back, keep_freed

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]

def resident_mb():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 >> 20

keep_freed()
before = resident_mb()
array = libc.malloc(24 << 20)
ctypes.memset(array, 1, 24 << 20)
libc.free(array)
freed = resident_mb()
give_back()
print(freed - before, resident_mb() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told what to keep")
@pytest.mark.parametrize(("said", "kept"), [({}, True), ({"MALLOC_MMAP_THRESHOLD_": "1000000"}, False)])
def test_freed_memory_is_kept_until_it_is_given_back(said: dict[str, str], kept: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FREED], env={**os.environ, **said}, capture_output=True, text=True, check=True
    )
    freed, given = map(int, done.stdout.split())
    assert (freed >= 20) == kept
    assert given < 5


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
