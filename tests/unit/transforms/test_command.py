"""`shell.run` and `python.run`."""

from __future__ import annotations

import signal

import pytest
from harness import BIN, Project, wait_for

from mmetl.transforms import command

FUNCTIONS = """\
import os, sys
def write(text, to="o.txt"):
    with open(to, "w") as f:
        f.write(text)
def where():
    write(os.getcwd())
class Steps:
    @staticmethod
    def go():
        write("static")
def boom():
    raise KeyError
def leave():
    sys.exit(3)
def stop():
    write("stopped")
    raise SystemExit
"""


def only(project: Project, transform: str, params: str) -> Project:
    project.write("lib/fn.py", FUNCTIONS)
    project.tasks(f"  a:\n    transform: {transform}\n    params: {{{params}}}\n")
    return project


WORKS = {
    "text for sh": ("shell.run", "command: 'echo one && echo two | cat > o.txt', outputs: [o.txt]", "two\n"),
    "list": ("shell.run", "command: [cp, 'a b.txt', o.txt], inputs: ['a b.txt'], outputs: [o.txt]", "spaced"),
    "list is no shell": (
        "shell.run",
        "command: [sh, -c, 'printf %s \"$1\" > o.txt', x, '$HOME;'], outputs: [o.txt]",
        "$HOME;",
    ),
    "no input on stdin": ("shell.run", "command: 'cat > o.txt', outputs: [o.txt]", ""),
    "folder is made": (
        "shell.run",
        "command: 'echo > new/er/o.txt; echo > o.txt', outputs: [new/er/o.txt, o.txt]",
        "\n",
    ),
    "module": ("python.run", "function: 'lib.fn:write', args: {text: hi}, outputs: [o.txt]", "hi"),
    "file": ("python.run", "function: './lib/fn.py:write', args: {text: hi}, outputs: [o.txt]", "hi"),
    "sys.exit without a code": ("python.run", "function: 'lib.fn:stop', outputs: [o.txt]", "stopped"),
    "attribute": ("python.run", "function: 'lib.fn:Steps.go', outputs: [o.txt]", "static"),
}


@pytest.mark.parametrize(("transform", "params", "text"), WORKS.values(), ids=WORKS.keys())
def test_works(empty: Project, transform: str, params: str, text: str) -> None:
    """The command or the function runs in the project's folder; the second run is fresh."""
    only(empty, transform, params).write("a b.txt", "spaced")
    done = empty.fast("run", "--json")
    assert done.outcomes() == {"a": "ran"}, done.out
    assert empty.read("o.txt") == text
    assert empty.run() == {"a": "fresh"}


def test_folder_of_a_function(empty: Project) -> None:
    """It is the project's, wherever the command is started."""
    only(empty, "python.run", "function: 'lib.fn:where', outputs: [o.txt]").write("mmetl.yml", "version: 1\n")
    assert empty.mmetl("run", cwd="lib").code == 0
    assert empty.read("o.txt") == str(empty.root)


