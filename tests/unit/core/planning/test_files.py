"""Files that tasks name: who writes what somebody reads, and what two pipelines may not both write."""

from __future__ import annotations

import pytest
from harness import Project

HEAD = "version: 1\nname: p\ntasks:\n"

FILES = """\
  reader: {transform: shell.run, params: {command: x, inputs: ['out/*.txt', docs/a.md], outputs: [out/report.txt]}}
  one: {transform: shell.run, params: {command: x, outputs: [out/one.txt]}}
  hidden: {transform: shell.run, params: {command: x, outputs: [out/.two.txt]}}
  other: {transform: shell.run, params: {command: x, outputs: [out/three.csv]}}
  maker: {transform: shell.run, params: {command: x, outputs: [./docs//a.md]}}
  watcher: {transform: shell.run, params: {command: x}, files: [out/three.csv]}
"""


def test_files_make_dependencies(project: Project) -> None:
    """A declared file or glob that another task writes orders the two, as in Make; one's own output never does."""
    project.tasks(FILES)
    done = project.fast("dry-run", "--json", "--select", "+reader")
    assert list(done.outcomes()) == ["one", "maker", "reader"]
    assert list(project.fast("dry-run", "--json", "--select", "+watcher").outcomes()) == ["other", "watcher"]


def test_absolute_paths_into_the_project(project: Project) -> None:
    """However a path is written, it is the file: for who needs whom, for who writes it, and for a transform that reads it."""
    root = project.root
    project.tasks(f"""\
  files: {{transform: shell.run, params: {{command: 'cat out/*.csv', inputs: ['{root}/out/*.csv']}}}}
  rows: {{transform: tabular.read, params: {{path: '{root}/docs/../out/a.csv'}}}}
  listed: {{transform: shell.run, params: {{command: 'true'}}, files: ['{root}/**/a.csv']}}
  maker: {{transform: shell.run, params: {{command: 'printf "a\\n1\\n" > out/a.csv', outputs: ['{root}/out/a.csv']}}}}
""")
    done = project.fast("run", "--json")
    assert done.outcomes() == dict.fromkeys(["maker", "files", "rows", "listed"], "ran")
    assert next(iter(done.outcomes())) == "maker"
    project.edit(
        "pipeline.yaml", "  rows: ", "  b: {transform: shell.run, params: {command: x, outputs: [out/a.csv]}}\n  rows: "
    )
    assert "error: tasks 'b' and 'maker' both write 'out/a.csv'" in project.fast("validate").err


def test_two_files_with_one_name(project: Project) -> None:
    """Their tasks would overwrite each other's state."""
    project.write("pipelines/again.yaml", project.read("pipeline.yaml"))
    assert project.fast("run", "pipeline.yaml").code == 0
    done = project.fast("run", "pipelines/again.yaml")
    assert done.code == 3
    assert done.err == (
        "error: two files of this project call their pipeline 'p': pipeline.yaml and pipelines/again.yaml\n"
        "help: give one of them another name\n"
    )


@pytest.mark.parametrize("name", ['"p"', "  p", "${NOT_SET:-p}", "&a p  # the same"])
def test_two_files_with_one_name_however_it_is_written(project: Project, name: str) -> None:
    """Previously only `name: p` was seen, also in `name: prod`; one then removed what the other had written."""
    text = project.read("pipeline.yaml")
    project.write("again.yaml", text.replace("name: p", f"name: {name}").replace("out/", "again/"))
    told = "error: two files of this project call their pipeline 'p': again.yaml and pipeline.yaml\n"
    assert project.fast("run", "again.yaml").code == 0
    for command in (("run", "pipeline.yaml"), ("validate",)):
        assert (project.fast(*command).code, told in project.fast(*command).err) == (3, True)
    project.edit("again.yaml", f"name: {name}", "name: prod")
    assert project.fast("run", "pipeline.yaml").code == 0


def test_a_name_in_a_file_that_is_wrong_now(project: Project) -> None:
    """What it looks like counts."""
    project.write("again.yaml", project.read("pipeline.yaml"))
    assert project.fast("run", "again.yaml").code == 0
    project.edit("again.yaml", "name: p\n", "name: 'p'\nnope: 1\n")
    assert "two files of this project" in project.fast("run", "pipeline.yaml").err
    project.edit("again.yaml", "name: 'p'\n", "name: prod\n")
    assert project.fast("run", "pipeline.yaml").code == 0


def test_a_task_of_a_named_pipeline_is_found_beside_a_wrong_file(project: Project) -> None:
    project.write("wrong.yaml", "version: 1\nname: wrong\ntasks: {a: {transform: nope}}\n")
    assert project.fast("run", "pipeline.yaml").code == 0
    assert project.fast("why", "p:first").out.startswith("p:first is fresh\n")
    assert project.fast("why", "first").code == 3  # the other file might have one, too
    assert project.fast("validate", "p").out == "p: valid, 2 tasks\n"


