"""Parts and manifests on disk."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
import xxhash

from mmetl.cache.artifacts import PartStore, part_path, remove_if_ours, sweep_unfinished, sync
from mmetl.cache.fingerprints import CHUNK_BYTES, MISSING, FileCache
from mmetl.contracts.artifact import Column, Manifest, Part
from mmetl.errors import TaskError


@pytest.fixture
def parts(tmp_path: Path) -> PartStore:
    """The part store of an empty project."""
    return PartStore(FileCache(str(tmp_path), {}))


def xxh(data: bytes) -> str:
    return xxhash.xxh3_128_hexdigest(data)


def add(parts: PartStore, data: bytes) -> str:
    temp = parts.temp(".bin")
    temp.write_bytes(data)
    fingerprint, size = parts.adopt(temp)
    assert (size, temp.exists()) == (len(data), False)
    return fingerprint


def test_adopted_part_is_named_by_its_content(tmp_path: Path, parts: PartStore) -> None:
    """Equal bytes are one part."""
    fingerprint = add(parts, b"abc")
    assert fingerprint == xxh(b"abc")
    assert (tmp_path / part_path(fingerprint)).read_bytes() == b"abc"
    assert add(parts, b"abc") == fingerprint
    assert parts.has(fingerprint)
    assert not parts.has(xxh(b"other"))


def test_damaged_part_is_replaced(tmp_path: Path, parts: PartStore) -> None:
    """A part is believed only while its bytes are what its name says."""
    fingerprint = add(parts, b"abc")
    (tmp_path / part_path(fingerprint)).write_bytes(b"abd")
    fresh = PartStore(FileCache(str(tmp_path), dict(parts.files.known)))
    assert not fresh.has(fingerprint)
    with (tmp_path / part_path(fingerprint)).open("rb", buffering=0) as reader:
        assert add(fresh, b"abc") == fingerprint
        assert reader.read() == b"abd", "it was written where somebody reads"
    assert (tmp_path / part_path(fingerprint)).read_bytes() == b"abc"


@pytest.mark.parametrize("size", [0, 5, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 7])
@pytest.mark.parametrize("cached", [True, False])
def test_taken_output_is_copied(tmp_path: Path, parts: PartStore, size: int, cached: bool) -> None:
    """A later edit of the output does not reach the part, and without a cache there is no part."""
    data = os.urandom(size)
    (tmp_path / "out.bin").write_bytes(data)
    part = parts.take("out.bin", cached=cached)
    assert part == Part(xxh(data), 0, size, 0, "out.bin", False)
    kept = tmp_path / part_path(part.fingerprint)
    assert kept.exists() is cached
    with (tmp_path / "out.bin").open("ab") as f:
        f.write(b"more")
    if cached:
        assert kept.read_bytes() == data
        assert kept.stat().st_ino != (tmp_path / "out.bin").stat().st_ino


def test_output_that_was_not_written(tmp_path: Path, parts: PartStore) -> None:
    """The error says so, and how outputs are named."""
    (tmp_path / "folder").mkdir()
    with pytest.raises(TaskError) as caught:
        parts.take("x.txt", cached=True)
    help_ = "outputs are relative to the project's folder"
    assert str(caught.value) == f"error: it did not write its output 'x.txt'\nhelp: {help_}"
    with pytest.raises(TaskError) as caught:
        parts.take("folder", cached=True)
    assert str(caught.value) == "error: its output 'folder' is not a file\nhelp: declare each file that the task writes"


def test_output_that_is_no_file(tmp_path: Path, parts: PartStore) -> None:
    """A named pipe is not waited for: previously a run whose command left one never ended."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "null").symlink_to(os.devnull)
    (tmp_path / "loop").symlink_to("loop")
    for path in ("pipe", "null"):
        with pytest.raises(TaskError, match=f"its output '{path}' is a pipe or a device, not a file"):
            parts.take(path, cached=True)
    with pytest.raises(TaskError, match="its output 'loop' cannot be read: too many levels of symbolic links"):
        parts.take("loop", cached=False)


@pytest.mark.parametrize("mode", [0o644, 0o755])
def test_written_out_as_it_was(tmp_path: Path, parts: PartStore, mode: int) -> None:
    """An output comes back with its bytes and its executable bit, in a folder made for it; no temp file stays."""
    (tmp_path / "deep").mkdir()
    out = tmp_path / "deep/run.sh"
    out.write_bytes(b"abc")
    out.chmod(mode)
    part = parts.take("deep/run.sh", cached=True)
    out.unlink()
    out.parent.rmdir()
    PartStore(FileCache(str(tmp_path), {})).write_out(part)
    assert out.read_bytes() == b"abc"
    assert out.stat().st_mode & 0o777 == mode
    assert [p.name for p in out.parent.iterdir()] == ["run.sh"]


