"""The run lock, and the lock of readers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmetl.cache.lock import RunLock, no_readers, reading
from mmetl.errors import RefusedError

HOLD = """
import sys, pathlib
from mmetl.cache.lock import RunLock
RunLock(pathlib.Path(sys.argv[1])).acquire("somebody's run")
print("held", flush=True)
sys.stdin.read()
"""


def test_second_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    """The holder's pid is named; the lock dies with its process, even by kill -9."""
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout
    assert child.stdin
    assert child.stdout.readline() == "held\n"
    lock = RunLock(tmp_path)
    assert not lock.is_free()
    with pytest.raises(RefusedError) as caught:
        lock.acquire("mine")
    assert str(caught.value) == (
        f"error: another run holds this project: pid {child.pid} (somebody's run)\n"
        f"help: wait for it to finish, or stop it: kill {child.pid}"
    )
    assert not lock.held
    child.kill()
    child.wait()
    child.stdin.close()
    child.stdout.close()
    assert lock.is_free()
    lock.acquire("mine")
    assert lock.held
    lock.release()


def test_release(tmp_path: Path) -> None:
    """It can be taken again, and giving it back twice does no harm."""
    lock, other = RunLock(tmp_path), RunLock(tmp_path)
    assert lock.is_free()
    lock.acquire("one")
    with pytest.raises(RefusedError, match=f"pid {os.getpid()} \\(one\\)"):
        other.acquire("two")
    lock.release()
    lock.release()
    other.acquire("two")
    other.release()
    assert lock.is_free()


def test_readers_keep_parts_in_place(tmp_path: Path) -> None:
    """Readers share; while one reads, nothing may be collected, and nobody waits."""
    with reading(tmp_path), reading(tmp_path), no_readers(tmp_path) as free:
        assert not free
    with no_readers(tmp_path) as free:
        assert free
