"""What must never go wrong, each in the smallest project that shows it."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from harness import grow_old
from inside import FILE, Hook, Silent, run_here, tree, worked, write_pipeline
from layered import DODO, DOORS

# An action that does what `../act.py` says, in the middle of its work: after its inputs were fingerprinted.
ACTION = """\
import glob, os, pathlib

def build():
    act = pathlib.Path("../act.py")
    if act.exists():
        exec(act.read_text(), {"during": True, "out": None})
    texts = [pathlib.Path(p).read_text() for p in sorted(glob.glob("src/*"))]
    pathlib.Path("out.txt").write_text("".join(texts))
    after = pathlib.Path("../after.py")
    if after.exists():
        exec(after.read_text(), {})
"""


@pytest.fixture(params=[["src/*"]])
def project(tmp_path, request) -> Path:
    """A task that writes all files of `src` into one."""
    root = tmp_path / "project"
    (root / "src").mkdir(parents=True)
    (root / "src/a").write_text("one ")
    (root / "src/b").write_text("two ")
    (root / "work.py").write_text(ACTION)
    (root / "dodo.py").write_text(DODO)
    params = {"function": "work:build", "inputs": request.param, "outputs": ["out.txt"]}
    write_pipeline(root, {"join": {"transform": "python.run", "params": params}})
    return root


def run_in(root: Path, door: str, *arguments: str) -> None:
    program, command, _ = DOORS[door]
    argv = [sys.executable, "-m", program, command, *arguments]
    done = subprocess.run(argv, cwd=root, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


EDITS = {
    "edited": ("pathlib.Path('src/a').write_text('ten ')", "(ROOT / 'src/a').write_text('one ')"),
    "edited, same length and same time": (
        "st = os.stat('src/a'); pathlib.Path('src/a').write_text('ten '); os.utime('src/a', ns=(0, st.st_mtime_ns))",
        "(ROOT / 'src/a').write_text('one ')",
    ),
    "replaced": (
        "pathlib.Path('new').write_text('ten '); os.rename('new', 'src/a')",
        "(ROOT / 'src/a').write_text('one ')",
    ),
    "added": ("pathlib.Path('src/c').write_text('six ')", "(ROOT / 'src/c').unlink()"),
    "deleted": ("os.unlink('src/b')", "(ROOT / 'src/b').write_text('two ')"),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("edit", EDITS)
def test_a_source_edited_during_the_run_and_reverted_before_the_next(project, edit, door):
    """What was made of the edited source is neither fresh nor ever restored."""
    during, revert = EDITS[edit]
    act = project.parent / "act.py"
    act.write_text(f"import os, pathlib\n{during}\n")
    run_in(project, door)
    act.unlink()
    assert (project / "out.txt").read_text() != "one two "
    exec(revert, {"ROOT": project})
    run_in(project, door)
    assert (project / "out.txt").read_text() == "one two "
    assert worked(run_here(project)) == {}


@pytest.mark.parametrize("project", [["src/*"], ["src/a", "src/b"]], ids=["glob", "files"], indirect=True)
@pytest.mark.parametrize("edit", [e for e in EDITS if e != "added"])
def test_a_source_edited_and_reverted_within_the_run(project, edit):
    """The source has its old bytes when the action ends, but they are not the ones that were read.

    A file that came and went leaves no trace; tasks are given their files as they were listed before.
    """
    during, revert = EDITS[edit]
    (project.parent / "act.py").write_text(f"import os, pathlib\n{during}\n")
    (project.parent / "after.py").write_text(f"import pathlib\nROOT = pathlib.Path()\n{revert}\n")
    run_here(project)
    assert (project / "out.txt").read_text() != "one two "
    (project.parent / "act.py").unlink()
    (project.parent / "after.py").unlink()
    assert worked(run_here(project)) == {"join": "ran"}
    assert (project / "out.txt").read_text() == "one two "
    assert worked(run_here(project)) == {}


@pytest.mark.parametrize("reverted", [True, False], ids=["reverted", "kept"])
def test_a_source_edited_between_the_decision_and_the_action(project, reverted):
    """The action reads other bytes than those that were fingerprinted."""
    source = project / "src/a"
    run_here(project, Hook(lambda: source.write_text("ten ")))
    assert (project / "out.txt").read_text() == "ten two "
    if reverted:
        source.write_text("one ")
    assert worked(run_here(project)) == {"join": "ran"}
    assert (project / "out.txt").read_text() == ("one two " if reverted else "ten two ")
    assert worked(run_here(project)) == {}


@pytest.mark.parametrize("when", ["before the next run", "within the run"])
def test_code_edited_during_the_run_and_reverted(project, when):
    """The function that ran is not the one whose fingerprint is in the recipe: the result is not taken for its own."""
    code = project / "work.py"
    if when == "within the run":
        (project.parent / "after.py").write_text(f"import pathlib\npathlib.Path('work.py').write_text({ACTION!r})\n")
    run_here(project, Hook(lambda: code.write_text(ACTION.replace('"".join', '"-".join'))))
    assert (project / "out.txt").read_text() == "one -two "
    code.write_text(ACTION)
    (project.parent / "after.py").unlink(missing_ok=True)
    run_here(project)
    assert (project / "out.txt").read_text() == "one two "
    assert worked(run_here(project)) == {}


def test_code_edited_before_a_later_task_imports_it(tmp_path):
    """Whatever was found of the code when the tasks before it had ended."""
    code = "import pathlib\n\ndef go():\n    pathlib.Path('{0}.txt').write_text('{1}')\n"
    names = ["one", "two"]
    for name in names:
        (tmp_path / f"{name}.py").write_text(code.format(name, "as planned"))
    params = {n: {"function": f"{n}:go", "outputs": [f"{n}.txt"]} for n in names}
    tasks = {n: {"transform": "python.run", "params": params[n]} for n in names}
    tasks["two"]["depends_on"] = ["one"]
    write_pipeline(tmp_path, tasks)

    class Edit(Silent):
        def started(self, task: str) -> None:
            if task == "x:two":
                (tmp_path / "two.py").write_text(code.format("two", "edited"))

    run_here(tmp_path, Edit())
    assert (tmp_path / "two.txt").read_text() == "edited"
    (tmp_path / "two.py").write_text(code.format("two", "as planned"))
    assert worked(run_here(tmp_path)) == {"two": "ran"}
    assert (tmp_path / "two.txt").read_text() == "as planned"


OWN = """\
from pydantic import BaseModel
from mmetl import Items, register_transform

