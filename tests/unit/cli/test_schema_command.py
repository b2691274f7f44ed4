"""`mmetl schema`: what it takes and refuses is what the loader takes and refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness import Project
from jsonschema import Draft202012Validator

from mmetl.config.loader import load_cases
from mmetl.core.registry import BUILT_IN
from mmetl.errors import ConfigError

ROOT = Path(__file__).parents[3]
YAML = re.compile(r"^```yaml(?: (\S+))?\n(.*?)^```$", re.DOTALL | re.MULTILINE)
READ = "  t: {{transform: tabular.read, params: {{path: t.csv}}{}}}\n"


class Plain(yaml.SafeLoader):
    """Reads YAML as an editor does, with the scalars of YAML 1.2: dates, `on` and `yes` are texts."""


Plain.yaml_implicit_resolvers = {
    first: [
        (tag, pattern) for tag, pattern in found if tag not in {"tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:bool"}
    ]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Plain.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(?:true|false)$"), list("tf"))


def validator(project: Project, of: str) -> Draft202012Validator:
    done = project.fast("schema", of)
    assert (done.code, done.err) == (0, "")
    body = json.loads(done.out)
    Draft202012Validator.check_schema(body)
    return Draft202012Validator(body)


def wrong(schema: Draft202012Validator, text: str) -> list[str]:
    return [f"{list(e.absolute_path)}: {e.message}" for e in schema.iter_errors(yaml.load(text, Plain))]


def documents() -> list[Any]:
    """Return every YAML that users are shown: examples, pages, what `init` writes."""
    found = [
        pytest.param(p.read_text(), id=str(p.relative_to(ROOT))) for p in (ROOT / "examples/pipelines").glob("*.yaml")
    ]
    found.append(pytest.param((ROOT / "mmetl.yml").read_text(), id="mmetl.yml"))
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "mmetl/core/examples").glob("*.md")]
    for page in pages:
        for n, (_, body) in enumerate(YAML.findall(page.read_text())):
            text = body
            if "version:" not in body:
                text = "version: 1\nname: x\ntasks:\n" + "".join(f"  {line}\n" for line in body.splitlines())
            found.append(pytest.param(text, id=f"{page.name}-{n}"))
    return found


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Draft202012Validator]:
    project = Project(tmp_path_factory.mktemp("schemas"))
    return {of: validator(project, of) for of in ("pipeline", "project", "tests")}


@pytest.mark.parametrize("text", documents())
def test_every_yaml_that_is_shown_is_valid(schemas: dict[str, Draft202012Validator], text: str) -> None:
    """In the examples, in the documentation, and in what `mmetl init` writes."""
    of = "pipeline" if "\ntasks:" in text else "tests" if "\ntests:\n" in text else "project"
    assert wrong(schemas[of], text) == []


VALID = {
    "params": READ.format(""),
    "inputs as a list": READ.format("") + "  s: {transform: tabular.sql, inputs: [t], params: {sql: from t}}\n",
    "inputs as a mapping": READ.format("") + "  s: {transform: tabular.sql, inputs: {u: t}, params: {sql: from u}}\n",
    "key as text": READ.format(", key: id"),
    "key as a list": READ.format(", key: [id, day]"),
    "max_age": READ.format(", max_age: 12h"),
    "a list of paths": "  t: {transform: tabular.read, params: {path: [a.csv, b.csv]}}\n",
    "nested params": (
        "  t: {transform: tabular.read, key: id, params: {path: t.db, table: t, watermark: {column: id, lookback: 5}}}\n"
    ),
    "a whole number from a var": READ.format(', retries: "${var:n}"'),
    "true or false from a var": READ.format(', cache: "${var:really}"'),
    "a choice from the environment": '  t: {transform: tabular.read, params: {path: t.csv, format: "${FMT:-csv}"}}\n',
    "a matrix": '  t: {transform: tabular.read, matrix: {r: [a, 1]}, params: {path: "${matrix:r}.csv"}}\n',
    "a command as a list": "  t: {transform: shell.run, params: {command: [ls, -l]}}\n",
    "a view": READ.format("") + "  s: {transform: tabular.sql, materialize: view, params: {sql: from t}}\n",
}
INVALID = {
    "unknown key": READ.format(", retrys: 1"),
    "unknown param": "  t: {transform: tabular.read, params: {path: t.csv, colums: [a]}}\n",
    "no transform": "  t: {params: {path: t.csv}}\n",
    "unknown transform": "  t: {transform: tabular.raed, params: {path: t.csv}}\n",
    "a param is missing": "  t: {transform: tabular.read, params: {format: csv}}\n",
    "all params are missing": "  t: {transform: tabular.sql}\n",
    "a param of another type": "  t: {transform: tabular.read, params: {path: t.csv, header: [1]}}\n",
    "a choice that is none": "  t: {transform: tabular.read, params: {path: t.csv, format: xml}}\n",
    "nested unknown param": "  t: {transform: tabular.read, key: id, params: {path: t.db, table: t, watermark: {colum: id}}}\n",
    "a param of another transform": "  t: {transform: shell.run, params: {path: t.csv}}\n",
    "a bad name": "  T: {transform: tabular.read, params: {path: t.csv}}\n",
    "a name of a member": "  t@a: {transform: tabular.read, params: {path: t.csv}}\n",
    "a number below its limit": READ.format(", retries: -1"),
    "a bad duration": READ.format(", max_age: 3 days"),
    "a duration as a number": READ.format(", max_age: 3"),
    "inputs as text": READ.format("") + "  s: {transform: tabular.sql, inputs: t, params: {sql: from t}}\n",
    "an empty matrix": "  t: {transform: tabular.read, matrix: {r: []}, params: {path: t.csv}}\n",
    "a matrix without lists": "  t: {transform: tabular.read, matrix: {r: a}, params: {path: t.csv}}\n",
    "another materialize": READ.format(", materialize: tabel"),
}
HEAD = "version: 1\nname: p\nvars: {n: 2, really: true}\ntasks:\n"


@pytest.mark.parametrize("tasks", VALID.values(), ids=VALID.keys())
def test_what_the_loader_takes(empty: Project, schemas: dict[str, Draft202012Validator], tasks: str) -> None:
    """Both say that it is valid."""
    empty.write("pipeline.yaml", HEAD + tasks)
    done = empty.fast("validate")
    assert (done.code, done.err) == (0, "")
    assert wrong(schemas["pipeline"], HEAD + tasks) == []


@pytest.mark.parametrize("tasks", INVALID.values(), ids=INVALID.keys())
def test_what_the_loader_refuses(empty: Project, schemas: dict[str, Draft202012Validator], tasks: str) -> None:
    """Both say that it is invalid."""
    empty.write("pipeline.yaml", HEAD + tasks)
    assert empty.fast("validate").code == 3
    assert wrong(schemas["pipeline"], HEAD + tasks) != []


PROJECT_FILES = {
    "all": ("version: 1\nname: x\nroot: .\npipelines: [a.yaml]\nretention: {days: 1.5, builds: 2}\n", True),
    "from the environment": ("version: 1\nretention: {builds: '${KEEP:-3}'}\n", True),
    "no version": ("name: x\n", False),
    "another version": ("version: 2\n", False),
    "unknown key": ("version: 1\nretentoin: {days: 1}\n", False),
    "unknown inner key": ("version: 1\nretention: {day: 1}\n", False),
    "no build": ("version: 1\nretention: {builds: 0}\n", False),
}


@pytest.mark.parametrize(("text", "valid"), PROJECT_FILES.values(), ids=PROJECT_FILES.keys())
def test_project_files(empty: Project, schemas: dict[str, Draft202012Validator], text: str, valid: bool) -> None:
    """The schema and the loader agree."""
    empty.write("a.yaml", HEAD + READ.format(""))
    empty.write("mmetl.yml", text)
    assert empty.fast("validate").code == (0 if valid else 3)
    assert (wrong(schemas["project"], text) == []) is valid


TESTS = {
    "rows as a list": ("  t: {task: t, inputs: {u: [{x: 1}]}, expected: []}\n", True),
    "a table": ("  t: {task: t@a, inputs: {u: {rows: [], columns: {x: DATE}, key: [x]}}, fails: no}\n", True),
    "from the environment": ("  t: {task: t, ordered: '${ORDERED:-true}', expected: []}\n", True),
    "no task": ("  t: {expected: []}\n", False),
    "unknown key": ("  t: {task: t, expect: []}\n", False),
    "unknown inner key": ("  t: {task: t, inputs: {u: {row: []}}, expected: []}\n", False),
    "rows that are none": ("  t: {task: t, expected: [1]}\n", False),
    "a bad name": ("  T: {task: t, expected: []}\n", False),
}


@pytest.mark.parametrize(("text", "valid"), TESTS.values(), ids=TESTS.keys())
def test_files_of_tests(empty: Project, schemas: dict[str, Draft202012Validator], text: str, valid: bool) -> None:
    """The schema and the loader agree."""
    path = empty.write("mmetl_tests/a.yaml", f"version: 1\ntests:\n{text}")
    assert (wrong(schemas["tests"], path.read_text()) == []) is valid
    try:
        load_cases(path, root=empty.root)
    except ConfigError:
        assert not valid
    else:
        assert valid


def test_transforms_of_the_project_are_in_it(empty: Project) -> None:
    """Their params are checked like those of built-in ones."""
    empty.write(
        "own.py",
        "from pydantic import BaseModel\nfrom mmetl import register_transform\n"
        "class P(BaseModel):\n    limit: int\n"
        "@register_transform('local.late')\ndef late(inputs: dict, params: P): ...\n",
    )
    good = "version: 1\nname: p\nimports: [./own.py]\ntasks:\n  a: {transform: local.late, params: {limit: 3}}\n"
    empty.write("pipeline.yaml", good)
    schema = validator(empty, "pipeline")
    assert wrong(schema, good) == []
    for params in ("{limit: x}", "{}", "{limit: 3, more: 1}"):
        assert wrong(schema, good.replace("{limit: 3}", params)) != [], params


def test_every_param_has_a_description(schemas: dict[str, Draft202012Validator]) -> None:
    """Editors show it."""
    definitions = schemas["pipeline"].schema["$defs"]
    for name in BUILT_IN:
        for key, said in definitions[f"params of {name}"]["properties"].items():
            assert said.get("description"), (name, key)
    for key, said in definitions["TaskSpec"]["properties"].items():
        assert said.get("description") or key == "description", key


def test_unknown_schema(empty: Project) -> None:
    """There are three."""
    assert empty.fast("schema", "nothing").code == 2


def test_without_packages(empty: Project) -> None:
    """A transform that needs a package which is not installed is a known name."""
    code = "import sys; sys.modules['numpy'] = None; sys.argv = ['mmetl', 'schema', 'pipeline']; from mmetl.__main__ import main; sys.exit(main())"
    done = empty.command("python", "-c", code)
    assert (done.code, done.err) == (0, "")
    made = json.loads(done.out)["$defs"]
    assert "cross.link_entities" in done.out
    assert "params of cross.link_entities" not in made
    assert "params of shell.run" in made
