"""What stays and what goes: clean, forget, orphans, garbage collection."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest
from harness import Project

from mmetl.cache.lock import reading

COUNT = "  a: {transform: shell.run, params: {command: 'echo >> runs; echo NN > a.txt', outputs: [a.txt]}}\n"


@pytest.fixture
def counted(empty: Project) -> Project:
    """One task that counts how often it ran."""
    empty.tasks(COUNT)
    return empty


def runs(project: Project) -> int:
    return len(project.read("runs"))


def parts(project: Project) -> set[str]:
    """Return the contents of all parts."""
    return {p.read_text() for p in (project.root / ".mmetl/parts").glob("*/*") if p.is_file()}


def test_clean_restores(counted: Project) -> None:
    """Written files go, and the next run puts them back without computing."""
    counted.run()
    done = counted.fast("clean", "a")
    assert (done.code, done.err) == (0, "")
    assert not (counted.root / "a.txt").exists()
    assert counted.dry() == {"a": "restored"}
    assert counted.run() == {"a": "restored"}
    assert (counted.read("a.txt"), runs(counted)) == ("NN\n", 1)


def test_clean_all(project: Project) -> None:
    """Without a name every task of the project is meant."""
    project.run()
    assert project.fast("clean").code == 0
    assert list((project.root / "out").iterdir()) == []
    assert project.read("in.txt") == "hello"
    assert project.run() == {"first": "restored", "second": "restored"}


def test_clean_leaves_what_was_edited(counted: Project) -> None:
    """A file that somebody changed is not ours to remove."""
    counted.run()
    counted.write("a.txt", "mine")
    done = counted.fast("clean", "a")
    assert done.err == "left a.txt: it was changed since mmETL wrote it\n"
    assert counted.read("a.txt") == "mine"


def test_clean_before_the_first_run(counted: Project) -> None:
    """There is nothing to do, and a file in the place of the output stays."""
    counted.write("a.txt", "mine")
    assert counted.fast("clean").code == 0
    assert counted.read("a.txt") == "mine"


def test_forget_computes(counted: Project) -> None:
    """A forgotten task finds no earlier output, not even that of another recipe, and no watermark."""
    counted.run()
    counted.edit("pipeline.yaml", "NN", "MM")
    counted.run()
    assert counted.fast("forget", "a").out == "1 task forgotten; the next run computes it\n"
    with contextlib.closing(sqlite3.connect(counted.root / ".mmetl/state.db")) as db:
        assert [t for t in ("tasks", "builds", "watermarks") if db.execute(f"select 1 from {t}").fetchall()] == []
    assert counted.run() == {"a": "ran"}
    counted.edit("pipeline.yaml", "MM", "NN")
    assert counted.run() == {"a": "ran"}
    assert runs(counted) == 4


def test_forget_computes_what_another_task_has_made_likewise(empty: Project) -> None:
    """Two tasks of one recipe over the same inputs share a build."""
    empty.tasks("".join(f"  {t}: {{transform: tabular.sql, params: {{sql: select 1 as n}}}}\n" for t in "ab"))
    empty.run()
    for task, other in ("ab", "ba"):
        empty.fast("forget", task)
        assert empty.run() == {task: "ran", other: "fresh"}


def test_forget_all(project: Project) -> None:
    """Every task computes."""
    project.run()
    assert project.fast("forget", "--all").out == "2 tasks forgotten; the next run computes them\n"
    assert project.run() == {"first": "ran", "second": "ran"}


def test_orphans(project: Project) -> None:
    """Tasks gone from the YAML are listed by status; what they left is removed when asked, edited files are not."""
    project.run()
    project.edit("pipeline.yaml", "  second:", "  third:")
    project.edit("pipeline.yaml", "out/second.txt", "out/third.txt")
    assert project.run() == {"first": "fresh", "third": "ran"}
    line = "gone from the YAML: p:second (mmetl clean --orphans removes what it left, mmetl forget keeps it)"
    assert line in project.fast("status").out.splitlines()
    done = project.fast("clean", "--orphans")
    assert done.out.splitlines()[0] == "removed p:second"
    assert sorted(p.name for p in (project.root / "out").iterdir()) == ["first.txt", "third.txt"]
    assert "gone from" not in project.fast("status").out
    assert project.run() == {"first": "fresh", "third": "fresh"}


def test_renamed_task_is_an_orphan_without_its_file(project: Project) -> None:
    """The file belongs to the task's new name now."""
    project.run()
    project.edit("pipeline.yaml", "  second:", "  third:")
    assert project.run() == {"first": "fresh", "third": "restored"}
    assert project.fast("clean", "--orphans").out.splitlines()[0] == "removed p:second"
    assert (project.root / "out/second.txt").exists()
    assert project.run() == {"first": "fresh", "third": "fresh"}


