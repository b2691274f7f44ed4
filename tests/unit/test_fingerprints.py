"""Fingerprints of files, and the stat cache that never trusts a racy time."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from mmetl.cache.fingerprints import (
    CHUNK_BYTES,
    COARSE_TICK_NS,
    MANY,
    MISSING,
    TICK_NS,
    FileCache,
    build_key,
    combine,
    fingerprint_pipeline,
    fingerprint_recipe,
    hash_file,
    is_racy,
    seal,
    sealed,
    settle,
    signature,
)
from mmetl.config.loader import load_pipeline

OLD_NS = 1_600_000_000_000_000_123


def old(path: Path, text: str) -> Path:
    """Write a file and wait until its times are older than a tick."""
    path.write_text(text)
    time.sleep(TICK_NS / 1e9 + 0.005)
    return path


def xxh(text: str) -> str:
    return xxhash.xxh3_128_hexdigest(text.encode())


def cache(root: Path, known: dict[str, tuple[bytes, str]] | None = None) -> FileCache:
    return FileCache(str(root), {} if known is None else known)


@pytest.mark.parametrize(
    "size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, 3 * CHUNK_BYTES]
)
def test_hash_in_chunks_equals_one_shot(tmp_path: Path, size: int) -> None:
    """The chunk size cannot be seen in the fingerprint."""
    data = os.urandom(size)
    (tmp_path / "f").write_bytes(data)
    assert hash_file(str(tmp_path / "f")) == xxhash.xxh3_128_hexdigest(data)


def stat(**changed: int) -> Any:
    base = {"st_size": 3, "st_mtime_ns": OLD_NS, "st_ctime_ns": OLD_NS, "st_ino": 7, "st_dev": 1}
    return SimpleNamespace(**{**base, **changed})


@pytest.mark.parametrize("field", ["st_size", "st_mtime_ns", "st_ctime_ns", "st_ino", "st_dev"])
@pytest.mark.parametrize("by", [1, -1])
def test_every_field_of_a_signature_counts(field: str, by: int) -> None:
    """Signatures are compared for equality: an older time is as much a change as a newer one."""
    assert signature(stat()) == signature(stat())
    assert signature(stat()) != signature(stat(**{field: getattr(stat(), field) + by}))


def test_large_inode() -> None:
    """Inodes above 2**63 exist on some file systems."""
    assert signature(stat(st_ino=(1 << 64) - 1)) != signature(stat(st_ino=(1 << 64) - 2))


@pytest.mark.parametrize(
    ("age_ns", "ctime_ns", "racy"),
    [
        (0, OLD_NS, True),
        (TICK_NS - 1, OLD_NS, True),
        (TICK_NS, OLD_NS, False),
        (-5 * TICK_NS, OLD_NS, True),
        (TICK_NS, 1_600_000_000_000_000_000, True),
        (COARSE_TICK_NS - 1, 1_600_000_000_000_000_000, True),
        (COARSE_TICK_NS, 1_600_000_000_000_000_000, False),
    ],
)
def test_racy_is_within_a_tick_of_the_change(age_ns: int, ctime_ns: int, racy: bool) -> None:
    """A time of whole seconds may come from a coarse clock; a time in the future is never trusted."""
    assert is_racy(stat(st_ctime_ns=ctime_ns), ctime_ns + age_ns) is racy


def test_rewrite_within_a_tick_is_seen(tmp_path: Path) -> None:
    """A file rewritten with the same size right after it was hashed is hashed again, whatever its times say."""
    for n in range(100, 160):
        path = tmp_path / "f"
        path.write_text(str(n))
        before = path.stat()
        first = cache(tmp_path)
        assert first.fingerprint("f") == xxh(str(n))
        with path.open("r+") as f:
            f.write(str(n + 100))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        second = cache(tmp_path, dict(first.known))
        assert second.fingerprint("f") == xxh(str(n + 100))


def test_just_written_file_is_not_cached(tmp_path: Path) -> None:
    """Its signature may still come to stand for other bytes, so it is neither kept nor written back."""
    (tmp_path / "f").write_text("abc")
    os.utime(tmp_path / "f", ns=(OLD_NS, OLD_NS))  # only ctime says that it is new
    files = cache(tmp_path)
    files.fingerprint("f")
    assert (files.known, files.changes) == ({}, {})


def test_unchanged_file_is_not_read_again(tmp_path: Path) -> None:
    """An equal signature is taken for equal bytes: here it stands for a fingerprint that no bytes have."""
    path = old(tmp_path / "f", "abc")
    files = cache(tmp_path)
    assert files.fingerprint("f") == xxh("abc")
    assert files.changes == {"f": (signature(path.stat()), xxh("abc"))}
    assert cache(tmp_path, {"f": (signature(path.stat()), "told")}).fingerprint("f") == "told"


@pytest.mark.parametrize("how", ["older time", "other bytes", "replaced"])
def test_another_signature_is_read_again(tmp_path: Path, how: str) -> None:
    """Any difference counts, also one back in time, and a file put in the place of another."""
    path = old(tmp_path / "f", "abc")
    known = {"f": (signature(path.stat()), "told")}
    if how == "older time":
        os.utime(path, ns=(OLD_NS, OLD_NS))
    elif how == "other bytes":
        path.write_text("abc")
    else:
        (tmp_path / "g").write_text("abc")
        (tmp_path / "g").rename(path)
    assert cache(tmp_path, known).fingerprint("f") == xxh("abc")


def test_changes_are_told_once(tmp_path: Path) -> None:
    """What is learnt is written back: new fingerprints, and what is no longer to be trusted."""
    path = old(tmp_path / "f", "abc")
    files = cache(tmp_path, {"f": (b"x" * 40, "told"), "gone": (b"x" * 40, "told")})
    files.observe(["f", "gone", "never"])
    assert files.seen == {"f": xxh("abc"), "gone": MISSING, "never": MISSING}
    assert set(files.take_changes()) == {"f"}
    assert files.take_changes() == {}
    path.write_text("abd")
    files.again("f")
    assert files.take_changes() == {"f": None}


def test_each_path_is_looked_at_once(tmp_path: Path) -> None:
    """A run decides over one state of the world; `again` looks once more."""
    path = old(tmp_path / "f", "abc")
    files = cache(tmp_path)
    before = files.fingerprint("f")
    path.write_text("changed")
    assert files.fingerprint("f") == before
    assert files.again("f") == xxh("changed")
    path.unlink()
    assert files.again("f") == MISSING


def test_many_paths_are_looked_at_as_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    project = tmp_path / "project"
    (project / "d").mkdir(parents=True)
    (tmp_path / "outside").write_text("there")
    paths = [str(tmp_path / "outside"), "gone", "d", "d/0/x", *(f"d/{n}" for n in range(MANY))]
    for path in paths[4:]:
        (project / path).write_text(path)
    (project / "d/1").chmod(0o755)
    many = FileCache(str(project), {})
    many.observe([*paths, *paths])
    singly = FileCache(str(project), {})
    for path in paths:
        singly.observe([path])
    assert many.seen == singly.seen
    assert many.executable == singly.executable == {"d", "d/1"}
    assert len(set(many.seen.values())) == MANY + 2


def test_folder_stands_for_no_file(tmp_path: Path) -> None:
    """A folder in the place of a file, or a file in the place of a folder, is a missing file."""
    (tmp_path / "d").mkdir()
    (tmp_path / "f").write_text("")
    files = cache(tmp_path)
    files.observe(["d", "f/x"])
    assert files.seen == {"d": MISSING, "f/x": MISSING}


def test_moved_sees_a_rewrite_with_equal_bytes(tmp_path: Path) -> None:
    """An input written while a task ran may have been read half-way, even if it has the same bytes again."""
    path = old(tmp_path / "f", "abc")
    files = cache(tmp_path)
    fingerprint = files.fingerprint("f")
    before = files.signature_of("f")
    assert not files.moved("f", before, fingerprint)
    path.write_text("abc")
    assert files.moved("f", before, fingerprint)


def test_moved_with_a_just_written_file(tmp_path: Path) -> None:
    """A file too young for the cache has not moved as long as nobody writes it."""
    (tmp_path / "f").write_text("abc")
    files = cache(tmp_path)
    fingerprint = files.fingerprint("f")
    before = files.signature_of("f")
    assert not files.moved("f", before, fingerprint)
    (tmp_path / "f").write_text("abd")
    assert files.moved("f", before, fingerprint)
    (tmp_path / "f").unlink()
    assert files.moved("f", before, fingerprint)
    assert not files.moved("never", b"", MISSING)


@pytest.mark.parametrize("take", ["seal", "settle"])
def test_sealed_file_is_trusted_at_once(tmp_path: Path, take: str) -> None:
    """A file that mmETL wrote needs no waiting: any later write is sure to change its signature."""
    for n in range(40):
        path = tmp_path / f"f{n}"
        path.write_text("abc")
        with path.open("rb") as f:
            if take == "seal":
                seal(f.fileno())
                st_ = sealed(str(path))
            else:
                st_ = settle(f.fileno())
        assert st_
        files = cache(tmp_path)
        files.put(path.name, "told", st_)
        assert cache(tmp_path, dict(files.known)).fingerprint(path.name) == "told"
        with path.open("r+") as f:
            f.write("abd")
        assert cache(tmp_path, dict(files.known)).fingerprint(path.name) == xxh("abd")


def test_settle_keeps_the_time_true(tmp_path: Path) -> None:
    """An output's time moves by one nanosecond, and so stays later than that of its inputs for tools like make."""
    (tmp_path / "f").write_text("abc")
    before = (tmp_path / "f").stat().st_mtime_ns
    with (tmp_path / "f").open("rb") as f:
        after = settle(f.fileno())
    assert after
    assert before - after.st_mtime_ns == 1


