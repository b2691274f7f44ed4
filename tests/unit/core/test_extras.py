"""A package of an extra that is not installed: told before anything runs where that can be known, and exit code 5 always."""

from __future__ import annotations

import importlib.metadata
import sys

import pytest
from harness import Project

PIPELINE = """\
  first: {transform: shell.run, params: {command: "echo 1 > first.txt", outputs: [first.txt]}}
  people: {transform: tabular.read, params: {path: people.csv}, key: [id]}
  mentions: {transform: tabular.sql, params: {sql: select name as text from people}, key: [text]}
  who: {transform: cross.link_entities, inputs: [mentions, people]}
"""
TOLD = "error: 'rapidfuzz' is not installed; needed by who\nhelp: pip install 'mmetl[entities]'"


@pytest.fixture
def linked(empty: Project) -> Project:
    empty.write("people.csv", "id,name\n1,Ada\n")
    empty.tasks(PIPELINE)
    return empty


def without(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a package not be installed, as Python sees it."""
    found = importlib.metadata.version

    def version(name: str) -> str:
        if name == package:
            raise importlib.metadata.PackageNotFoundError(name)
        return found(name)

    monkeypatch.setattr(importlib.metadata, "version", version)


@pytest.fixture
def lacking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `rapidfuzz` not be there."""
    without("rapidfuzz", monkeypatch)
    monkeypatch.setitem(sys.modules, "rapidfuzz", None)


def test_known_before_the_run(linked: Project, lacking: None) -> None:
    """`validate`, `dry-run` and `run` say so, and nothing is run."""
    done = linked.fast("validate")
    assert (done.code, done.err) == (5, f"{TOLD}\n")
    for command in (["run"], ["run", "--json"], ["dry-run"]):
        done = linked.fast(*command)
        assert (done.code, done.out, done.err) == (5, "", f"{TOLD}, or leave such tasks out with --exclude\n")
    assert not (linked.root / "first.txt").exists()
    assert linked.fast("runs", "--json").json()["runs"] == []


def test_known_by_the_kind_of_a_file(linked: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package whose version decides nothing is looked for, too."""
    linked.write("none.xlsx", "")
    linked.edit("pipeline.yaml", "people.csv", "none.xlsx")
    assert linked.fast("validate").code == 0
    linked.edit("pipeline.yaml", "p\n", "q\n")  # the plan is made anew
    without("python-calamine", monkeypatch)
    done = linked.fast("validate")
    assert (done.code, done.err) == (
        5,
        "error: 'python-calamine' is not installed; needed by people\nhelp: pip install 'mmetl[xlsx]'\n",
    )


MAYBE = """\
  tables: {transform: tabular.read, params: {path: people.csv}, key: [id]}
  network:
    transform: graph.build
    params: {nodes: [{label: Person, from: tables, key: id}]}
  served: {transform: graph.load, inputs: [network], params: {target: neo4j, connection: main}}
  asked: {transform: graph.cypher, inputs: [served], params: {query: "MATCH (n) RETURN n._key AS k"}}
  vectors: {transform: tabular.sql, params: {sql: "select id, [1.0, 2.0]::float[2] as vector from tables"}, key: [id]}
  index: {transform: vector.index, inputs: [vectors], params: {path: index/}}
"""


def test_what_may_not_be_needed_is_no_reason_to_refuse(empty: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph in a server is asked without Ladybug; few vectors need no usearch, many do."""
    empty.write("people.csv", "id\n1\n2\n")
    empty.write("mmetl.yml", "version: 1\nconnections: {main: {kind: neo4j, uri: bolt://localhost:1}}\n")
    empty.tasks(MAYBE)
    for package in ("ladybug", "usearch"):
        without(package, monkeypatch)
        monkeypatch.setitem(sys.modules, package, None)
    assert empty.fast("validate").code == 0
    assert empty.run("--select", "+index") == {"tables": "ran", "vectors": "ran", "index": "ran"}
    empty.edit("pipeline.yaml", "path: index/", "path: index/, ann_above: 1")
    done = empty.fast("run", "--select", "index")
    assert (done.code, "'usearch' is not installed; pip install 'mmetl[vectors]'" in done.err) == (5, True), done.err


def test_the_others_can_run(linked: Project, lacking: None) -> None:
    """What needs nothing of it is told about, and run, as ever."""
    assert linked.run("--exclude", "who") == {"first": "ran", "people": "ran", "mentions": "ran"}
    assert linked.fast("show", "mentions", "--json").out == '{"text": "Ada"}\n'
    assert linked.fast("why", "who").code == 0


def test_found_in_the_run(linked: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that is there by its name only: the task fails. Something else that fails makes it 1."""
    monkeypatch.setitem(sys.modules, "rapidfuzz", None)
    done = linked.fast("run", "--json")
    assert (done.code, done.outcomes()["who"]) == (5, "failed")
    assert "'rapidfuzz' is not installed; pip install 'mmetl[entities]'" in done.out
    linked.edit("pipeline.yaml", "echo 1", "exit 1 #")
    assert linked.fast("run", "--keep-going").code == 1


def test_plain_doit(linked: Project) -> None:
    """It is refused there, too."""
    linked.write("dodo.py", DODO)
    done = linked.command("doit", "run")
    assert (done.code, TOLD in done.err) == (5, True), done.err
    assert not (linked.root / "first.txt").exists()


DODO = """\
import importlib.metadata

found = importlib.metadata.version


def version(name):
    if name == "rapidfuzz":
        raise importlib.metadata.PackageNotFoundError(name)
    return found(name)


importlib.metadata.version = version
from mmetl.core.build import DOIT_CONFIG, task_pipelines
"""
