"""`mmetl status` shows what others have changed since tasks wrote it; `mmetl run` mends it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.harness import Project

KEPT = """\
  rows: {transform: tabular.read, params: {path: in.csv}, key: [id]}
  file: {transform: tabular.write, inputs: [rows], params: {path: out/rows.csv}}
  pages: {transform: document.export, inputs: [rows], params: {path: out/pages/}}
"""


@pytest.fixture
def kept(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.write("in.csv", "id,text\n1,one\n2,two\n")
    project.tasks(KEPT)
    project.run()
    return project


def test_status_shows_drift_until_a_run_mends_it(kept: Project) -> None:
    assert kept.fast("status", "--json").json()["drift"] == []
    kept.write("out/pages/1.md", "other")
    (kept.root / "out/rows.csv").unlink()
    last = kept.fast("status", "--json").json()
    assert last["drift"] == [
        {"task": "p:file", "reason": "output out/rows.csv was deleted"},
        {"task": "p:pages", "reason": "output out/pages/ was changed by something else"},
    ]
    told = "not as it was left: output out/rows.csv was deleted (p:file; the next run mends it)\n"
    assert told in kept.fast("status").out
    assert kept.fast("status", last["run_id"], "--json").json()["drift"] == [], "of an earlier run nothing is said"
    assert kept.run() == {"rows": "fresh", "file": "restored", "pages": "ran"}
    assert kept.fast("status", "--json").json()["drift"] == []


def test_what_nobody_relies_on_is_no_drift(kept: Project) -> None:
    """What was cleaned, and what a task left that is gone from the YAML."""
    assert kept.fast("clean", "file").code == 0
    kept.tasks(KEPT.splitlines()[0] + "\n" + KEPT.splitlines()[1] + "\n")
    kept.fast("dry-run")
    shutil.rmtree(kept.root / "out/pages")
    assert kept.fast("status", "--json").json()["drift"] == []
