"""What a command imports: a run with nothing to do must not pay for what it does not use."""

from __future__ import annotations

import json

import pytest
from harness import Project, grow_old

HEAVY = ["duckdb", "pyarrow", "doit", "pydantic", "sqlite_utils", "rich", "lancedb", "neo4j"]
SHOW = """
import json, sys
sys.argv = json.loads(sys.argv[1])
from mmetl.__main__ import main
try:
    code = main()
except SystemExit as e:
    code = e.code or 0
print(json.dumps([code, sorted({name.split(".")[0] for name in sys.modules})]), file=sys.stderr)
"""


def imported(project: Project, *argv: str) -> set[str]:
    """Return the top-level modules that a command has imported."""
    done = project.command("python", "-c", SHOW, json.dumps(["mmetl", *argv]))
    code, modules = json.loads(done.err.splitlines()[-1])
    assert code == 0, done.err
    return set(modules)


@pytest.mark.parametrize("argv", [["--help"], ["run", "--help"], ["--version"]])
def test_help_is_light(project: Project, argv: list[str]) -> None:
    """`--help` loads no engine."""
    assert imported(project, *argv) & set(HEAVY) == set()


@pytest.mark.parametrize(
    "argv",
    [
        *(["run"], ["run", "--json"], ["run", "pipeline.yaml"], ["dry-run"], ["status"], ["why", "first"]),
        *(["runs"], ["logs"], ["list"], ["graph"], ["graph", "--format", "svg"]),
    ],
)
def test_no_op_is_light(project: Project, argv: list[str]) -> None:
    """Where everything is fresh neither YAML nor doit nor an engine is loaded."""
    grow_old()
    project.run()
    assert imported(project, *argv) & {*HEAVY, "yaml"} == set()


def test_bare_no_op_does_without_typer(project: Project) -> None:
    """It is over before Typer would be imported."""
    grow_old()
    project.run()
    assert imported(project, "run") & {"typer", "click", "asyncio", "subprocess"} == set()
    assert "typer" in imported(project, "run", "--json")


def test_no_op_with_a_project_file_is_light(project: Project) -> None:
    """`mmetl.yml` is not parsed again while it is what it was."""
    project.write("mmetl.yml", "version: 1\n")
    grow_old()
    project.run()
    assert imported(project, "run") & {*HEAVY, "yaml"} == set()


def test_edit_of_a_table_loads_no_parser(empty: Project) -> None:
    """What a query is was found out when the pipeline was planned."""
    empty.tasks(
        "  rows: {transform: tabular.read, params: {path: rows.csv}, key: [id]}\n"
        "  sums: {transform: tabular.sql, params: {sql: 'select sum(n) as n from rows'}}\n"
        "  big: {transform: tabular.filter, inputs: [rows], params: {where: n > 1}}\n"
        "  out: {transform: tabular.write, inputs: [sums], params: {path: out.csv}}\n"
    )
    empty.write("rows.csv", "id,n\n1,1\n")
    grow_old()
    empty.run()
    empty.write("rows.csv", "id,n\n1,2\n")
    loaded = imported(empty, "run")
    assert empty.read("out.csv") == "n\n2\n"
    assert "duckdb" in loaded
    assert loaded & {"sqlglot", "yaml", "typer", "rich", "sqlite_utils", "pandas", "polars"} == set()


def test_edit_of_a_graph_loads_its_own_database_only(empty: Project) -> None:
    """Its rows are given in a form for which the database looks for no library of tables; where nothing is queried, DuckDB stays away."""
    pytest.importorskip("ladybug")
    ends = ["_source_label", "_source", "_target_label", "_target"]
    types = ", ".join(f"{end}: varchar" for end in ends)
    empty.tasks(
        f"  kg: {{transform: tabular.read, params: {{path: kg.csv, types: {{{types}}}}}, key: [_kind, _label, _key]}}\n"
        "  graph: {transform: graph.load, inputs: [kg], params: {path: graph/}}\n"
    )
    empty.write("kg.csv", f"_kind,_label,_key,name,{','.join(ends)}\nnode,City,one,Rome,,,,\n")
    grow_old()
    empty.run()
    empty.edit("kg.csv", "Rome", "Roma")
    assert empty.run("--select", "kg") == {"kg": "ran"}
    loaded = imported(empty, "run")
    assert "ladybug" in loaded
    assert loaded & {"duckdb", "polars", "pandas", "sqlglot", "yaml"} == set()


def test_command_pipeline_needs_no_tabular_library(project: Project) -> None:
    """`shell.run` and `python.run` work without the extra."""
    assert imported(project, "run") & {"duckdb", "pyarrow", "sqlglot", "rich"} == set()


def test_numpy_starts_no_threads(empty: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a transform requires it: a BLAS would start one for each core."""
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    required = "import os; from mmetl.engines.packages import require; require('tabular', 'numpy')"
    done = empty.command("python", "-c", f"{required}; print(len(os.listdir('/proc/self/task')))")
    assert done.out == "1\n"


@pytest.mark.parametrize(("statement", "light"), [("import mmetl", True), ("from mmetl import Project", False)])
def test_importing_the_package_is_light(project: Project, statement: str, light: bool) -> None:
    """`import mmetl` costs nothing; `Project` is imported when it is named, and still without engines."""
    show = f"import sys; {statement}; print(sorted(sys.modules))"
    done = project.command("python", "-c", show)
    modules = set(json.loads(done.out.replace("'", '"')))
    assert {m.split(".")[0] for m in modules} & {*HEAVY, "yaml", "pandas", "polars", "typer"} == set()
    assert ({m for m in modules if m.startswith("mmetl")} == {"mmetl"}) is light