def test_orphans_of_a_deleted_pipeline(project: Project) -> None:
    """A pipeline file that is gone leaves orphans; the other pipelines stay."""
    project.write("other.yaml", "version: 1\nname: q\ntasks:\n" + COUNT)
    project.fast("run", "pipeline.yaml")
    project.fast("run", "other.yaml")
    (project.root / "other.yaml").unlink()
    assert "gone from the YAML: q:a" in project.fast("status").out
    assert project.fast("clean", "--orphans").out.splitlines()[0] == "removed q:a"
    assert not (project.root / "a.txt").exists()
    assert (project.root / "out/second.txt").exists()


def test_no_orphans(project: Project) -> None:
    """Nothing is removed, least of all what current tasks wrote."""
    project.run()
    assert project.fast("clean", "--orphans").code == 0
    assert project.run() == {"first": "fresh", "second": "fresh"}


def versions(project: Project, texts: str, retention: str) -> None:
    """Build once for each text."""
    project.write("mmetl.yml", f"version: 1\nretention: {retention}\n")
    for text in texts:
        project.tasks(COUNT.replace("NN", text))
        project.run()


@pytest.mark.parametrize(
    ("retention", "kept"),
    [
        ("{days: 0, builds: 1}", "e"),
        ("{days: 0, builds: 3}", "cde"),
        ("{days: 14, builds: 1}", "abcde"),
        ("{}", "abcde"),
    ],
)
def test_retention(counted: Project, retention: str, kept: str) -> None:
    """Builds of the last days and the last few of a task stay, with their parts; the others cannot be restored."""
    versions(counted, "abcde", retention)
    done = counted.fast("gc")
    assert done.code == 0
    assert parts(counted) == {f"{c}\n" for c in kept}
    assert counted.run() == {"a": "fresh"}
    for text in "abcd":
        counted.tasks(COUNT.replace("NN", text))
        assert counted.dry() == {"a": "restored" if text in kept else "ran"}


def test_gc_says_what_it_removed(counted: Project) -> None:
    """Builds, parts and bytes."""
    counted.run()
    assert counted.fast("gc").out == "0 builds and 0 parts removed, 0 B\n"
    with sqlite3.connect(counted.root / ".mmetl/state.db") as db:
        db.execute("update builds set used_ms = 0, made_ms = 0")
        db.execute(
            "insert into builds select 'x', recipe, 'gone', watermark, pipeline, task, 0, -1, '', '' from builds"
        )
        db.execute(
            "insert into builds select 'y', recipe, 'gone', watermark, pipeline, task, 0, -2, '', '' from builds where key <> 'x'"
        )
        db.execute(
            "insert into builds select 'z', recipe, 'gone', watermark, pipeline, task, 0, -3, '', '' from builds where key not in ('x', 'y')"
        )
    db.close()
    stray = counted.write(".mmetl/parts/ab/" + "ab" * 16, "stray")
    assert counted.fast("gc").out == "1 build and 1 part removed, 5 B\n"
    assert not stray.exists()
    assert counted.run() == {"a": "fresh"}


def test_gc_leaves_what_is_being_read(counted: Project) -> None:
    """While somebody reads parts they stay, until the next time."""
    counted.run()
    stray = counted.write(".mmetl/parts/ab/" + "ab" * 16, "stray")
    with reading(counted.root / ".mmetl"):
        done = counted.fast("gc")
    assert (done.code, done.err) == (0, "parts are being read: they stay until the next time\n")
    assert stray.exists()
    counted.fast("gc")
    assert not stray.exists()


