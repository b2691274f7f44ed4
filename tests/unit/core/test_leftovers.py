"""Files that no task declares any more feed nobody: no glob lists them, before or after they are removed."""

from __future__ import annotations

import pytest

from tests.harness import Project

WRITE = "  {0}: {{transform: shell.run, params: {{command: 'echo {0} > {1}', outputs: [{1}]}}}}\n"
READ = "  rows: {transform: tabular.read, params: {path: 'out/*.csv', header: false}}\n"
COUNT = "  count: {transform: shell.run, params: {command: 'ls out/*.csv > count.txt', inputs: ['out/*.csv'], outputs: [count.txt]}}\n"


def rows(project: Project) -> list[str]:
    return sorted(line.split('"')[3] for line in project.fast("show", "rows", "--json").out.splitlines())


@pytest.fixture
def two(empty: Project) -> Project:
    """Two tasks that write CSV files, and a reader of all of them."""
    (empty.root / "out").mkdir()
    empty.tasks(WRITE.format("a", "out/a.csv") + WRITE.format("b", "out/b.csv") + READ)
    empty.run()
    assert rows(empty) == ["a", "b"]
    return empty


def test_renamed_output(two: Project) -> None:
    """The reader sees the new file only, in the same run; so does a command that lists the folder itself."""
    two.tasks(WRITE.format("a", "out/a.csv") + WRITE.format("b", "out/new.csv") + READ + COUNT)
    assert two.run() == {"a": "fresh", "b": "ran", "rows": "ran", "count": "ran"}
    assert rows(two) == ["a", "b"]
    assert two.read("count.txt") == "out/a.csv\nout/new.csv\n"
    assert not (two.root / "out/b.csv").exists()
    assert set(two.run().values()) == {"fresh"}


def test_output_that_leaves_the_glob(two: Project) -> None:
    """No order is left between writer and reader: the reader must not see the file even if it goes first."""
    two.tasks(READ + WRITE.format("a", "out/a.csv") + WRITE.format("b", "b.csv"))
    assert two.run() == {"rows": "ran", "a": "fresh", "b": "ran"}
    assert rows(two) == ["a"]


def test_reader_alone(two: Project) -> None:
    """A run of the reader alone removes nothing that another task left, and does not read it either."""
    two.tasks(WRITE.format("a", "out/a.csv") + WRITE.format("b", "b.csv") + READ)
    assert two.run("--select", "rows") == {"rows": "ran"}
    assert rows(two) == ["a"]
    assert (two.root / "out/b.csv").exists()


def test_task_gone_from_the_yaml(two: Project) -> None:
    """Its file stays until `clean --orphans`, and feeds nobody."""
    two.tasks(WRITE.format("a", "out/a.csv") + READ)
    assert "out/b.csv is gone" in two.fast("why", "rows").out
    assert two.run() == {"a": "fresh", "rows": "ran"}
    assert rows(two) == ["a"]
    assert (two.root / "out/b.csv").exists()
    assert two.run() == {"a": "fresh", "rows": "fresh"}
    two.fast("clean", "--orphans")
    assert not (two.root / "out/b.csv").exists()
    assert two.run() == {"a": "fresh", "rows": "fresh"}


def test_forgotten_orphan_leaves_a_source(two: Project) -> None:
    """Who wants to keep the file as a source says so."""
    two.tasks(WRITE.format("a", "out/a.csv") + READ)
    two.run()
    assert two.fast("forget", "p:b").out == "1 task forgotten; the next run computes it\n"
    assert two.run() == {"a": "fresh", "rows": "restored"}
    assert rows(two) == ["a", "b"]


def test_file_changed_since(two: Project) -> None:
    """What somebody has edited is theirs: a source."""
    two.tasks(WRITE.format("a", "out/a.csv") + READ)
    two.write("out/b.csv", "mine\n")
    two.run()
    assert rows(two) == ["a", "mine"]


def test_task_that_moved_to_another_pipeline(two: Project) -> None:
    """Its file is written there now, so it is no leftover here."""
    two.write("q.yaml", "version: 1\nname: q\ntasks:\n" + WRITE.format("b", "out/b.csv"))
    two.tasks(WRITE.format("a", "out/a.csv") + READ)
    two.fast("run", "q.yaml")
    assert two.fast("run", "pipeline.yaml", "--json").outcomes() == {"a": "fresh", "rows": "fresh"}


def test_a_file_that_another_pipeline_lists_stays(two: Project) -> None:
    """It is a source there."""
    two.write("q.yaml", "version: 1\nname: q\ntasks:\n" + READ)
    two.fast("run", "q.yaml")
    two.tasks(WRITE.format("a", "out/a.csv") + WRITE.format("b", "out/new.csv"))
    two.fast("run", "pipeline.yaml")
    assert (two.root / "out/b.csv").exists()


def test_gone_before_the_first_task_looks(two: Project) -> None:
    """A command that lists a folder by itself finds none, though it runs before the task that left the file."""
    look = "  look: {transform: shell.run, always: true, params: {command: 'ls out > look.txt', outputs: [look.txt]}}\n"
    two.tasks(look + WRITE.format("a", "out/a.csv") + WRITE.format("b", "out/new.csv"))
    assert two.run() == {"look": "ran", "a": "fresh", "b": "ran"}
    assert two.read("look.txt") == "a.csv\n"


def test_plain_doit_agrees(two: Project) -> None:
    """`doit run` reads no leftover, and removes those of the tasks that it runs."""
    two.tasks(WRITE.format("a", "out/a.csv") + WRITE.format("b", "b.csv") + READ)
    two.write("dodo.py", "from mmetl.core.build import DOIT_CONFIG, task_pipelines\n")
    assert two.doit("run").code == 0
    assert rows(two) == ["a"]
    assert not (two.root / "out/b.csv").exists()
    assert set(two.run().values()) == {"fresh"}


def test_killed_before_the_new_output(two: Project) -> None:
    """A run that fails after the old file went leaves nothing wrong, and the way back restores it."""
    two.tasks(
        WRITE.format("a", "out/a.csv") + WRITE.format("b", "out/new.csv").replace("echo b", "false; exit 3; ") + READ
    )
    assert two.fast("run").code == 1
    two.tasks(WRITE.format("a", "out/a.csv") + WRITE.format("b", "out/b.csv") + READ)
    assert two.run()["b"] == "restored"
    assert rows(two) == ["a", "b"]