@contextlib.contextmanager
def no_file_above(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size, as on a full disk; what fits of a write is written."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_half_a_part_is_not_trusted(tmp_path: Path, parts: PartStore) -> None:
    """Where the disk has room for half of it, that is an error, and the next attempt writes it anew."""
    (tmp_path / "o").write_bytes(b"x" * 1000)
    with no_file_above(500), pytest.raises(OSError, match="No space left"):
        parts.take("o", cached=True)
    part = parts.take("o", cached=True)
    assert (tmp_path / part_path(part.fingerprint)).read_bytes() == b"x" * 1000


def test_an_output_is_replaced_as_a_whole(tmp_path: Path, parts: PartStore) -> None:
    """Where the disk has room for half of it, the old one stays, and nothing beside it."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out/o").write_bytes(b"x" * 1000)
    part = parts.take("out/o", cached=True)
    (tmp_path / "out/o").write_bytes(b"old")
    with no_file_above(500), pytest.raises(OSError, match="File too large"):
        parts.write_out(part)
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == {"o": b"old"}
    parts.write_out(part)
    assert (tmp_path / "out/o").read_bytes() == b"x" * 1000


def test_keep_makes_a_part_of_a_file_that_still_has_the_bytes(tmp_path: Path, parts: PartStore) -> None:
    """A lost part is made again from the output; other bytes are not taken for it."""
    (tmp_path / "o").write_bytes(b"abc")
    part = parts.take("o", cached=True)
    (tmp_path / part_path(part.fingerprint)).unlink()
    again = PartStore(FileCache(str(tmp_path), {}))
    assert again.keep("o", part.fingerprint)
    assert again.has(part.fingerprint)
    (tmp_path / part_path(part.fingerprint)).unlink()
    (tmp_path / "o").write_bytes(b"abd")
    last = PartStore(FileCache(str(tmp_path), {}))
    assert not last.keep("o", part.fingerprint)
    assert not last.has(part.fingerprint)
    assert list((tmp_path / ".mmetl/parts/unfinished").iterdir()) == []


def test_missing_parts(tmp_path: Path, parts: PartStore) -> None:
    """Lost and damaged ones, in the manifest's order."""
    prints = [add(parts, data) for data in (b"a", b"b", b"c")]
    manifest = Manifest("table", tuple(Part(f, 1, 1) for f in prints))
    (tmp_path / part_path(prints[0])).unlink()
    (tmp_path / part_path(prints[2])).write_bytes(b"x")
    fresh = PartStore(FileCache(str(tmp_path), {}))
    assert [p.fingerprint for p in fresh.missing(manifest)] == [prints[0], prints[2]]


def test_set_aside_never_overwrites(tmp_path: Path, parts: PartStore) -> None:
    """What somebody else wrote in the place of an output is moved away, each time to a new name."""
    places = []
    for n in range(3):
        (tmp_path / "out").mkdir(exist_ok=True)
        (tmp_path / "out/x.txt").write_text(str(n))
        places.append(parts.set_aside("out/x.txt"))
    assert places == [f".mmetl/replaced/out/x.txt{n}" for n in ("", ".1", ".2")]
    assert [(tmp_path / str(p)).read_text() for p in places] == ["0", "1", "2"]
    assert parts.set_aside("out/x.txt") is None


def test_remove_if_ours(tmp_path: Path) -> None:
    """A file is removed while it has the bytes that we wrote; an edited one stays; an absent one is removed already."""
    files = FileCache(str(tmp_path), {})
    (tmp_path / "x").write_bytes(b"abc")
    assert not remove_if_ours(files, "x", xxh(b"other"))
    assert (tmp_path / "x").exists()
    assert remove_if_ours(files, "x", xxh(b"abc"))
    assert not (tmp_path / "x").exists()
    assert files.fingerprint("x") == MISSING
    assert remove_if_ours(files, "x", xxh(b"abc"))


def test_sweep(tmp_path: Path, parts: PartStore) -> None:
    """What a killed run left half-written goes, finished parts stay."""
    fingerprint = add(parts, b"abc")
    parts.temp().write_bytes(b"half")
    sweep_unfinished(str(tmp_path))
    assert [p.name for p in (tmp_path / ".mmetl/parts").glob("**/*") if p.is_file()] == [fingerprint]


def test_sync_takes_missing_files(tmp_path: Path) -> None:
    """A file that is gone again needs no durability."""
    (tmp_path / "x").write_text("x")
    sync([])
    sync([str(tmp_path / "x"), str(tmp_path / "gone")])


MANIFESTS = {
    "table": (
        Manifest(
            "table", (Part("f" * 32, 3, 99, 1), Part("e" * 32, 2, 98)), ("id",), (Column("id", "int64", False),), 2
        ),
        '{"format":1,"kind":"table","key":["id"],"buckets":2,"schema":[["id","int64",false]],'
        '"parts":[[1,"' + "f" * 32 + '",3,99],[0,"' + "e" * 32 + '",2,98]]}\n',
    ),
    "files": (
        Manifest("files", (Part("f" * 32, 0, 99, 0, "out/é.txt"), Part("e" * 32, 0, 1, 0, "x.sh", True))),
        '{"format":1,"kind":"files","files":[["out/é.txt","' + "f" * 32 + '",99,0],["x.sh","' + "e" * 32 + '",1,1]]}\n',
    ),
}


@pytest.mark.parametrize(("manifest", "text"), MANIFESTS.values(), ids=MANIFESTS.keys())
def test_manifest_text(manifest: Manifest, text: str) -> None:
    """The same manifest is always the same bytes, and is read back equal."""
    assert manifest.to_json() == text
    assert Manifest.from_json(text) == manifest


def test_unknown_manifest_format() -> None:
    """A manifest of a later format is not guessed at."""
    with pytest.raises(ValueError, match="manifest format 2 is not 1"):
        Manifest.from_json('{"format":2,"kind":"files","files":[]}')
