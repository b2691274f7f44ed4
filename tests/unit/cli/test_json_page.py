"""Every `--json` shape is documented as it is, in `docs/reference/json.md`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from harness import TASKS, Project

PAGE = Path(__file__).parents[3] / "docs/reference/json.md"
SHAPES = {
    "runs --json": (["runs", "--json"], "runs"),
    "list --json": (["list", "--json"], "tasks"),
    "diff TASK --json": (["diff", "first", "--json"], None),
    "why TASK --json": (["why", "second", "--json"], "tasks"),
    "why TASK --key KEY --json": (["why", "rows", "--key", "n=1", "--json"], None),
    "transforms --json": (["transforms", "--json"], "transforms"),
    "test --json": (["test", "--json"], "tests"),
    "doctor --json": (["doctor", "--json"], "findings"),
}


@pytest.mark.parametrize(("heading", "argv", "inner"), [(h, *s) for h, s in SHAPES.items()], ids=SHAPES.keys())
def test_fields(project: Project, heading: str, argv: list[str], inner: str | None) -> None:
    """The fields of the page's table are those of the output, in their order."""
    project.write("mmetl_tests/a.yaml", "version: 1\ntests:\n  t: {task: rows, expected: [{n: 1}]}\n")
    project.tasks(TASKS + "  rows: {transform: tabular.sql, params: {sql: select 1 as n}}\n")
    project.run()
    project.write("in.txt", "other")
    project.run()
    body = project.fast(*argv).json()
    section = PAGE.read_text(encoding="utf-8").partition(f"\n## `{heading}`\n")[2].partition("\n## ")[0]
    told = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    assert told == list(body if inner is None else body[inner][0])
    assert body["schema_version"] == 1


def test_fields_of_a_step(project: Project) -> None:
    project.tasks("  rows: {transform: tabular.sql, params: {sql: select 1 as n}}\n")
    project.run()
    step = project.fast("why", "rows", "--key", "n=1", "--json").json()["start"]
    section = PAGE.read_text(encoding="utf-8").partition("\n## A step of `why --key`\n")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(step)
