"""The documentation is run and compared: commands, outputs, options, keys and params."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer

from mmetl.cli.main import app
from mmetl.config.cases import Case, CaseFile
from mmetl.config.connections import Neo4jConnection
from mmetl.config.project_file import ProjectFile, Retention
from mmetl.config.schema import Pipeline, TaskSpec
from mmetl.core.registry import BUILT_IN, load

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md")), *ROOT.glob("*/README.md")]
FENCE = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\((?!https?://)([^)#]+)(?:#[^)]*)?\)")

# What differs from run to run: ids, times, durations, keys of builds.
VARYING = (
    (re.compile(r"\b\d{8}-\d{6}-[0-9a-f]{4}\b"), "RUN"),
    (re.compile(r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"), "TIME"),
    (re.compile(r" +\d+\.\d\d s\b"), " SECONDS"),
    (re.compile(r"\b[0-9a-f]{12} of TIME"), "BUILD"),
)


def stable(text: str) -> str:
    for pattern, word in VARYING:
        text = pattern.sub(word, text)
    return text


def sessions(text: str) -> list[tuple[str, str]]:
    """Return (command, output) of every `$ command` in the console blocks of a page."""
    found = []
    for kind, _, body in FENCE.findall(text):
        if kind == "console":
            for piece in body.split("$ ")[1:]:
                command, _, output = piece.partition("\n")
                found.append((command, output))
    return found


def write_files(text: str, folder: Path) -> None:
    """Write every block that names a file."""
    for _, path, body in FENCE.findall(text):
        if path:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(body, encoding="utf-8")


def shell(command: str, folder: Path) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path}
    done = subprocess.run(
        ["sh", "-c", f"{command} 2>&1"], cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=60
    )
    return done.stdout


def test_the_readme_prints_what_its_commands_print(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    write_files(text, tmp_path)
    shown = sessions(text)
    assert len(shown) >= 10
    assert [(c, stable(shell(c, tmp_path))) for c, _ in shown] == [(c, stable(output)) for c, output in shown]


def test_the_page_of_tests_prints_what_its_commands_print(tmp_path: Path) -> None:
    text = (REFERENCE / "tests.md").read_text(encoding="utf-8")
    write_files(text, tmp_path)
    shown = sessions(text)
    assert len(shown) == 2
    assert [(c, shell(c, tmp_path)) for c, _ in shown] == shown
    for model, heading in ((CaseFile, "## Files"), (Case, "## A test")):
        table = text.partition(f"{heading}\n")[2].partition("\n\nA row is")[0].partition("\n## ")[0]
        assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(model.model_fields)


def test_generated_pages_are_up_to_date() -> None:
    """Mend it with: python docs/generate.py."""
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec
    assert spec.loader
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    for page in REFERENCE.glob("*.md"):
        text = page.read_text(encoding="utf-8")
        assert text == generate.filled(text), page.name


def test_every_command_and_option_is_documented_and_has_help() -> None:
    text = (REFERENCE / "cli.md").read_text(encoding="utf-8")
    group = typer.main.get_command(app)
    for name, command in group.commands.items():
        section = text.partition(f"### `mmetl {name}")[2].partition("### ")[0]
        assert section, name
        assert "Example: mmetl" in command.help, name
        for param in command.params:
            assert param.help, (name, param.name)
            assert all(f"`{opt}" in section for opt in param.opts if opt.startswith("-")), (name, param.name)


@pytest.mark.parametrize(
    ("model", "heading"),
    [
        (Pipeline, "## A pipeline"),
        (TaskSpec, "## A task"),
        (ProjectFile, "## The project file"),
        (Neo4jConnection, "## Connections"),
    ],
)
def test_every_config_key_is_documented(model: type[Pipeline], heading: str) -> None:
    section = (REFERENCE / "config.md").read_text(encoding="utf-8").partition(f"{heading}\n")[2].partition("\n## ")[0]
    told = re.findall(r"^\| `([\w.]+)` \|", section, re.MULTILINE)
    inner = [f"retention.{name}" for name in Retention.model_fields] if model is ProjectFile else []
    assert told == [*model.model_fields, *inner]


def test_every_transform_is_documented() -> None:
    text = (REFERENCE / "transforms.md").read_text(encoding="utf-8")
    assert re.findall(r"^## `([\w.]+)`$", text, re.MULTILINE) == sorted(BUILT_IN)
    for name in BUILT_IN:
        section = text.partition(f"## `{name}`\n")[2].partition("\n## ")[0]
        assert f"<!-- generated: params {name} -->" in section
        assert "```yaml" in section, f"{name} has no example"
        for key, field in load(BUILT_IN[name]).params.model_fields.items():
            assert field.description, (name, key)


@pytest.mark.parametrize(
    "name", [n for n in BUILT_IN if str(getattr(load(BUILT_IN[n]), "grain", "")).startswith("item")]
)
def test_the_grain_of_each_item_wise_transform_is_told(name: str) -> None:
    """How finely it skips, what it reads and makes (a target writes), and what one change costs."""
    text = (REFERENCE / "transforms.md").read_text(encoding="utf-8")
    section = text.partition(f"## `{name}`\n")[2].partition("\n## ")[0]
    told = re.search(r"^Grain: (?:item|bucket)\b.*?(?:\n\n|\Z)", section, re.MULTILINE | re.DOTALL)
    assert told, name
    words = " ".join(told[0].split())
    assert "Reads " in words
    assert any(word in words for word in ("make", "writ")), words
    assert re.search(r"[Oo]ne changed \w+", words), words


def test_examples_of_transforms_are_valid(tmp_path: Path) -> None:
    """Each example is a list of tasks; together they are one pipeline."""
    text = (REFERENCE / "transforms.md").read_text(encoding="utf-8")
    blocks = [body for kind, path, body in FENCE.findall(text) if kind == "yaml" and not path]
    assert len(blocks) >= len(BUILT_IN)
    write_files(text, tmp_path)
    tasks = "".join(f"  {line}\n" if line else "\n" for body in blocks for line in body.splitlines())
    (tmp_path / "pipeline.yaml").write_text(f"version: 1\nname: examples\nimports: [./transforms.py]\ntasks:\n{tasks}")
    assert shell("mmetl validate", tmp_path) == f"examples: valid, {len(re.findall('transform:', tasks))} tasks\n"


def test_the_example_of_config_is_valid(tmp_path: Path) -> None:
    text = (REFERENCE / "config.md").read_text(encoding="utf-8")
    pipeline, project, connections = (body for kind, _, body in FENCE.findall(text) if kind == "yaml")
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "late.yaml").write_text(pipeline)
    (tmp_path / "transforms.py").write_text("")
    for said in (project, connections):
        (tmp_path / "mmetl.yml").write_text(said)
        assert shell("mmetl validate", tmp_path) == "late_flights: valid, 3 tasks\n"


def test_the_json_of_a_run_has_the_documented_fields(tmp_path: Path) -> None:
    import json

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    write_files(readme, tmp_path)
    page = (REFERENCE / "json.md").read_text(encoding="utf-8")
    section = page.partition("\n## `run`")[2].partition("\n## ")[0]
    told = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    example = json.loads(next(body for kind, _, body in FENCE.findall(page) if kind == "json"))
    run = json.loads(shell("mmetl run --json", tmp_path))
    assert [*run, *run["tasks"][0]] == told == [*example, *example["tasks"][0]]
    kinds = {name: type(value) for name, value in run["tasks"][0].items()}
    assert kinds == {name: type(value) for name, value in example["tasks"][0].items()}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert [link for link in LINK.findall(text) if not (page.parent / link).exists()] == []


def test_the_glossary_is_sorted() -> None:
    text = (REFERENCE / "glossary.md").read_text(encoding="utf-8")
    words = re.findall(r"^\| ([a-z][\w ]+?) \|", text, re.MULTILINE)[1:]  # the first is the table's head
    assert len(words) > 20
    assert words == sorted(words)


def test_the_readme_names_files_that_are_there() -> None:
    reading = (ROOT / "README.md").read_text(encoding="utf-8").partition("To read the code")[2]
    named = re.findall(r"`((?:mmetl/|core/|cache/|config/)[\w/.]+)`", reading)
    assert len(named) >= 10
    assert [n for n in named if not (ROOT / n).exists() and not (ROOT / "mmetl" / n).exists()] == []


def test_every_extra_is_told() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    told = readme.partition("\n`all` is ")[2].partition(" tells which packages")[0]
    whole, _, others = told.partition(". Not in it")
    within = sorted(re.findall(r"[\w-]+", extras["all"][0].partition("[")[2]))
    assert sorted(re.findall(r"`([\w-]+)`", whole)) == within
    named = re.findall(r"`([\w-]+)`", others.partition(". ")[0])
    assert sorted([*named, *within, "all", "dev"]) == sorted(extras)
    table = (REFERENCE / "transforms.md").read_text(encoding="utf-8").partition("| extra |")[2].partition("\n\n")[0]
    assert all(f"`{extra}`" in table for extra in extras.keys() - {"all", "dev", "tabular", "pandas", "polars"})
