"""`mmetl list` and `mmetl graph`."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from harness import Project

DIAMOND = """\
  a: {transform: shell.run, tags: [base, slow], description: The first., params: {command: 'echo > a.txt', outputs: [a.txt]}}
  b: {transform: shell.run, params: {command: 'echo > b.txt', inputs: [a.txt], outputs: [b.txt]}}
  c: {transform: shell.run, tags: [slow], params: {command: 'echo > c.txt', inputs: [a.txt], outputs: [c.txt]}}
  alone: {transform: shell.run, params: {command: 'echo > alone.txt', outputs: [alone.txt]}}
  d: {transform: shell.run, params: {command: 'echo > d.txt', inputs: [b.txt, c.txt], outputs: [d.txt]}}
  e: {transform: shell.run, params: {command: 'true', inputs: [a.txt, d.txt]}}
"""
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def diamond(empty: Project) -> Project:
    empty.tasks(DIAMOND)
    return empty


def test_list(diamond: Project) -> None:
    """What each task is, and whether it is fresh: `waits` where that hangs on what others will make."""
    diamond.run("--select", "a")
    done = diamond.fast("list")
    assert done.code == 0
    assert done.out == (
        "TASK   STATE  TRANSFORM  TAGS        DESCRIPTION\n"
        "a      fresh  shell.run  base, slow  The first.\n"
        "b      stale  shell.run\n"
        "c      stale  shell.run  slow\n"
        "alone  stale  shell.run\n"
        "d      stale  shell.run\n"
        "e      stale  shell.run\n"
        "p: 6 tasks, 1 fresh, 5 stale\n"
    )


def test_list_of_a_selection(diamond: Project) -> None:
    """Selectors are those of `run`; states are those of the whole pipeline."""
    diamond.run()
    diamond.edit("pipeline.yaml", "echo > a.txt", "echo 1 > a.txt")
    body = diamond.fast("list", "--json", "--select", "b+", "--exclude", "e").json()
    assert list(body) == ["schema_version", "pipeline", "tasks"]
    assert {t["task"]: t["state"] for t in body["tasks"]} == {"b": "waits", "d": "waits"}
    assert list(body["tasks"][0]) == ["task", "transform", "state", "tags", "needs", "built", "description"]
    assert body["tasks"][1]["needs"] == ["b", "c"]
    assert [t["task"] for t in diamond.fast("list", "--json", "-s", "tag:slow").json()["tasks"]] == ["a", "c"]


def test_graph_as_text(diamond: Project) -> None:
    """A rail goes from a task to the last one that needs it; lines that only cross it leave it whole."""
    lines = diamond.fast("graph").out.splitlines()
    assert [line.removesuffix("shell.run").rstrip() for line in lines] == [
        "● a",
        "├─● b",
        "├─│─● c",
        "│ │ │ ● alone",
        "│ └─┴─● d",
        "└─────┴─● e",
    ]


def test_graph_of_a_selection(diamond: Project) -> None:
    """Edges to tasks that are left out are left out."""
    assert diamond.fast("graph", "--select", "b", "--select", "d", "--format", "mermaid").out == (
        'flowchart LR\n  t0["b<br/><small>shell.run</small>"]\n  t1["d<br/><small>shell.run</small>"]\n  t0 --> t1\n'
    )


def test_graph_as_json(diamond: Project) -> None:
    """Nodes and edges."""
    body = diamond.fast("graph", "--format", "json").json()
    assert [t["task"] for t in body["tasks"]] == ["a", "b", "c", "alone", "d", "e"]
    assert [(e["from"], e["to"]) for e in body["edges"]] == [
        ("a", "b"), ("a", "c"), ("b", "d"), ("c", "d"), ("a", "e"), ("d", "e"),
    ]  # fmt: skip


def test_graph_as_svg(diamond: Project) -> None:
    """A box a task, none over another, each right of all that it needs; a path an edge; texts are escaped."""
    diamond.edit("pipeline.yaml", "The first.", "'<first> & \"only\"'")
    root = ET.fromstring(diamond.fast("graph", "--format", "svg").out)
    boxes = {}
    for group in root.iter(f"{SVG}g"):
        rect = group.find(f"{SVG}rect")
        x, y, w, h = (float(rect.get(k)) for k in ("x", "y", "width", "height"))
        boxes[group.find(f"{SVG}text").text] = (x, y, x + w, y + h)
    assert list(boxes) == ["a", "b", "c", "alone", "d", "e"]
    assert len(list(root.findall(f"{SVG}path"))) == 6
    width, height = float(root.get("width")), float(root.get("height"))
    placed = list(boxes.values())
    for i, (x1, y1, x2, y2) in enumerate(placed):
        assert 0 <= x1 < x2 <= width
        assert 0 <= y1 < y2 <= height
        assert all(x2 <= o[0] or o[2] <= x1 or y2 <= o[1] or o[3] <= y1 for o in placed[i + 1 :])
    for need, task in (("a", "b"), ("b", "d"), ("d", "e"), ("a", "e")):
        assert boxes[need][2] < boxes[task][0]


def test_graph_of_an_empty_selection_is_refused(diamond: Project) -> None:
    """As everywhere: a selector that names nothing is a mistake."""
    assert diamond.fast("graph", "--select", "zzz").code == 2
    assert diamond.fast("graph", "--format", "png").code == 2
