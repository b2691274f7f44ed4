"""A file may be written again within one tick of its file system's clock: size, times and inode stay the same."""

from __future__ import annotations

import os
import time
from types import SimpleNamespace
from typing import Any

import pytest

from mmetl.cache import fingerprints, tree_cache
from mmetl.cache.artifacts import PartStore, part_path
from mmetl.cache.fingerprints import FileCache, hash_file
from mmetl.cache.store import Store
from mmetl.cache.tree_cache import TreeCache

TICK_NS = 10_000_000


class CoarseClock:
    """The `os` module over a file system that stamps writes with a coarse clock, as kernels before 6.13 do.

    Times that a program sets are kept to the nanosecond.
    """

    def __init__(self) -> None:
        self._set: dict[int, int] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def utime(self, fd: int, ns: tuple[int, int]) -> None:
        os.utime(fd, ns=ns)
        self._set[os.fstat(fd).st_ino] = ns[1]

    def fstat(self, fd: int) -> Any:
        return self.stat(fd)

    def stat(self, path: str | int, *, dir_fd: int | None = None) -> Any:
        st = os.stat(path, dir_fd=dir_fd)
        fields = {n: getattr(st, n) for n in ("st_size", "st_ino", "st_dev", "st_mode", "st_atime_ns")}
        exact = self._set.get(st.st_ino) == st.st_mtime_ns
        mtime = st.st_mtime_ns if exact else st.st_mtime_ns // TICK_NS * TICK_NS
        return SimpleNamespace(**fields, st_mtime_ns=mtime, st_ctime_ns=st.st_ctime_ns // TICK_NS * TICK_NS)


@pytest.fixture(autouse=True, params=["this kernel's clock", "a coarse clock"])
def clock(request, monkeypatch) -> None:
    if request.param == "a coarse clock":
        for module in (fingerprints, tree_cache):
            monkeypatch.setattr(module, "os", CoarseClock())


def test_a_source_rewritten_right_after_it_was_hashed(tmp_path):
    """Its fingerprint is not remembered before the tick is over."""
    path = tmp_path / "source"
    for n in range(200):
        path.write_text(f"{n:6d}")
        cache = FileCache(str(tmp_path), {})
        cache.observe(["source"])
        path.write_text(f"{n:6x}".replace(" ", "_"))
        assert FileCache(str(tmp_path), cache.known).fingerprint("source") == hash_file(str(path)), n


@pytest.mark.parametrize("what", ["output", "part"])
def test_a_file_of_ours_rewritten_right_after_us(tmp_path, what):
    """Files that we wrote are known at once, without being hashed again; yet a change in the same tick is seen."""
    output = tmp_path / "output"
    for n in range(200):
        output.unlink(missing_ok=True)
        output.write_text(f"{n:6d}")
        files = FileCache(str(tmp_path), {})
        part = PartStore(files).take("output", cached=True)
        changed = "output" if what == "output" else part_path(part.fingerprint)
        assert changed in files.known
        (tmp_path / changed).write_text(f"{n:6x}".replace(" ", "_"))
        assert FileCache(str(tmp_path), files.known).fingerprint(changed) != part.fingerprint, n


def test_an_input_rewritten_right_after_it_was_hashed(tmp_path):
    """It was written while its task ran, whether it is named or listed, and whatever its times say."""
    path = tmp_path / "src/a"
    path.parent.mkdir()
    for n in range(100):
        path.write_text(f"{n:6d}")
        files = FileCache(str(tmp_path), {})
        fingerprint, trees = files.fingerprint("src/a"), TreeCache(Store(tmp_path), FileCache(str(tmp_path), {}))
        before, tree = files.signature_of("src/a"), trees.observe("src/*")
        assert (files.moved("src/a", before, fingerprint), trees.moved("src/*", tree)) == (False, [])
        path.write_text(f"{n:6x}".replace(" ", "_"))
        assert (files.moved("src/a", before, fingerprint), trees.moved("src/*", tree)) == (True, ["src/a"]), n
        found = trees.observe("src/*").find("src/a")
        assert found, n
        assert found.fingerprint == hash_file(str(path)), n


def test_a_file_rewritten_while_it_is_hashed(tmp_path, monkeypatch):
    """However long that takes: what was read is not remembered for the file that is there."""
    path = tmp_path / "source"

    def slowly(full: str) -> str:
        found = hash_file(full)
        path.write_text("other ")
        time.sleep(2 * fingerprints.TICK_NS / 1e9)
        return found

    class Behind(CoarseClock):
        """A file system whose clock is an hour late: its times alone tell nothing."""

        def stat(self, path: str | int, *, dir_fd: int | None = None) -> Any:
            st = super().stat(path, dir_fd=dir_fd)
            st.st_ctime_ns -= 3_600_000_000_000
            return st

    for n in range(20):
        path.write_text(f"{n:6d}")
        with monkeypatch.context() as patch:
            if n % 2:
                time.sleep(2 * TICK_NS / 1e9)
                patch.setattr(fingerprints, "os", Behind())
            patch.setattr(fingerprints, "hash_file", slowly)
            files = FileCache(str(tmp_path), {})
            files.observe(["source"])
            patch.setattr(fingerprints, "hash_file", hash_file)
            assert FileCache(str(tmp_path), files.known).fingerprint("source") == hash_file(str(path)), n


def test_files_of_ours_where_times_are_rounded(tmp_path, monkeypatch):
    """As on FAT: no time can be given to them that no later write would have, so they are hashed when they are looked at again."""

    class Rounding(CoarseClock):
        def stat(self, path: str | int, *, dir_fd: int | None = None) -> Any:
            st = super().stat(path, dir_fd=dir_fd)
            st.st_mtime_ns = st.st_mtime_ns // 2_000_000_000 * 2_000_000_000
            return st

    monkeypatch.setattr(fingerprints, "os", Rounding())
    (tmp_path / "output").write_text("text")
    files = FileCache(str(tmp_path), {})
    PartStore(files).take("output", cached=True)
    assert files.known == {}
