"""Odd names, odd streams, odd surroundings: what cannot be is said in words, and nobody sees a traceback."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from contextlib import closing

import pytest
from harness import BIN, DODO, Project, Result, grow_old

TASK = "  a: {{transform: shell.run, params: {{command: {command}, inputs: [{inputs}], outputs: [{outputs}]}}}}\n"
TABLE = "  t: {transform: tabular.read, params: {path: t.csv}}\n"


def task(command: str = "'true'", inputs: str = "", outputs: str = "") -> str:
    return TASK.format(command=command, inputs=inputs, outputs=outputs)


def shell(project: Project, line: str, **env: str) -> Result:
    """Run a line of sh in the project, with the venv's programs."""
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-c", line],
        cwd=project.root,
        env={**os.environ, "PATH": path, **env},
        capture_output=True,
        timeout=60,
        check=False,
    )
    out, err = (data.decode(errors="backslashreplace") for data in (done.stdout, done.stderr))
    assert "Traceback" not in out + err
    assert "Exception ignored" not in err
    return Result(done.returncode, out, err)


NAMES = ["new\nline", "qu\"o'te", "emoji 🎉", "e" * 255, "-rf", "$HOME", "back\\slash", " ", "*", "[a]", "é", "\u200b"]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_names_of_files(empty: Project, name: str) -> None:
    """Any file may be a source; a reason names it on one line."""
    empty.write(f"in/{name}", "1")
    empty.tasks(task("'cat in/* > a.txt'", "'in/*'", "a.txt"))
    assert empty.run() == {"a": "ran"}
    assert empty.run() == {"a": "fresh"}
    empty.write("in/b", "2")
    (empty.root / "in" / name).unlink()
    reasons = empty.fast("dry-run", "--json").reasons()["a"]
    assert [r.count("\n") for r in reasons] == [0, 0]
    empty.write("dodo.py", DODO)
    assert shell(empty, "doit run").code == 0
    assert empty.read("a.txt") == "2"


def test_name_that_is_not_utf8_in_doit(empty: Project) -> None:
    empty.write("in/a", "1")
    empty.write("dodo.py", DODO)
    empty.tasks(task("'cat in/* > a.txt'", "'in/*'", "a.txt") + TABLE)
    empty.write("t.csv", "k\n1\n")
    with open(os.fsencode(empty.root) + b"/in/\xff", "w") as f:
        f.write("x")
    done = shell(empty, "doit run -c")
    assert r"p:a: 'in/\xff' cannot be used: its name is not UTF-8; rename it" in done.out
    assert empty.fast("status", "--json").outcomes() == {"a": "failed", "t": "ran"}
    assert shell(empty, "doit list --all").code == 0
    assert shell(empty, "doit info p:a").code == 1


