"""The same work as a dbt project with the adapter for DuckDB: eight copies and 22 queries, each a model written to Parquet.

dbt decides by the text of models (`state:modified+`), not by data: that a source file has changed, whoever runs it must know.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

PROJECT = """\
name: tpch
version: "1.0"
profile: tpch
flags: {send_anonymous_usage_stats: false}
models:
  tpch: {+materialized: external, +format: parquet, +options: {compression: zstd}}
"""
PROFILES = "tpch: {target: dev, outputs: {dev: {type: duckdb, path: tpch.duckdb, threads: 1, external_root: out}}}\n"


def write_dbt(root: Path, data: Path, tables: Sequence[str], queries: Mapping[str, str]) -> None:
    """Write the project: results are sorted as by hand."""
    (root / "models").mkdir(parents=True)
    (root / "out").mkdir()
    (root / "dbt_project.yml").write_text(PROJECT)
    (root / "profiles.yml").write_text(PROFILES)
    for name in tables:
        (root / f"models/{name}.sql").write_text(f"select * from '{data}/{name}.parquet'\n")
    for name, sql in queries.items():
        ordered = " order by " in sql.rpartition(")")[2]
        query = sql.strip() if ordered else f"select * from (\n{sql.strip()}\n) order by all"
        read = [t for t in tables if re.search(rf"\b{t}\b", sql)]
        refs = "".join(f"-- depends_on: {{{{ ref('{t}') }}}}\n" for t in read)
        (root / f"models/{name}.sql").write_text(f"{refs}{query}\n")


def commands(dbt: str) -> dict[str, list[str]]:
    """Return what is measured: title -> command, run in the project's folder."""
    run = [dbt, "run", "--profiles-dir", ".", "--quiet"]
    return {
        "dbt run": run,
        "dbt run again": run,
        "dbt run --select state:modified+, nothing modified": [
            *run,
            "--select",
            "state:modified+",
            "--state",
            "before",
        ],
        "dbt run --select region+, named by hand": [*run, "--select", "region+"],
    }
