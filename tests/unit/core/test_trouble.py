"""What the file system can do to a run: each is an error of the tasks that it concerns, and of no others."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from harness import Project

COUNT = """\
  odd: {transform: shell.run, params: {command: "ls in > odd.txt", inputs: ['in/**'], outputs: [odd.txt]}}
  even: {transform: shell.run, params: {command: "echo e > even.txt", outputs: [even.txt]}}
"""


def not_utf8(p: Project) -> None:
    with open(os.fsencode(p.root) + b"/in/\xff.txt", "w") as f:
        f.write("x")


def link_to_itself(p: Project) -> None:
    (p.root / "in/loop").symlink_to("loop")


def folder_in_a_circle(p: Project) -> None:
    (p.root / "in/up").symlink_to("..")


TROUBLE = {
    "name is not UTF-8": (
        not_utf8,
        r"input in/\xff.txt cannot be used: its name is not UTF-8",
        r"'in/\xff.txt' cannot be used: its name is not UTF-8; rename it",
    ),
    "link to itself": (
        link_to_itself,
        "input in/** cannot be used: 'in/loop' cannot be read: too many levels of symbolic links",
        "'in/loop' cannot be read: too many levels of symbolic links; mend it, or let the glob not reach it",
    ),
    "circle": (
        folder_in_a_circle,
        "input in/** cannot be used: the link 'in/up/in' leads back to a folder above it",
        "the link 'in/up/in' leads back to a folder above it; remove the link",
    ),
}


@pytest.mark.parametrize(("spoil", "reason", "error"), TROUBLE.values(), ids=TROUBLE.keys())
@pytest.mark.parametrize("before", [True, False], ids=["ran before", "first run"])
def test_source_in_trouble(
    empty: Project, spoil: Callable[[Project], None], reason: str, error: str, before: bool
) -> None:
    """The task fails with path and reason; the others run; once mended, all is well."""
    empty.write("in/a.txt", "a")
    empty.tasks(COUNT)
    if before:
        empty.run()
    spoil(empty)
    asked = empty.fast("dry-run", "--json")
    assert asked.outcomes()["odd"] == "failed"
    assert asked.reasons()["odd"][-1] == reason
    done = empty.fast("run", "--json", "--keep-going")
    assert (done.code, done.outcomes()) == (1, {"odd": "failed", "even": "fresh" if before else "ran"})
    assert done.json()["tasks"][0]["error"] == error
    for entry in os.scandir(os.fsencode(empty.root / "in")):
        if entry.name != b"a.txt":
            os.unlink(entry.path)
    assert empty.run() == {"odd": "ran" if not before else "restored", "even": "fresh"}


def test_folder_as_input(empty: Project) -> None:
    """It is there, and no file: what to write instead is told."""
    empty.write("in/a.txt", "a")
    empty.tasks("  a: {transform: shell.run, params: {command: 'cat in/*', inputs: [in]}}\n")
    (task,) = empty.fast("run", "--json").json()["tasks"]
    assert task["error"] == "input in is a folder; name the files in it, such as in/*"


SOURCES = """\
  listed: {transform: shell.run, params: {command: "ls in > listed.txt", inputs: ['in/*.csv'], outputs: [listed.txt]}}
  read: {transform: tabular.read, params: {path: in/*.csv}}
"""
FEWER = "its source lists 0 files where there were 1"


def errors(p: Project, *argv: str) -> dict[str, str]:
    return {t["task"]: t["error"] for t in p.fast("run", "--json", "--keep-going", *argv).json()["tasks"] if t["error"]}


def test_folder_that_vanished(empty: Project) -> None:
    """It is not taken for an empty one, whatever is allowed: its disk may not be mounted. What is suggested helps."""
    empty.write("in/a.csv", "id\n1\n")
    empty.tasks(SOURCES)
    empty.run()
    allow = ("--allow-shrink", "listed", "--allow-shrink", "read")
    (empty.root / "in").rename(empty.root / "away")
    gone = "the folder 'in' of its source is not there; put it back, or mend the path"
    assert errors(empty, *allow) == {
        "listed": f"{gone}; to empty it: make it, and run --allow-shrink listed",
        "read": gone,
    }
    (empty.root / "in").mkdir()
    assert errors(empty) == {
        "listed": f"{FEWER}; if that is right: mmetl run --allow-shrink listed",
        "read": f"{FEWER}; it cannot do without: put them back, or mend the path",
    }
    assert empty.run("--keep-going", *allow) == {"listed": "ran", "read": "failed"}
    assert empty.fast("show", "read", "--json").out == '{"id": 1}\n'
