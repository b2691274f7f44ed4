"""Projects that cannot be written to, state that cannot be used: looking works as far as it can, the rest is refused."""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import BIN, Project, Result

PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 24, 1, 2


def powerless() -> None:
    """Make permissions count for what is started next, even for root."""
    libc = ctypes.CDLL(None)
    for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


def mmetl(project: Project, *argv: str, before: Callable[[], None] = powerless, program: str = "mmetl") -> Result:
    done = subprocess.run(
        [BIN / program, *argv],
        cwd=project.root,
        preexec_fn=before,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return Result(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def frozen(project: Project) -> Iterator[Callable[[], Project]]:
    """Make the project's folders unwritable, and writable again in the end."""

    def freeze() -> Project:
        for folder, _, _ in os.walk(project.root):
            os.chmod(folder, 0o555)
        return project

    yield freeze
    for folder, _, _ in os.walk(project.root):
        os.chmod(folder, 0o755)


def test_read_only_project_without_state(frozen: Callable[[], Project]) -> None:
    """Everything that only looks works; a run says in one sentence why it cannot."""
    project = frozen()
    assert mmetl(project, "validate").out == "p: valid, 2 tasks\n"
    asked = mmetl(project, "dry-run", "--json")
    assert (asked.code, asked.outcomes()) == (0, {"first": "ran", "second": "ran"})
    assert mmetl(project, "why", "first").out == "p:first is stale\n  - it never ran\n"
    assert mmetl(project, "status").err == "error: nothing ran here yet\nhelp: mmetl run\n"
    for command in (("run",), ("forget", "--all")):
        done = mmetl(project, *command)
        assert (done.code, done.out) == (4, "")
        assert done.err == (
            f"error: the state folder '{project.root}/.mmetl' cannot be written: permission denied\n"
            "help: check the permissions of the folder\n"
        )
    assert mmetl(project, "gc").code == 0
    assert not (project.root / ".mmetl").exists()


def test_read_only_project_with_state(frozen: Callable[[], Project], project: Project) -> None:
    """What is known is told, of a later edit too."""
    project.run()
    done = project.fast("status")
    project.write("in.txt", "other")
    frozen()
    assert mmetl(project, "status") == done
    assert mmetl(project, "dry-run", "--json").reasons()["first"] == ["in.txt changed"]
    assert mmetl(project, "why", "first").out.startswith("p:first is stale\n  - in.txt changed\n  last built")
    assert mmetl(project, "show", "first").code == 0
    assert mmetl(project, "validate").code == 0
    assert mmetl(project, "run").code == 4
    assert mmetl(project, "clean").code == 4


def test_plain_doit_in_a_read_only_project(frozen: Callable[[], Project], project: Project) -> None:
    project.doit("list")
    shutil.rmtree(project.root / ".mmetl")
    (project.root / ".doit.db").unlink(missing_ok=True)
    frozen()
    assert mmetl(project, "list", program="doit").code == 0
    done = mmetl(project, "run", program="doit")
    assert (done.code, "cannot be written: permission denied" in done.err) == (4, True)


def test_folder_that_may_not_be_read(empty: Project) -> None:
    """An error of the task that lists it."""
    empty.write("in/secret/a.txt", "a")
    empty.write("in/b.txt", "b")
    empty.tasks(
        "  a: {transform: shell.run, params: {command: 'echo > a', inputs: ['in/**'], outputs: [a]}}\n"
        "  b: {transform: shell.run, params: {command: 'echo > b', inputs: ['in/*'], outputs: [b]}}\n"
        "  c: {transform: shell.run, params: {command: 'echo > c', inputs: ['in/b.txt'], outputs: [c]}}\n"
    )
    (empty.root / "in/secret").chmod(0)
    done = mmetl(empty, "run", "--json", "-k")
    (empty.root / "in/secret").chmod(0o755)
    assert done.outcomes() == {"a": "failed", "b": "ran", "c": "ran"}
    assert done.json()["tasks"][0]["error"].startswith("'in/secret' cannot be read: permission denied")
    (empty.root / "in/b.txt").chmod(0)
    empty.write("in/b.txt", "other")
    done = mmetl(empty, "run", "--json", "-k")
    (empty.root / "in/b.txt").chmod(0o644)
    assert done.json()["tasks"][2]["error"].startswith("'in/b.txt' cannot be used: permission denied")


def state_is_a_file(root: Path) -> None:
    (root / ".mmetl").write_text("")


def database_is_a_folder(root: Path) -> None:
    (root / ".mmetl/state.db").mkdir(parents=True)


def logs_is_a_file(root: Path) -> None:
    (root / ".mmetl").mkdir()
    (root / ".mmetl/logs").write_text("")


ODD = {
    "state folder is a file": (state_is_a_file, 4, "error: '{root}/.mmetl' is not a folder\nhelp: move it away; "),
    "database is a folder": (database_is_a_folder, 4, "error: the state file '{root}/.mmetl/state.db' is a folder\n"),
}


@pytest.mark.parametrize("command", ["validate", "dry-run", "run", "clean", "forget"])
@pytest.mark.parametrize(("make", "code", "said"), ODD.values(), ids=ODD.keys())
def test_odd_state(project: Project, make: Callable[[Path], None], code: int, said: str, command: str) -> None:
    make(project.root)
    if command == "clean" and make is state_is_a_file:
        code, said = 0, ""  # no state, nothing to clean
    done = project.fast(command, *(["--all"] if command == "forget" else []))
    assert done.code == code
    assert done.err.startswith(said.format(root=project.root))


def test_log_that_cannot_be_written(empty: Project) -> None:
    """Tasks that print fail with that; tasks that say nothing do not."""
    logs_is_a_file(empty.root)
    empty.tasks(
        "  loud: {transform: shell.run, params: {command: 'echo > a; echo x', outputs: [a]}}\n"
        "  mute: {transform: tabular.read, params: {path: in.csv}}\n"
    )
    empty.write("in.csv", "a,b\n1,2\n")
    done = empty.fast("run", "--json", "-k")
    assert done.outcomes() == {"loud": "failed", "mute": "ran"}
    log = f"{empty.root}/.mmetl/logs/{done.json()['run_id']}/p.loud.log"
    assert done.json()["tasks"][0]["error"] == f"its log '{log}' cannot be written: not a directory"


def files_of(size: int) -> Callable[[], None]:
    """Let no file grow beyond a size, as on a full disk."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return limit


def test_no_room_for_state(project: Project) -> None:
    """The state file cannot grow: refused in words, nothing is lost, the next run is right."""
    done = mmetl(project, "run", before=files_of(60_000))
    assert done.code == 4
    assert "cannot be used: " in done.err
    assert project.run() == {"first": "ran", "second": "ran"}


def test_no_room_for_an_output(project: Project) -> None:
    project.run()
    project.write("in.txt", "x" * 2_000_000)
    done = mmetl(project, "run", "--json", before=files_of(1_000_000))
    assert (done.code, done.outcomes()["first"]) == (1, "failed")
    assert "File too large" in done.json()["tasks"][0]["error"]
    assert project.run() == {"first": "ran", "second": "ran"}
    assert project.read("out/second.txt") == "X" * 2_000_000 + "!!"


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_no_room_at_all(project: Project, jobs: str) -> None:
    """Not even the lock can be written."""
    project.run()
    project.write("in.txt", "other")
    done = mmetl(project, "run", "--jobs", jobs, before=files_of(0))
    assert (done.code, done.err.count("\n") <= 3) == (4, True)
    assert project.run() == {"first": "ran", "second": "ran"}
