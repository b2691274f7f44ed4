"""Outputs behind a link: they are written where it leads, and known by the path that the YAML gives."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Project, lacking

TASKS = """\
  made: {transform: shell.run, params: {command: "echo made > out/made.txt", outputs: [out/made.txt]}}
  used: {transform: shell.run, params: {command: "cat out/made.txt > used.txt", inputs: [out/made.txt], outputs: [used.txt]}}
  rows: {transform: tabular.read, params: {path: rows.csv}}
  parts: {transform: tabular.write, cache: false, inputs: [rows], params: {path: out/parts, partition_by: [word]}}
"""
WRITTEN = ["made.txt", "parts/word=x/data.parquet", "parts/word=y/data.parquet"]


@pytest.fixture
def away() -> Iterator[Path]:
    """A folder on another disk: in memory."""
    if not os.access("/dev/shm", os.W_OK):
        lacking("there is no /dev/shm")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


def test_folder_that_leads_out_of_the_project(empty: Project, away: Path) -> None:
    """Written, restored and cleaned there, on another disk too; a task that reads it comes after."""
    empty.write("rows.csv", "id,word\n1,x\n2,y\n")
    (empty.root / "out").symlink_to(away)
    empty.tasks(TASKS)
    assert set(empty.run().values()) == {"ran"}
    assert sorted(str(p.relative_to(away)) for p in away.rglob("*") if p.is_file()) == WRITTEN
    assert set(empty.run().values()) == {"fresh"}
    (away / "made.txt").write_text("edited")
    assert empty.run()["made"] == "restored"
    assert (away / "made.txt").read_text() == "made\n"
    assert (empty.root / ".mmetl/replaced/out/made.txt").read_text() == "edited"
    assert empty.fast("clean").code == 0
    assert [p for p in away.rglob("*") if p.is_file()] == []
    assert (empty.root / "out").is_symlink()


def test_link_in_the_place_of_an_output(empty: Project, tmp_path_factory: pytest.TempPathFactory) -> None:
    """It makes way: what it leads to is not written."""
    other = tmp_path_factory.mktemp("other") / "precious.txt"
    other.write_text("precious")
    (empty.root / "made.txt").symlink_to(other)
    empty.tasks("  made: {transform: shell.run, params: {command: 'echo made > made.txt', outputs: [made.txt]}}\n")
    assert empty.run() == {"made": "ran"}
    assert (empty.read("made.txt"), other.read_text()) == ("made\n", "precious")
    assert not (empty.root / "made.txt").is_symlink()
    assert (empty.root / ".mmetl/replaced/made.txt").readlink() == other