STREAMS = {
    "stdout closed": ("mmetl show t >&-", 0),
    "stderr closed": ("mmetl nope 2>&-", 2),
    "all closed": ("mmetl run --force <&- >&- 2>&-", 0),
    "stdin closed": ("mmetl run --force <&-", 0),
    "head": ("mmetl show t --json | head -1", 0),
    "nobody reads": ("mmetl show t --json | true", 0),
    "talk to nobody": ("(mmetl run --force; echo $? >&3) 3>&1 >/dev/null 2>&1 | head -1 | grep -q 0", 0),
    "full disk": ("mmetl status > /dev/full", 1),
    "full disk for a run": ("mmetl run --force --json > /dev/full", 1),
    "full disk for talk": ("mmetl run --force 2> /dev/full", 0),
    "full disk for help": ("mmetl --help > /dev/full", 1),
    "no home": ("env -u HOME mmetl run --force", 0),
    "narrow": ("COLUMNS=1 mmetl run --help", 0),
}


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that has run."""
    project = Project(tmp_path_factory.mktemp("ready"))
    project.write("t.csv", "k,v\n" + "".join(f"{n},é…🎉\n" for n in range(3000)))
    project.tasks(task("'echo > a; echo said'", "", "a") + TABLE)
    assert project.run() == {"a": "ran", "t": "ran"}
    return project


@pytest.mark.parametrize(("line", "code"), STREAMS.values(), ids=STREAMS.keys())
def test_streams(ready: Project, line: str, code: int) -> None:
    assert shell(ready, line).code == code
    with closing(sqlite3.connect(ready.root / ".mmetl/state.db")) as db:
        assert db.execute("pragma integrity_check").fetchone() == ("ok",)
    assert ready.run() == {"a": "fresh", "t": "fresh"}


def test_full_disk_is_told(ready: Project) -> None:
    assert shell(ready, "mmetl status > /dev/full").err == "error: no space left on device\n"


@pytest.mark.parametrize(
    "env",
    [{"LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}],
)
def test_terminals_without_unicode(ready: Project, env: dict[str, str]) -> None:
    done = shell(ready, "mmetl show t --limit 1", **env)
    assert done.code == 0
    assert done.out.splitlines()[1].startswith("0  ")


ODD_WORDS = {
    "long pipeline": (["run", "e" * 300], 2, f"error: no pipeline is called '{'e' * 300}'\n"),
    "long task": (["why", "e" * 300], 2, f"error: no task is called '{'e' * 300}'\n"),
    "empty pipeline": (["run", ""], 2, "error: no pipeline is called ''\n"),
    "empty task": (["why", ""], 2, "error: no task is called ''\n"),
    "colon": (["why", ":"], 2, "error: no task is called ':'\n"),
    "folder": (["run", "."], 2, "error: no pipeline is called '.'\n"),
    "device": (["run", "/dev/null"], 2, "error: no pipeline is called '/dev/null'\n"),
    "run": (["status", "\udcff\n"], 2, "error: no run has the id '\\xff\\n'\n"),
    "pipeline": (["run", "\udcff"], 2, "error: no pipeline is called "),
    "shrink": (["run", "--allow-shrink", "\udcff"], 2, "error: no task is called "),
}


@pytest.mark.parametrize(("argv", "code", "said"), ODD_WORDS.values(), ids=ODD_WORDS.keys())
def test_odd_words(ready: Project, argv: list[str], code: int, said: str) -> None:
    done = ready.fast(*argv)
    assert (done.code, done.out) == (code, "")
    assert done.err.startswith(said)


ODD_YAML = {
    "NUL in an input": (task(inputs='"a\\0b"'), {}, 3, "'a\\x00b' has a NUL, which no path can have"),
    "NUL in an output": (task(outputs='"a\\0b"'), {}, 3, "'a\\x00b' has a NUL, which no path can have"),
    "NUL in a command": (task('"a\\0b"'), {}, 1, "ValueError: embedded null byte"),
    "long input": (task(inputs="e" * 300), {}, 1, f"'{'e' * 300}' cannot be used: file name too long; check"),
    "long output": (task(outputs="e" * 300), {}, 1, "file name too long"),
    "link to itself": (task(inputs="loop"), {}, 1, "'loop' cannot be used: too many levels of symbolic links; check"),
    "output in a link to itself": (task(outputs="loop/x"), {}, 1, "the folder 'loop' cannot be made: file exists"),
    "endless": ("  a: {transform: shell.run, timeout_s: 1e300, params: {command: 'true'}}\n", {}, 0, "1 ran"),
    "variable": (task("'echo ${X}'"), {"X": "\udcff"}, 3, "environment variable 'X' is not UTF-8"),
    "declared": ("  a: {transform: shell.run, env: [X], params: {command: 'true'}}\n", {"X": "\udcff"}, 0, "1 ran"),
}


@pytest.mark.parametrize(("text", "env", "code", "said"), ODD_YAML.values(), ids=ODD_YAML.keys())
def test_odd_yaml(empty: Project, text: str, env: dict[str, str], code: int, said: str) -> None:
    (empty.root / "loop").symlink_to("loop")
    empty.tasks(text)
    done = empty.fast("run", env=env)
    assert done.code == code
    assert said in done.out + done.err
    assert "Traceback" not in done.err
    assert empty.fast("dry-run", env=env).code == (3 if code == 3 else 0)


def test_name_of_a_pipeline_file(empty: Project) -> None:
    empty.tasks(task())
    os.rename(empty.root / "pipeline.yaml", os.fsencode(empty.root) + b"/\xff.yaml")
    done = empty.fast("validate")
    assert (done.code, done.err) == (3, "error: the name of '\\xff.yaml' is not UTF-8\nhelp: rename it\n")


def test_root_that_is_not_there(empty: Project) -> None:
    """It is not made."""
    empty.write("mmetl.yml", "version: 1\nroot: nowhere\n")
    done = empty.fast("run")
    assert (done.code, done.err.splitlines()[-1]) == (3, "help: make it, or mend 'root'")
    assert not (empty.root / "nowhere").exists()


def test_folder_that_is_gone(empty: Project) -> None:
    done = shell(empty, "mkdir gone; cd gone; rmdir ../gone; mmetl run")
    assert (done.code, done.err) == (
        2,
        "error: the folder that this was started in cannot be used: no such file or directory\n",
    )


def test_root_whose_name_is_not_utf8(empty: Project) -> None:
    empty.tasks(task("'echo > a'", "", "a"))
    odd = os.fsencode(empty.root) + b"/\xff"
    os.mkdir(odd)
    os.rename(os.fsencode(empty.root / "pipeline.yaml"), odd + b"/pipeline.yaml")
    with open(odd + b"/dodo.py", "w") as f:
        f.write(DODO)
    go = "cd \"$(printf '\\377')\"; "
    assert '"outcome": "ran"' in shell(empty, go + "mmetl run --json").out
    assert shell(empty, go + "mmetl run").out.startswith("p: 0 ran, 1 fresh")
    assert shell(empty, go + "mmetl show a").code == 0
    assert shell(empty, go + "doit run").code == 0


def test_clock_that_goes_back(project: Project) -> None:
    """The latest run is the one that came last, and edits are still seen."""
    project.run()
    with sqlite3.connect(project.root / ".mmetl/state.db") as db:
        for table, column in (
            ("runs", "started_ms"),
            ("builds", "used_ms"),
            ("tasks", "built_ms"),
            ("plans", "used_ms"),
        ):
            db.execute(f"update {table} set {column} = {column} + 1000000000")
    later = (project.root / "in.txt").stat().st_mtime + 1e6
    os.utime(project.root / "in.txt", (later, later))
    grow_old()
    done = project.fast("run", "--json")
    assert done.outcomes() == {"first": "fresh", "second": "fresh"}
    assert project.fast("status", "--json").json()["run_id"] == done.json()["run_id"]
    project.write("in.txt", "other")
    assert project.run() == {"first": "ran", "second": "ran"}
    assert project.fast("gc").code == 0