def test_a_run_leaves_what_is_being_read(counted: Project) -> None:
    """What is past retention goes after a run, but not its parts while somebody reads."""
    versions(counted, "ab", "{days: 0, builds: 1}")
    for text, left in (("c", {"a\n", "b\n", "c\n"}), ("d", {"d\n"})):
        with sqlite3.connect(counted.root / ".mmetl/state.db") as db:
            db.execute("update builds set used_ms = 0")
        db.close()
        counted.tasks(COUNT.replace("NN", text))
        with reading(counted.root / ".mmetl") if text == "c" else contextlib.nullcontext():
            counted.run()
        assert parts(counted) == left


@pytest.mark.parametrize("command", [["show", "t", "--limit", "0"], ["query", "select * from t"]], ids=lambda c: c[0])
def test_gc_leaves_what_a_command_prints(empty: Project, command: list[str]) -> None:
    """Its rows are read as they are printed: it keeps their parts until it ends."""
    empty.tasks("  t: {transform: tabular.sql, params: {sql: select range as n from range(100000)}}\n")
    empty.run()
    stray = empty.write(".mmetl/parts/ab/" + "ab" * 16, "stray")
    child = empty.start(*command, "--json")
    assert child.stdout
    child.stdout.readline()
    assert empty.fast("gc").err == "parts are being read: they stay until the next time\n"
    child.kill()
    child.communicate()
    assert stray.exists()
    empty.fast("gc")
    assert not stray.exists()


def test_gc_of_replaced_files(counted: Project) -> None:
    """They are told of, and removed only when that is asked for."""
    counted.write("a.txt", "precious")
    counted.run()
    done = counted.fast("gc")
    assert done.err == "1 file in .mmetl/replaced, 8 B: in the way of an output once; --replaced removes\n"
    assert counted.read(".mmetl/replaced/a.txt") == "precious"
    assert counted.fast("gc", "--replaced").out.splitlines()[1] == "1 file removed from .mmetl/replaced, 8 B"
    assert not (counted.root / ".mmetl/replaced").exists()
    assert counted.fast("gc", "--replaced").err == ""


def test_gc_before_the_first_run(counted: Project) -> None:
    """Nothing is there, and nothing is made."""
    assert counted.fast("gc").code == 0
    assert not (counted.root / ".mmetl").exists()


def test_current_build_is_never_collected(counted: Project) -> None:
    """Whatever retention says, what a task has now stays."""
    versions(counted, "ab", "{days: 0, builds: 1}")
    counted.tasks(COUNT.replace("NN", "a"))
    assert counted.run()["a"] in {"ran", "restored"}
    counted.fast("gc")
    counted.fast("clean")
    assert counted.run() == {"a": "restored"}


def test_what_is_in_no_index_is_never_collected(empty: Project) -> None:
    """With `cache: false` there is no build, but a table that is current, and a recipe to compare with."""
    empty.tasks("  a: {transform: tabular.sql, cache: false, params: {sql: select 1 as n}}\n")
    empty.run()
    empty.edit("pipeline.yaml", "select 1", "select 2")
    empty.dry()
    with sqlite3.connect(empty.root / ".mmetl/state.db") as db:
        db.execute("delete from plans where used_ms < (select max(used_ms) from plans)")
    db.close()
    empty.fast("gc")
    assert empty.fast("show", "a", "--json").out == '{"n": 1}\n'
    assert empty.fast("dry-run", "--json").reasons() == {"a": ["params.sql changed: select 1 as n -> select 2 as n"]}


def test_old_plans_go(counted: Project) -> None:
    """A plan for every value that `--var` ever had would make the state grow for ever."""
    counted.edit("pipeline.yaml", "tasks:", "vars: {n: 0}\ntasks:")
    for n in range(5):
        counted.fast("dry-run", "--var", f"n={n}")
    with sqlite3.connect(counted.root / ".mmetl/state.db") as db:
        db.execute("update plans set used_ms = used_ms - 20 * 86400000")
    db.close()
    counted.run()
    counted.fast("gc")
    with sqlite3.connect(counted.root / ".mmetl/state.db") as db:
        assert db.execute("select count(*) from plans").fetchone()[0] <= 2
    db.close()