def test_put_without_a_stat_is_not_cached(tmp_path: Path) -> None:
    """On a file system that rounds times nothing is trusted at once."""
    files = cache(tmp_path, {"f": (b"x" * 40, "told")})
    files.put("f", "new", None)
    assert (files.seen, files.known, files.changes) == ({"f": "new"}, {}, {"f": None})


YAML = """\
version: 1
name: p
tasks:
  b: {transform: shell.run, params: {command: "x", outputs: [b]}}
  a: {transform: shell.run, params: {outputs: [a], command: y}, tags: [t]}
"""
WRITINGS = {
    "order of tasks and keys": (
        "name: p\nversion: 1\ntasks:\n"
        "  a: {tags: [t], params: {command: y, outputs: [a]}, transform: shell.run}\n"
        "  b: {params: {outputs: [b], command: x}, transform: shell.run}\n"
    ),
    "block style, comments and defaults": (
        "# a pipeline\nversion: 1\nname: p\ntasks:\n  b:\n    transform: shell.run\n    retries: 0\n"
        "    params:\n      command: 'x'\n      outputs:\n        - b\n"
        "  a: {transform: shell.run, params: {outputs: [a], command: y}, tags: [t], cache: yes}\n"
    ).replace("yes", "true"),
}


def of(path: Path, text: str) -> str:
    path.write_text(text)
    return fingerprint_pipeline(load_pipeline(path, root=path.parent).pipeline)