class Params(BaseModel):
    pass

@register_transform("own.mark", items=Items(reads="text", makes={"marked": "string"}, batch_rows=1))
def mark(batch, params: Params):
    return {"marked": [t + "!" for t in batch.column("text").to_pylist()]}
"""


EDITED_CODE = {
    "it ends": ('t + "?"', "1,one,one!\n2,two,two?\n3,three,three?\n"),
    "it fails": ('t + "?" * (1 // (t != "three"))', "1,one,one!\n"),
}


@pytest.mark.parametrize(("edit", "made"), EDITED_CODE.values(), ids=EDITED_CODE)
def test_a_transform_edited_during_the_run_and_reverted(tmp_path, edit, made):
    """Likewise, though its task names no function: none of its items is taken for the work of the code as it was and is."""
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "texts.csv").write_text("id,text\n1,one\n")
    tasks = {
        "texts": {"transform": "tabular.read", "params": {"path": "texts.csv"}, "key": ["id"]},
        "marked": {"transform": "own.mark", "inputs": ["texts"]},
        "out": {"transform": "tabular.write", "inputs": ["marked"], "params": {"path": "out.csv"}},
    }
    write_pipeline(tmp_path, tasks)
    with (tmp_path / FILE).open("a") as file:
        file.write("imports: [./own.py]\n")
    grow_old()  # the plan is kept, and nothing is imported before the run is under way
    run_here(tmp_path)
    (tmp_path / "texts.csv").write_text("id,text\n1,one\n2,two\n3,three\n")
    with contextlib.suppress(AssertionError):
        run_here(tmp_path, Hook(lambda: (tmp_path / "own.py").write_text(OWN.replace('t + "!"', edit))))
    assert (tmp_path / "out.csv").read_text() == f"id,text,marked\n{made}"
    (tmp_path / "own.py").write_text(OWN)
    run_here(tmp_path)
    assert (tmp_path / "out.csv").read_text() == "id,text,marked\n1,one,one!\n2,two,two!\n3,three,three!\n"
    assert worked(run_here(tmp_path)) == {}


@pytest.mark.parametrize("glob", ["docs/*", "{}/*/docs/*"], ids=["relative", "absolute"])
def test_a_file_edited_before_it_was_opened_and_reverted(tmp_path, glob):
    """`document.files` opens new files to tell their media types, and knows all others as they were observed."""
    root = tmp_path / "project"
    (root / "docs").mkdir(parents=True)
    (root / "docs/a").write_text("text")
    files = {"transform": "document.files", "params": {"path": glob.format(tmp_path)}}
    write = {"transform": "tabular.write", "inputs": ["files"], "params": {"path": "out.ndjson"}}
    write_pipeline(root, {"files": files, "out": write})
    run_here(root)
    (root / "docs/b").write_text("text")
    run_here(root, Hook(lambda: (root / "docs/b").write_text("%PDF-1.4")))
    (root / "docs/b").write_text("text")
    run_here(root)
    rows = [json.loads(line) for line in (root / "out.ndjson").read_text().splitlines()]
    assert [r["media_type"] for r in rows] == ["text/plain", "text/plain"]
    assert worked(run_here(root)) == {}


def test_edited_code_runs_once(project):
    """An edit before the run is no edit during it: through both doors, the next run has nothing to do."""
    run_here(project)
    for n, door in enumerate(DOORS):
        (project / "work.py").write_text(ACTION.replace('"".join', f'"{n}".join'))
        run_in(project, door)
        assert (project / "out.txt").read_text() == f"one {n}two "
        assert worked(run_here(project)) == {}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_task_is_invalidated_before_its_action_starts(tmp_path, door, jobs):
    """Inside the action, another process already reads 'started': a kill from here on leaves the task stale."""
    (tmp_path / "dodo.py").write_text(DODO)
    (tmp_path / "source").write_text("one")

    (tmp_path / "look.sh").write_text(
        f"{sys.executable} -c \"import sqlite3; print([r[0] for r in sqlite3.connect('.mmetl/state.db').execute("
        f'\\"select state from tasks where task = \'$1\'\\")])" > $1.txt; cat source >> $1.txt\n'
    )

    names = ["first", "second"]
    commands = {
        n: {"command": ["sh", "look.sh", n], "inputs": ["source", *([] if n == "first" else ["first.txt"])]}
        for n in names
    }
    write_pipeline(
        tmp_path, {n: {"transform": "shell.run", "params": {**commands[n], "outputs": [f"{n}.txt"]}} for n in names}
    )
    arguments = [] if jobs == 1 else [DOORS[door][2], "2"]
    run_in(tmp_path, door, *arguments)
    assert {n: (tmp_path / f"{n}.txt").read_text() for n in names} == dict.fromkeys(names, "[]\none")
    (tmp_path / "source").write_text("two")
    run_in(tmp_path, door, *arguments)
    assert {n: (tmp_path / f"{n}.txt").read_text() for n in names} == dict.fromkeys(names, "['started']\ntwo")
    states = sqlite3.connect(tmp_path / ".mmetl/state.db").execute("select task, state from tasks order by task")
    assert states.fetchall() == [("first", "done"), ("second", "done")]


def test_a_failed_action_leaves_the_task_stale(project):
    """After a failure nothing of an earlier success is taken for fresh, though inputs and outputs are as they were."""
    run_here(project)
    before = tree(project / "src")
    (project.parent / "act.py").write_text("raise SystemError('no')")
    (project / "src/a").write_text("six ")
    with pytest.raises(AssertionError, match="SystemError: no"):
        run_here(project)
    (project.parent / "act.py").unlink()
    (project / "src/a").write_text("one ")
    assert tree(project / "src") == before
    assert set(worked(run_here(project))) == {"join"}
    assert (project / "out.txt").read_text() == "one two "


def test_a_helper_edited_within_the_same_second_runs_as_edited(project, monkeypatch):
    """Python's bytecode cache knows a source by its size and the second of its time; we do not use it."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    (project / "work.py").write_text(
        ACTION.replace("import glob", "import helpers, glob").replace('"".join', "helpers.WORD.join")
    )
    for word in "abcdef":
        (project / "helpers.py").write_text(f"WORD = {word!r}\n")
        run_here(project)
        assert (project / "out.txt").read_text() == f"one {word}two "
