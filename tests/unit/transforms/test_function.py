"""A project's own transforms, registered with the decorator."""

from __future__ import annotations

import pytest
from harness import Project

OWN = '''\
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel

from mmetl import register_transform

FACTOR = 10


class Limit(BaseModel):
    limit: int = 3


@register_transform("local.big")
def big(inputs: dict[str, pa.Table], params: Limit) -> pa.Table:
    """Keep what is large."""
    table = inputs["numbers"]
    return table.filter(pc.greater(pc.multiply(table["v"], FACTOR), params.limit * FACTOR))


@register_transform("local.fixed", version=1)
def fixed():
    return [{"id": 1, "factor": FACTOR}]
'''
PIPELINE = """\
version: 1
name: own
imports: [./own.py]
tasks:
  numbers: {transform: tabular.read, key: id, params: {path: numbers.csv}}
  big: {transform: local.big, inputs: [numbers], key: id, params: {limit: 4}}
  fixed: {transform: local.fixed, key: id}
"""


@pytest.fixture
def own(project: Project) -> Project:
    """A project with transforms of its own, run once."""
    project.write("own.py", OWN)
    project.write("numbers.csv", "id,v\n1,2\n2,5\n3,9\n")
    project.write("pipeline.yaml", PIPELINE)
    assert project.fast("run").code == 0
    return project


def outcomes(project: Project) -> dict[str, str]:
    """Run, and return what became of each task."""
    return {t["task"]: t["outcome"] for t in project.fast("run", "--json").json()["tasks"]}


def test_function_gets_inputs_and_params(own: Project) -> None:
    """Tables by alias, params as its own model."""
    assert own.fast("show", "big").out == "id  v\n2   5\n3   9\n2 rows\n"


@pytest.mark.parametrize(
    ("old", "new", "big", "fixed"),
    [
        ("FACTOR = 10", "FACTOR = 11", "ran", "fresh"),
        ("FACTOR = 10", "FACTOR = 10  # ten", "fresh", "fresh"),
        ("Keep what is large.", "Keep.", "fresh", "fresh"),
        ("pc.greater(", "pc.greater_equal(", "ran", "fresh"),
        ("version=1", "version=2", "fresh", "ran"),
    ],
)
def test_code_is_the_version(own: Project, old: str, new: str, big: str, fixed: str) -> None:
    """Without a version, what the function reaches counts; with one, only the version does."""
    own.write("own.py", OWN.replace(old, new))
    found = outcomes(own)
    assert (found["big"], found["fixed"]) == (big, fixed)


def test_unknown_param_of_a_project_model(own: Project) -> None:
    """A project's params model refuses unknown keys as the built-in ones do."""
    own.write("pipeline.yaml", PIPELINE.replace("limit: 4", "limmit: 4"))
    done = own.fast("validate")
    assert done.code == 3
    assert "task 'big' has no param 'limmit'" in done.err
    assert "help: did you mean 'limit'? 'local.big' takes: limit" in done.err


def test_error_is_told_at_the_functions_line(own: Project) -> None:
    """The project's own line, not mmETL's."""
    own.write("own.py", OWN.replace('table = inputs["numbers"]', 'table = inputs["nothing"]'))
    done = own.fast("run")
    assert done.code == 1
    assert "'big' raised KeyError: 'nothing'" in done.err
