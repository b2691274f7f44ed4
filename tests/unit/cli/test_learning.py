"""`mmetl init` and `mmetl transforms`."""

from __future__ import annotations

import os
import re
import subprocess

import pytest
from harness import BIN, Project

from mmetl.core.examples import example
from mmetl.core.registry import BUILT_IN
from mmetl.core.start import STEPS


def test_init_and_its_next_steps(empty: Project) -> None:
    """What is printed can be typed, line by line."""
    done = empty.mmetl("init", "my sales")
    assert (done.code, done.err) == (
        0,
        "wrote mmetl.yml, pipeline.yaml, data/orders.csv, transforms.py, dodo.py, .gitignore\nnext:\n",
    )
    steps = done.out.splitlines()
    assert steps == ["  cd 'my sales'", *(f"  {s}" for s in STEPS)]
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    said = subprocess.run(
        ["sh", "-ec", done.out],
        cwd=empty.root,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "customer  orders  total\nada       2       58.0\ncleo      1       24.0\n2 rows\n" in said.stdout
    assert empty.read("my sales/out/customers.csv") == "customer,orders,total\nada,2,58.0\n"
    inside = Project(empty.root / "my sales")
    assert inside.fast("validate").code == 0
    assert inside.command("doit", "list", "--all").code == 0
    assert inside.run("--select", "orders") == {"orders": "fresh"}


def test_init_here(empty: Project) -> None:
    """In the current folder there is nowhere to go first."""
    assert empty.mmetl("init").out.splitlines()[0] == "  mmetl run"
    assert empty.fast("validate").out == "sales: valid, 4 tasks\n"


@pytest.mark.parametrize("path", sorted(example("init")))
def test_init_overwrites_nothing(empty: Project, path: str) -> None:
    """One file that is there, and none is written."""
    empty.write(path, "mine")
    done = empty.mmetl("init")
    assert (done.code, done.out) == (4, "")
    assert (
        done.err
        == f"error: '{path}' is there already, and nothing is overwritten\nhelp: choose an empty folder: mmetl init FOLDER\n"
    )
    assert [p.read_text() for p in empty.root.rglob("*") if p.is_file()] == ["mine"]


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_the_example_of_each_transform_runs(empty: Project, name: str) -> None:
    """`mmetl transforms NAME` shows a whole project, and this is it."""
    files = example(name)
    assert f"transform: {name}\n" in files["pipeline.yaml"]
    page = empty.fast("transforms", name).out
    for path, text in files.items():
        empty.write(path, text)
        assert f"example: {path}\n" in page
        assert all(line.strip() in page for line in text.splitlines())
    outcomes = empty.run()
    assert set(outcomes.values()) == {"ran"}
    assert set(empty.run().values()) == {"fresh"}


def test_the_list_of_transforms(empty: Project) -> None:
    """One line each, those that the project registers too."""
    empty.write(
        "own.py",
        "from mmetl import register_transform\n@register_transform('local.late')\n"
        'def late(inputs: dict):\n    """Keep what is late.\n\n    More.\n    """\n',
    )
    empty.write("pipeline.yaml", "version: 1\nname: p\nimports: [./own.py]\ntasks:\n  a: {transform: local.late}\n")
    lines = empty.fast("transforms").out.splitlines()
    assert [line.split()[0] for line in lines] == sorted([*BUILT_IN, "local.late"])
    assert all(len(line.split()) > 3 for line in lines)
    assert next(line for line in lines if "local" in line).endswith("  keep what is late")


def test_one_transform(empty: Project) -> None:
    """Params with type, default and meaning, then the example."""
    page = empty.fast("transforms", "shell.run").out
    assert page.partition("example: ")[0] == (
        "shell.run: runs a command in the project's folder; what it prints goes to the task's log\n\n"
        "grain    task: skipped, restored or computed as a whole\n"
        "promise  pure as far as the command is: what it reads beside its inputs is not seen\n\n"
        "params\n"
        "  inputs  (list of texts; none)\n      files or globs that it reads, relative to the project\n"
        "  outputs  (list of texts; none)\n      files that it writes, relative to the project\n"
        "  command  (text or list of texts; required)\n      a text for `sh -c`, or a list of a program and its arguments\n\n"
    )


def test_transforms_as_json(empty: Project) -> None:
    """Everything that the page says, for programs."""
    (found,) = empty.fast("transforms", "tabular.read", "--json").json()["transforms"]
    assert list(found) == ["name", "summary", "params", "grain", "promise", "example"]
    assert found["params"][0] == {
        "name": "path",
        "type": "text or list of texts",
        "default": "required",
        "meaning": "a file, a glob or a list of them, relative to the project",
    }
    assert {"watermark", "watermark.column"} <= {p["name"] for p in found["params"]}
    assert len(empty.fast("transforms", "--json").json()["transforms"]) == len(BUILT_IN)


def test_unknown_transform(empty: Project) -> None:
    """The near name."""
    done = empty.fast("transforms", "tabular.raed")
    assert (done.code, done.err) == (
        2,
        "error: no transform is named 'tabular.raed'\nhelp: did you mean 'tabular.read'?\n",
    )
    assert re.match(r"error: .*\nhelp: known: .*document\.chunk, ", empty.fast("transforms", "zzz").err)


def test_transforms_where_a_pipeline_is_broken(project: Project) -> None:
    """A pipeline that cannot be loaded keeps nobody from reading."""
    project.write("pipeline.yaml", "version: 1\nname: p\nimports: [./none.py]\ntasks: {}\n")
    assert project.fast("transforms").code == 0
    project.write("pipeline.yaml", "no: yaml: here")
    assert project.fast("transforms").code == 0
