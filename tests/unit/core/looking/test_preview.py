"""Whatever was damaged: of tasks that wait for nothing, `dry-run` says what `run` then does."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable

import pytest
from harness import Project

TASKS = """\
  cmd:
    transform: shell.run
    params: {command: "tee out/one.txt < in.txt > out/two.txt", inputs: [in.txt], outputs: [out/one.txt, out/two.txt]}
  next:
    transform: shell.run
    params: {command: "cat out/one.txt > out/next.txt", inputs: [out/one.txt], outputs: [out/next.txt]}
  globbed:
    transform: shell.run
    params: {command: "cat in/* > out/globbed.txt", inputs: [in/*.txt], outputs: [out/globbed.txt]}
  uncached:
    transform: shell.run
    cache: false
    params: {command: "echo u > out/uncached.txt", outputs: [out/uncached.txt]}
  always:
    transform: shell.run
    always: true
    params: {command: "echo a > out/always.txt", outputs: [out/always.txt]}
  aged:
    transform: shell.run
    max_age: 1h
    params: {command: "echo g > out/aged.txt", outputs: [out/aged.txt]}
  table: {transform: tabular.read, params: {path: t.csv}, key: [id]}
  written: {transform: tabular.write, inputs: [table], params: {path: out/written.csv}}
  folder: {transform: tabular.write, inputs: [table], params: {path: out/folder, partition_by: [word]}}
"""
OUTPUTS = ("one", "two", "next", "globbed", "uncached", "always", "aged")
SOURCES = {"in.txt": "in", "in/a.txt": "a", "in/b.txt": "b", "t.csv": "id,word\n1,x\n2,y\n"}


def files(p: Project) -> list[str]:
    return [*(f"out/{name}.txt" for name in OUTPUTS), "out/written.csv", "out/folder/word=x/data.parquet"]


def delete(*outputs: str) -> Callable[[Project], None]:
    return lambda p: [(p.root / path).unlink() for path in outputs or files(p)] and None


def edit(*outputs: str) -> Callable[[Project], None]:
    return lambda p: [p.write(path, "edited") for path in outputs or files(p)] and None


def lose_parts(p: Project) -> None:
    shutil.rmtree(p.root / ".mmetl/parts")


def damage_parts(p: Project) -> None:
    for part in (p.root / ".mmetl/parts").glob("*/*"):
        part.write_bytes(b"?" * part.stat().st_size)


def folder_in_the_way(p: Project) -> None:
    (p.root / "out/two.txt").unlink()
    (p.root / "out/two.txt").mkdir()


def sources(**texts: str) -> Callable[[Project], None]:
    return lambda p: [p.write(path.replace("_", "."), text) for path, text in texts.items()] and None


def command(p: Project) -> None:
    p.edit("pipeline.yaml", "echo u", "printf u")


def revert(p: Project) -> None:
    """Let the sources have been others for a while."""
    p.write("in.txt", "other")
    p.write("t.csv", "id,word\n3,x\n")
    p.run()
    for path, text in SOURCES.items():
        p.write(path, text)


def lose_sources(p: Project) -> None:
    (p.root / "in.txt").unlink()
    shutil.rmtree(p.root / "in")


DAMAGE: dict[str, Callable[[Project], None]] = {
    "nothing": lambda _: None,
    "outputs deleted": delete(),
    "one of two equal outputs deleted": delete("out/one.txt"),
    "the last output deleted": delete("out/next.txt"),
    "outputs edited": edit(),
    "one of two equal outputs edited": edit("out/two.txt"),
    "a folder in the way": folder_in_the_way,
    "a source edited": sources(in_txt="new"),
    "sources reverted": revert,
    "sources gone": lose_sources,
    "another command": command,
}
PARTS: dict[str, Callable[[Project], None]] = {"": lambda _: None, "lost": lose_parts, "damaged": damage_parts}
CASES = [
    *itertools.product(DAMAGE, PARTS, [()]),
    *itertools.product(["outputs deleted", "sources reverted"], ["", "lost"], [("--force", "--select", "cmd")]),
]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """One project for all cases."""
    project = Project(tmp_path_factory.mktemp("preview"))
    (project.root / "out").mkdir()
    return project


@pytest.fixture
def settled(shared: Project) -> Project:
    """A project that is up to date; whatever an earlier case did to it is undone."""
    if (shared.root / "out/two.txt").is_dir():
        (shared.root / "out/two.txt").rmdir()
    for path, text in SOURCES.items():
        shared.write(path, text)
    shared.tasks(TASKS)
    assert set(shared.run().values()) <= {"fresh", "restored", "ran"}
    return shared


@pytest.mark.parametrize(("damage", "parts", "argv"), CASES, ids=lambda x: " ".join(x) if isinstance(x, tuple) else x)
def test_dry_run_tells_what_run_does(settled: Project, damage: str, parts: str, argv: tuple[str, ...]) -> None:
    """Whether a task is fresh, computed, restored, fails or is blocked. One that waits says so, and does what it likes."""
    DAMAGE[damage](settled)
    PARTS[parts](settled)
    asked = settled.fast("dry-run", "--json", *argv)
    waiting = {t for t, reasons in asked.reasons().items() if reasons[-1].startswith("waits for ")}
    done = settled.fast("run", "--json", "--keep-going", *argv)
    certain = {t: o for t, o in asked.outcomes().items() if t not in waiting}
    assert certain == {t: done.outcomes()[t] for t in certain}
    assert all(asked.reasons()[t] == done.reasons()[t] for t in certain if certain[t] in {"ran", "restored"})
    assert len(certain) >= len(asked.outcomes()) - 3  # `next`, and the two that read `table`


def test_a_stale_task_waits_where_it_may_be_restored(settled: Project) -> None:
    """Its part is gone: what becomes of it depends on what is upstream. `--force` leaves nothing to wait for."""
    lose_parts(settled)
    lines = settled.fast("dry-run").out.splitlines()
    assert "wait     written  1 of its parts are missing or damaged; waits for table" in lines
    lines = settled.fast("dry-run", "--force").out.splitlines()
    assert "run  written   --force; 1 of its parts are missing or damaged" in lines
    assert settled.run()["written"] == "restored"


def test_shrunk_source(empty: Project) -> None:
    """A run would refuse it, unless it is allowed there."""
    for n in range(20):
        empty.write(f"in/{n}.txt", "a")
    empty.tasks("  a: {transform: shell.run, params: {command: 'ls in > a.txt', inputs: ['in/*'], outputs: [a.txt]}}\n")
    empty.run()
    for n in range(11):
        (empty.root / f"in/{n}.txt").unlink()
    asked = empty.fast("dry-run", "--json")
    assert (asked.outcomes(), asked.reasons()["a"][-1]) == (
        {"a": "failed"},
        "its source lists 9 files where there were 20",
    )
    assert empty.run() == {"a": "failed"}
    assert empty.dry("--allow-shrink", "a") == {"a": "ran"} == empty.run("--allow-shrink", "a")