def test_environment_of_a_command(empty: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the user's: what mmETL puts into its own, so that libraries start no threads, is not in it."""
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    empty.tasks(
        "  rows: {transform: tabular.sql, params: {sql: select 1 as n}}\n"
        "  env: {transform: shell.run, depends_on: [rows], params: {command: env > o.txt, outputs: [o.txt]}}\n"
    )
    assert empty.run() == {"rows": "ran", "env": "ran"}
    assert "OPENBLAS_NUM_THREADS" not in empty.read("o.txt")
    assert "MMETL_RUN" in empty.read("o.txt")


FAILS = {
    "exit code": ("shell.run", "command: 'exit 7'", "the command exited with 7"),
    "last lines": (
        "shell.run",
        "command: 'for i in 1 2 3 4 5; do echo $i; done; exit 1'",
        "the command exited with 1: 3 / 4 / 5",
    ),
    "signal": ("shell.run", "command: 'kill -9 $$'", "the command was ended by signal SIGKILL"),
    "no program": (
        "shell.run",
        "command: [no-such-program-here]",
        "'no-such-program-here' cannot be started: No such file or directory; is it installed, and on PATH?",
    ),
    "output not written": (
        "shell.run",
        "command: 'true', outputs: [o.txt]",
        "it did not write its output 'o.txt'; outputs are relative to the project's folder",
    ),
    "exception": ("python.run", "function: 'lib.fn:boom'", "KeyError"),
    "sys.exit": ("python.run", "function: 'lib.fn:leave'", "it called sys.exit(3)"),
}


@pytest.mark.parametrize(("transform", "params", "error"), FAILS.values(), ids=FAILS.keys())
def test_fails(empty: Project, transform: str, params: str, error: str) -> None:
    """The error is one sentence, and the task is stale afterwards."""
    only(empty, transform, params)
    done = empty.fast("run", "--json")
    assert (done.code, done.json()["status"]) == (1, "failed")
    assert done.json()["tasks"][0]["error"] == error
    assert empty.fast("status", "--json").json()["status"] == "failed"
    assert empty.dry() == {"a": "ran"}


@pytest.mark.parametrize(
    ("old", "new", "outcome"),
    [
        ("outputs: [o.txt, p.txt]", "outputs: [p.txt, o.txt]", "ran"),
        ("command: 'echo > o.txt; echo > p.txt'", "command: 'echo  > o.txt; echo > p.txt'", "ran"),
        ("command: 'echo > o.txt; echo > p.txt'", 'command: "echo > o.txt; echo > p.txt"', "fresh"),
    ],
)
def test_what_counts(empty: Project, old: str, new: str, outcome: str) -> None:
    """Every param does, its spelling in YAML does not."""
    only(empty, "shell.run", "command: 'echo > o.txt; echo > p.txt', outputs: [o.txt, p.txt]")
    empty.run()
    empty.edit("pipeline.yaml", old, new)
    assert empty.run() == {"a": outcome}


def test_a_command_that_does_not_stop_is_killed(empty: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was asked to before; so is what it has started."""
    monkeypatch.setattr(command, "STOP_S", 0.2)
    script = "trap '' TERM; (while :; do echo > ticks; sleep 0.01; done) & echo $! > pid; wait; wait"
    empty.write("stay.sh", script)
    empty.tasks("  a: {transform: shell.run, timeout_s: 0.3, params: {command: [sh, stay.sh]}}\n")
    assert empty.run() == {"a": "failed"}
    (empty.root / "ticks").unlink()
    with pytest.raises(AssertionError, match="took too long"):
        wait_for((empty.root / "ticks").exists, 0.2)


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_may_clean_up(empty: Project, sig: signal.Signals) -> None:
    """It gets SIGTERM first, and is waited for."""
    empty.write(
        "tidy.sh",
        "trap 'sleep 0.2; echo bye > said; exit 1' TERM; sleep 0.5; echo > began; while :; do sleep 0.01; done",
    )
    empty.tasks("  a: {transform: shell.run, params: {command: [sh, tidy.sh]}}\n")
    child = empty.start("run")
    wait_for((empty.root / "began").exists)
    child.send_signal(sig)
    child.communicate()
    assert (child.returncode, empty.read("said")) == (130, "bye\n")


def test_a_signal_that_is_to_be_ignored_is(empty: Project) -> None:
    """As `nohup` and a shell's background jobs have it: the run goes on."""
    empty.tasks(
        "  a: {transform: shell.run, params: {command: 'kill -INT $PPID; sleep 0.2; echo > o', outputs: [o]}}\n"
    )
    ignoring = (
        "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    )
    done = empty.command("python", "-c", ignoring, str(BIN / "mmetl"), "run", "--json")
    assert (done.code, done.outcomes()) == (0, {"a": "ran"})
