"""What decides a task's output is in its recipe, each of it; what decides nothing is in none."""

from __future__ import annotations

import importlib.metadata
import json
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing

import pytest
from harness import Project

OWN = """\
from pydantic import BaseModel
from mmetl import register_transform


class Params(BaseModel):
    x: int = 1


@register_transform("own.one", version=1)
def one(params: Params):
    return [{"a": params.x}]


@register_transform("own.two", version=1)
def two(params: Params):
    return [{"a": -params.x}]


def both(a=None, b=None):
    return [{"a": a is None}]


def alone(rows):
    return rows
"""
PIPELINE = """\
version: 1
name: p
imports: [./own.py]
tasks:
  own: {transform: own.one}
  given: {transform: tabular.python, params: {function: 'own:both'}, inputs: {a: own}}
  passed: {transform: tabular.python, params: {function: 'own:alone'}, inputs: {a: own}}
  sql: {transform: tabular.sql, params: {sql: 'select * from own'}}
  said: {transform: tabular.sql, params: {sql: "select 'word' as t"}, expect: [{language: {column: t, languages: [en]}}]}
  kg: {transform: graph.build, params: {nodes: [{label: N, from: own, key: a}]}}
  graph: {transform: graph.load, inputs: [kg], params: {target: neo4j, connection: main}}
  asked: {transform: graph.cypher, inputs: [graph], params: {query: 'MATCH (n) RETURN n._key AS k'}}
"""
CONNECTIONS = "version: 1\nconnections:\n  main: {kind: neo4j, uri: 'bolt://127.0.0.1:1'}\n"


@pytest.fixture
def tasks(empty: Project) -> Project:
    """A task for each thing that may decide."""
    empty.write("own.py", OWN)
    empty.write("pipeline.yaml", PIPELINE)
    empty.write("mmetl.yml", CONNECTIONS)
    return empty


def recipes(project: Project) -> dict[str, str]:
    """Return task -> fingerprint of its recipe, as planned anew."""
    with (project.root / "pipeline.yaml").open("a") as file:
        file.write(f"# {time.time_ns()}\n")
    done = project.fast("dry-run")
    assert done.code == 0, done.err
    with closing(sqlite3.connect(project.root / ".mmetl/state.db")) as db:
        (body,) = db.execute("select body from plans order by used_ms desc limit 1").fetchone()
    return {row[0]: row[1] for row in json.loads(body)["tasks"]}


def edit(path: str, old: str, new: str) -> Callable[[Project, pytest.MonkeyPatch], None]:
    return lambda project, _: project.edit(path, old, new)


def upgrade(package: str) -> Callable[[Project, pytest.MonkeyPatch], None]:
    """Let another version of a package be installed."""
    version = importlib.metadata.version

    def act(_: Project, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(importlib.metadata, "version", lambda name: "9.9" if name == package else version(name))

    return act


DECIDES = {
    "transform": (edit("pipeline.yaml", "own: {transform: own.one}", "own: {transform: own.two}"), {"own"}),
    "version of a transform": (edit("own.py", '"own.one", version=1', '"own.one", version=2'), {"own"}),
    "a default of its params": (edit("own.py", "x: int = 1", "x: int = 2"), {"own"}),
    "name of an input": (edit("pipeline.yaml", "{a: own}", "{b: own}"), {"given"}),
    "key": (edit("pipeline.yaml", "sql: {tr", "sql: {key: [a], tr"), {"sql"}),
    "materialize": (edit("pipeline.yaml", "sql: {tr", "sql: {materialize: view, tr"), {"sql"}),
    "expect": (edit("pipeline.yaml", "sql: {tr", "sql: {expect: [{not_null: a}], tr"), {"sql"}),
    "engine of a query": (
        edit("pipeline.yaml", "{target: neo4j, connection: main}", "{path: graph/}"),
        {"graph", "asked"},
    ),
    "where a connection leads": (edit("mmetl.yml", "127.0.0.1:1", "127.0.0.1:2"), {"graph"}),
    "a package of a transform": (upgrade("duckdb"), {"sql", "said", "kg"}),
    "a package of a check": (upgrade("py3langid"), {"said"}),
}


@pytest.mark.parametrize(("change", "other"), DECIDES.values(), ids=DECIDES)
def test_what_decides(
    tasks: Project, monkeypatch: pytest.MonkeyPatch, change: Callable[..., None], other: set[str]
) -> None:
    """The recipes of these tasks are other ones, and of no further task; taken back, all are as they were."""
    before = recipes(tasks)
    texts = {path: tasks.read(path) for path in ("own.py", "pipeline.yaml", "mmetl.yml")}
    with monkeypatch.context() as patch:
        change(tasks, patch)
        assert {task for task, recipe in recipes(tasks).items() if recipe != before[task]} == other
    for path, text in texts.items():
        tasks.write(path, text)
    assert recipes(tasks) == before
