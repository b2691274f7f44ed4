"""Counts of items: told before the run, while it lasts, and after it."""

from __future__ import annotations

import os
import pty
import subprocess

import pytest
from harness import BIN

from mmetl.cli import progress


def dry(texts, task, *argv):
    """Return what `dry-run --json` says of a task."""
    return {t["task"]: t for t in texts.fast("dry-run", "--json", *argv).json()["tasks"]}[task]


def state_of(texts):
    return {p: p.stat().st_mtime_ns for p in texts.root.glob(".mmetl/parts/**/*") if p.is_file()}


def test_dry_run_tells_what_would_be_computed_and_the_run_says_the_same(texts):
    texts.go()
    texts.computed()
    texts.rows[5] = (5, "edited")
    texts.rows[6] = (99, texts.rows[6][1])
    del texts.rows[7]
    texts.rows |= {300 + i: (0, "same") for i in range(3)}
    texts.save()
    texts.go("--select", "texts")
    before = state_of(texts)
    told = dry(texts, "loud")
    assert told["items"] == {"added": 3, "changed": 1, "updated": 1, "removed": 1, "unchanged": 197, "computed": 2}
    assert (texts.computed(), state_of(texts)) == ([], before), "nothing is computed or written"
    assert texts.go("--select", "loud")["loud"]["items"] == told["items"]


def test_dry_run_says_it_in_words(texts):
    texts.go()
    texts.edit("pipeline.yaml", "own.shout, inputs: [texts]", "own.shout, inputs: [texts], params: {times: 2}")
    assert "run  loud  200 changed, 200 to compute; params.times changed: 1 -> 2\n" in texts.fast("dry-run").out
    assert dry(texts, "loud", "--force", "--select", "loud")["items"]["computed"] == 200


def test_a_task_whose_inputs_are_not_settled_is_not_counted(texts):
    texts.go()
    texts.rows[5] = (5, "edited")
    texts.save()
    assert "wait  loud   waits for texts\n" in texts.fast("dry-run").out
    assert "items" not in dry(texts, "loud")


def test_failed_items_that_retry_would_compute_are_not_counted_without_it(texts):
    texts.edit("own.py", "if any(", "if not os.path.exists('mended') and any(")
    texts.edit(
        "pipeline.yaml", "own.shout, inputs: [texts]", "own.shout, inputs: [texts], params: {on_error: quarantine}"
    )
    texts.rows[7] = (7, "a bad one")
    texts.save()
    texts.go()
    texts.rows[9] = (9, "new")
    texts.save()
    texts.go("--select", "texts")
    assert dry(texts, "loud")["items"]["computed"] == 1


def test_dry_run_tells_what_fails_before_anything_is_computed(texts):
    texts.go()
    texts.edit("own.py", 'reads=["text"]', 'reads=["txt"]')
    told = dry(texts, "loud")
    assert told["outcome"] == "failed"
    assert told["reasons"][-1] == "'texts' has no column 'txt'"
    assert texts.go()["loud"]["error"].startswith("'texts' has no column 'txt'")


def test_listed_files_are_counted_too(empty):
    empty.tasks("  files: {transform: document.files, params: {path: 'docs/*.md'}}\n")
    for name in "abc":
        empty.write(f"docs/{name}.md", name)
    assert dry(empty, "files")["items"] == {"added": 3}
    empty.run()
    empty.write("docs/a.md", "changed")
    (empty.root / "docs/b.md").unlink()
    told = dry(empty, "files")["items"]
    assert told == {"changed": 1, "removed": 1, "unchanged": 1}
    assert {t["task"]: t for t in empty.fast("run", "--json").json()["tasks"]}["files"]["items"] == told


def test_a_pipe_gets_lines_of_a_task_that_takes_long(texts, monkeypatch):
    monkeypatch.setattr(progress, "LINE_S", 0.0)
    said = texts.fast("run", "--select", "+loud").err.splitlines()
    assert [line.strip() for line in said if "at work" in line] == [
        f"at work  loud  {n} of 200 items (200 added)" for n in (0, 50, 100, 150, 200)
    ]
    monkeypatch.undo()
    texts.rows[5] = (5, "edited")
    texts.save()
    assert "at work" not in texts.fast("run", "--select", "+loud").err


def test_a_terminal_shows_how_far_it_has_got(texts):
    texts.edit("pipeline.yaml", "own.shout, inputs: [texts]", "own.shout, inputs: [texts], params: {slow: 0.4}")
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "160"}
    argv = [BIN / "mmetl", "run", "--select", "+loud"]
    process = subprocess.Popen(argv, cwd=texts.root, stdin=theirs, stdout=theirs, stderr=theirs, env=env)
    os.close(theirs)
    said = b""
    while chunk := _read(ours):
        said += chunk
    os.close(ours)
    assert process.wait() == 0
    assert b"loud 100 of 200 items (200 added)" in said


def _read(terminal):
    try:
        return os.read(terminal, 65536)
    except OSError:  # how Linux says that the other side is closed
        return b""


@pytest.mark.parametrize("command", [["status", "--json"], ["run", "--json"]])
def test_counts_are_kept_with_the_run(texts, command):
    texts.edit("pipeline.yaml", "own.shout, inputs: [texts]", "own.shout, inputs: [texts], cache: false")
    texts.go("--select", "+loud")
    if command[0] == "run":
        command = [*command, "--select", "loud", "--force"]
    found = {t["task"]: t for t in texts.fast(*command).json()["tasks"]}["loud"]["items"]
    assert found == ({"unchanged": 200, "computed": 200} if command[0] == "run" else {"added": 200, "computed": 200})