def test_members_of_a_family_are_named(empty: Project) -> None:
    empty.tasks("  m: {matrix: {k: [1, 2]}, transform: shell.run, params: {command: 'true'}}\n")
    assert empty.fast("show", "m").err == "error: 'm' is several tasks\nhelp: name one of m@1, m@2\n"


def test_two_pipelines_that_write_one_file(project: Project) -> None:
    """Whichever is planned second is refused, in `validate` and in a run, and the other one is not."""
    project.write("pipelines/q.yaml", project.read("pipeline.yaml").replace("name: p", "name: q"))
    told = [
        "'p:first' and 'q:first' both write 'out/first.txt'",
        "'p:second' and 'q:second' both write 'out/second.txt'",
    ]
    done = project.fast("validate")
    assert done.code == 3
    assert [line.partition("error: ")[2] for line in done.err.splitlines() if "error: " in line] == told
    assert "pipelines/q.yaml:6:113: error:" in done.err
    assert project.fast("run", "pipelines/q.yaml").code == 3
    assert project.fast("run", "pipeline.yaml").code == 0
    project.write("pipelines/q.yaml", project.read("pipelines/q.yaml").replace("out/", "out/q/"))
    assert project.fast("validate").code == 0


FOLDERS = """\
version: 1
name: {name}
tasks:
  rows: {{transform: tabular.sql, params: {{sql: "select 1 as a, 2 as b"}}}}
  write: {{transform: tabular.write, inputs: [rows], params: {{{params}}}}}
"""
CLASHES = {
    "one folder": ("path: out/x, partition_by: [a]", "path: out/x/, partition_by: [b]", "out/x/"),
    "inside of the other's": ("path: out/x, partition_by: [a]", "path: out/x/y, partition_by: [a]", "out/x/"),
    "around the other's": ("path: out/x/y, partition_by: [a]", "path: out/x, partition_by: [a]", "out/x/"),
    "a file in a folder": ("path: out/x, partition_by: [a]", "path: out/x/a.csv", "out/x/"),
    "a folder around a file": ("path: out/x/a.csv", "path: out/x, partition_by: [a]", "out/x/"),
    "a folder where a file is": ("path: out/x.csv", "path: out/x.csv/y, partition_by: [a]", "out/x.csv/"),
}


@pytest.mark.parametrize(("one", "other", "path"), CLASHES.values(), ids=CLASHES.keys())
def test_two_pipelines_that_write_into_one_folder(empty: Project, one: str, other: str, path: str) -> None:
    """An output folder is its task's alone, and what it no longer writes there is removed: nobody else may."""
    empty.write("p.yaml", FOLDERS.format(name="p", params=one))
    empty.write("q.yaml", FOLDERS.format(name="q", params=other))
    assert empty.fast("run", "p.yaml").code == 0
    before = {f: f.read_bytes() for f in (empty.root / "out").rglob("*") if f.is_file()}
    for command in ("run", "dry-run", "validate"):
        done = empty.fast(command, "q.yaml")
        assert (done.code, "q.yaml:5:" in done.err) == (3, True)
        names = sorted(["'p:write'", "'q:write'"], key=done.err.index)
        assert f"error: {' and '.join(names)} both write into '{path}'" in done.err
    assert {f: f.read_bytes() for f in (empty.root / "out").rglob("*") if f.is_file()} == before
    assert empty.fast("run", "p.yaml").code == 0


def test_a_clash_that_was_taken_back(empty: Project) -> None:
    """What the other pipeline wrote when it was planned last does not count, but what its YAML says."""
    empty.write("p.yaml", FOLDERS.format(name="p", params="path: out/x, partition_by: [a]"))
    empty.write("q.yaml", FOLDERS.format(name="q", params="path: out/x, partition_by: [b]"))
    assert empty.fast("run", "p.yaml").code == 0
    assert empty.fast("run", "q.yaml").code == 3
    empty.write("p.yaml", FOLDERS.format(name="p", params="path: out/z, partition_by: [a]"))
    assert empty.fast("run", "q.yaml").code == 0
    assert empty.fast("run", "p.yaml").code == 0


def test_folders_that_begin_alike(empty: Project) -> None:
    """`out/x` and `out/xy` are two."""
    empty.write("p.yaml", FOLDERS.format(name="p", params="path: out/x, partition_by: [a]"))
    empty.write("q.yaml", FOLDERS.format(name="q", params="path: out/xy, partition_by: [a]"))
    assert empty.fast("run", "p.yaml").code == 0
    assert empty.fast("run", "q.yaml").code == 0
    assert empty.fast("validate").code == 0