@pytest.mark.parametrize("text", WRITINGS.values(), ids=WRITINGS.keys())
def test_pipeline_fingerprint_ignores_writing(tmp_path: Path, text: str) -> None:
    """It is of what a pipeline says, not of how it is written or ordered."""
    assert of(tmp_path / "p.yaml", text) == of(tmp_path / "p.yaml", YAML)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("command: y", "command: z"),
        ("name: p", "name: q"),
        ("tags: [t]", "tags: [u]"),
        ("  a:", "  c:"),
        ("[b]", "[c]"),
    ],
)
def test_pipeline_fingerprint_sees_content(tmp_path: Path, before: str, after: str) -> None:
    """Every value counts, and every name."""
    assert of(tmp_path / "p.yaml", YAML.replace(before, after)) != of(tmp_path / "p.yaml", YAML)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), values, max_size=4))
def test_recipe_does_not_see_key_order(recipe: dict[str, Any]) -> None:
    """A mapping is the same in any order."""
    assert fingerprint_recipe(dict(reversed(recipe.items()))) == fingerprint_recipe(recipe)


@given(values, values)
def test_recipes_differ_where_values_do(one: Any, other: Any) -> None:
    """Values that JSON tells apart have different fingerprints: 1 and true, "1" and 1, [] and {}."""
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (fingerprint_recipe({"x": one}) == fingerprint_recipe({"x": other})) is same


def test_joined_fingerprints_keep_their_place() -> None:
    """Order counts, and a build key is no plain combination."""
    assert combine(["a", "b"]) != combine(["b", "a"])
    assert combine(["a", "b"]) != combine(["ab"])
    assert build_key("a", "b") not in {combine(["a", "b"]), build_key("b", "a")}
