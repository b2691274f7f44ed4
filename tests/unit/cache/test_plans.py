"""The compiled plan is kept, and used only while nothing that went into it has changed."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Project, grow_old

from mmetl.cache.plans import plan_key
from mmetl.cache.store import Store
from mmetl.utils.hashing import sha256_hex, xxh3_hex

TASKS = """\
  a: !include parts/a.yaml
  b:
    transform: python.run
    params: {function: "steps:copy", args: {source: "${SOURCE:-in.txt}", target: b.txt}, outputs: [b.txt]}
    env: [MODE]
  c:
    transform: local.nothing
"""
LOCAL = """\
from mmetl import register_transform
from pydantic import BaseModel

class Nothing(BaseModel):
    limit: int = 1

@register_transform("local.nothing")
def nothing(inputs, params: Nothing):
    return None
"""


@pytest.fixture
def planned(project: Project) -> Project:
    """A project whose plan is kept: with an include, imports, code, an environment variable."""
    project.tasks(TASKS.partition("  c:")[0])
    project.write("parts/a.yaml", "transform: shell.run\nparams: {command: 'echo a > a.txt', outputs: [a.txt]}\n")
    grow_old()
    project.fast("dry-run")
    mark(project)
    return project


def compiled(project: Project, **env: str) -> bool:
    """Plan, and tell whether the plan was compiled anew."""
    grow_old()
    before = Store(project.root).rows("select used_ms, body from plans")
    done = project.fast("dry-run", env=env)
    assert done.code == 0, done.err
    store = Store(project.root)
    after = store.rows("select used_ms, body from plans")
    mark(project)
    return before != after


def mark(project: Project) -> None:
    """Give every kept plan a time that no compilation writes."""
    with Store(project.root).transaction() as db:
        db.execute("update plans set used_ms = 1")


CHANGES: dict[str, tuple[Callable[[Project], object], bool]] = {
    "nothing": (lambda _: None, False),
    "pipeline": (lambda p: p.edit("pipeline.yaml", "name: p", "name: q"), True),
    "comment in the pipeline": (lambda p: p.edit("pipeline.yaml", "tasks:", "# a comment\ntasks:"), True),
    "include": (lambda p: p.edit("parts/a.yaml", "echo a", "echo b"), True),
    "function": (lambda p: p.edit("steps.py", '"!"', '"?"'), True),
    "helper": (lambda p: p.edit("helpers.py", "upper", "lower"), True),
    "data": (lambda p: p.write("in.txt", "other"), False),
    "code that nothing calls": (lambda p: p.write("unused.py", "x = 1"), False),
}


@pytest.mark.parametrize(("change", "anew"), CHANGES.values(), ids=CHANGES.keys())
def test_what_makes_a_plan_old(planned: Project, change: Callable[[Project], object], anew: bool) -> None:
    """Files and code that went into it do, data does not."""
    change(planned)
    assert compiled(planned) is anew
    assert not compiled(planned)


@pytest.mark.parametrize("env", [{"SOURCE": "other.txt"}, {"MODE": "x"}, {"SOURCE": ""}])
def test_environment_makes_a_plan_old(planned: Project, env: dict[str, str]) -> None:
    """A variable that was looked up counts, set or not; others do not."""
    assert not compiled(planned, UNRELATED="1")
    assert compiled(planned, **env)
    assert not compiled(planned, **env)
    assert compiled(planned)


def test_values_of_the_environment_are_not_kept(planned: Project) -> None:
    """A plan and a recipe have hashes of values, which may be private: such that nobody can turn back."""
    value = "correct-horse"
    assert compiled(planned, MODE=value)
    (checks,) = Store(planned.root).rows("select checks from plans")[0]
    assert set(json.loads(checks)["env"]) == {"MODE", "SOURCE"}
    kept = b"".join(p.read_bytes() for p in (planned.root / ".mmetl").glob("state.db*"))
    assert sha256_hex(value.encode()).encode() in kept
    assert value.encode() not in kept
    assert xxh3_hex(value.encode()).encode() not in kept


def test_another_mmetl_makes_a_plan_old(planned: Project) -> None:
    """Code that compiled it counts as well."""
    with Store(planned.root).transaction() as db:
        db.execute("update plans set checks = json_set(checks, '$.installation', 'older')")
    assert compiled(planned)


def test_variables_have_plans_of_their_own(project: Project) -> None:
    """A run with --var does not throw the plan of a bare run away."""
    project.edit("pipeline.yaml", "tasks:", "vars: {x: 1}\ntasks:")
    for argv in ((), ("--var", "x=2"), (), ("--var", "x=2")):
        project.fast("dry-run", *argv)
    assert Store(project.root).rows("select count(*) from plans") == [(2,)]
    assert plan_key("p.yaml", {"x": "2"}) != plan_key("p.yaml", {"x": "1"}) != plan_key("q.yaml", {"x": "1"})


def test_params_model_of_a_project_transform(project: Project) -> None:
    """A project's own transform counts as code, its params model with its defaults included."""
    project.tasks("  c: {transform: local.nothing}\n")
    project.edit("pipeline.yaml", "tasks:", "imports: [./local.py]\ntasks:")
    project.write("local.py", LOCAL)
    grow_old()
    assert project.fast("dry-run").code == 0
    mark(project)
    assert not compiled(project)
    project.edit("local.py", "limit: int = 1", "limit: int = 2")
    assert compiled(project)


def test_moved_project(planned: Project, tmp_path: Path) -> None:
    """Nothing in the plan says where the project lies."""
    planned.run()
    moved = tmp_path.parent / f"{tmp_path.name}-moved"
    tmp_path.rename(moved)
    try:
        done = Project(moved).run()
    finally:
        moved.rename(tmp_path)
    assert done == {"a": "fresh", "b": "fresh"}


def test_file_written_while_it_was_read(planned: Project) -> None:
    """A plan of files too young to be trusted serves one command only."""
    file = planned.write(
        "parts/a.yaml", "transform: shell.run\nparams: {command: 'echo 2 > a.txt', outputs: [a.txt]}\n"
    )
    done = threading.Event()

    def touch() -> None:
        while not done.wait(0.0005):
            os.utime(file)

    writer = threading.Thread(target=touch)
    writer.start()
    planned.fast("dry-run")
    done.set()
    writer.join()
    assert json.loads(Store(planned.root).rows("select checks from plans")[0][0])["racy"]
    grow_old()
    mark(planned)
    assert compiled(planned)
    assert not compiled(planned)
