"""TPC-H as one pipeline: the 22 queries by mmETL, beside the same by DuckDB alone. See ../README.md.

    python benchmarks/tpch/run.py --data FOLDER [--work FOLDER] [--dbt ENVIRONMENT/bin/dbt]

FOLDER holds the eight tables as NAME.parquet, as `tpchgen-cli parquet -s 1 --output-dir FOLDER` writes them.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

TABLES = ("customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier")
MB = 1024


def queries() -> dict[str, str]:
    """Return the queries by name."""
    text = Path(__file__).with_name("queries.sql").read_text()
    names_and_texts = re.split(r"^-- (q\d\d)\n", text, flags=re.MULTILINE)[1:]
    return dict(zip(names_and_texts[::2], names_and_texts[1::2], strict=True))


def write_project(root: Path, data: Path) -> None:
    """Write the pipeline: eight reads and 22 queries."""
    lines = ["version: 1", "name: tpch", "tasks:"]
    for name in TABLES:
        lines.append(f"  {name}: {{transform: tabular.read, params: {{path: data/{name}.parquet}}}}")
        (root / "data").mkdir(parents=True, exist_ok=True)
        shutil.copy(data / f"{name}.parquet", root / "data")
    for name, sql in queries().items():
        lines += [f"  {name}:", "    transform: tabular.sql", "    params:", "      sql: |"]
        lines += [f"        {line}" for line in sql.strip().splitlines()]
    (root / "tpch.yaml").write_text("\n".join(lines) + "\n")


def by_hand(root: Path, out: Path) -> None:
    """Do the same work with DuckDB alone: copy the tables, run the queries over the copies, write sorted Parquet."""
    import duckdb

    out.mkdir(exist_ok=True)
    options = "(format parquet, compression zstd)"
    db = duckdb.connect()
    for name in TABLES:
        db.execute(f"copy (from '{root}/data/{name}.parquet') to '{out}/{name}.parquet' {options}")
        db.execute(f"create view {name} as from '{out}/{name}.parquet'")
    for name, sql in queries().items():
        ordered = " order by " in sql.rpartition(")")[2]
        query = sql if ordered else f"select * from ({sql}) order by all"
        db.execute(f"copy ({query}) to '{out}/{name}.parquet' {options}")


def measured(label: str, argv: Sequence[str], cwd: Path) -> float:
    """Run a program; print and return its CPU seconds, with wall time and peak memory."""
    started = time.perf_counter()
    process = subprocess.Popen(argv, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{label}: {said.decode()}")
    cpu = used.ru_utime + used.ru_stime
    print(f"| {label} | {cpu:.2f} | {time.perf_counter() - started:.2f} | {used.ru_maxrss / MB:.0f} |")
    return cpu


def measure_dbt(dbt: str, root: Path) -> None:
    """Measure the same by dbt, in a folder of its own."""
    from dbt_peer import commands, write_dbt

    write_dbt(root, root.parent / "data", TABLES, queries())
    for title, argv in commands(dbt).items():
        measured(title, argv, root)
        if not (root / "before").exists():
            shutil.copytree(root / "target", root / "before")


def differing(found: Path, wanted: Path) -> list[str]:
    """Return the queries of which two folders of Parquet files have other rows."""
    import duckdb

    def rows(file: Path) -> list[tuple[str, ...]]:
        return sorted(tuple(map(_plain, r)) for r in duckdb.sql(f"from '{file}'").fetchall())

    return [name for name in queries() if rows(found / f"{name}.parquet") != rows(wanted / f"{name}.parquet")]


def compare(root: Path, out: Path) -> None:
    """Compare every result with the one by hand, row by row."""
    import duckdb

    for name in queries():
        shown = subprocess.run(["mmetl", "show", name, "--json"], cwd=root, check=True, capture_output=True, text=True)
        rows = [tuple(map(_plain, json.loads(line).values())) for line in shown.stdout.splitlines()]
        wanted = [tuple(map(_plain, r)) for r in duckdb.sql(f"from '{out}/{name}.parquet'").fetchall()]
        if sorted(rows) != sorted(wanted):
            sys.exit(f"{name}: {len(rows)} rows differ from the {len(wanted)} by hand")
    print(f"\nAll {len(queries())} results are equal.")


def _plain(value: object) -> str:
    try:
        return f"{float(str(value)):.6g}"
    except ValueError:
        return str(value)


def main() -> None:
    """Measure: by hand, full run, no-op, one changed source file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("tpch-work"))
    parser.add_argument("--dbt", help="the program of an environment with dbt-core and dbt-duckdb")
    parser.add_argument("--by-hand", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    root, out = given.work.resolve(), given.work.resolve() / "by-hand"
    if given.by_hand:
        by_hand(root, out)
        return
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    write_project(root, given.data)
    (root / "mmetl.yml").write_text("version: 1\npipelines: [tpch.yaml]\n")
    hand = [sys.executable, __file__, "--by-hand", "--data", str(given.data), "--work", str(root)]
    print("| | CPU s | wall s | peak MB |\n|---|---|---|---|")
    measured("DuckDB by hand", hand, root)
    measured("mmetl run", ["mmetl", "run"], root)
    measured("mmetl run, no-op", ["mmetl", "run"], root)
    with (root / "tpch.yaml").open() as f:
        text = f.read()
    (root / "tpch.yaml").write_text(text.replace("data/region.parquet", "data/region2.parquet"))
    _one_row_less(root)
    measured("mmetl run, one source changed (region)", ["mmetl", "run"], root)
    status = json.loads(subprocess.run(["mmetl", "status", "--json"], cwd=root, check=True, capture_output=True).stdout)
    print("\nran:", ", ".join(t["task"] for t in status["tasks"] if t["outcome"] == "ran"))
    (root / "tpch.yaml").write_text(text)
    measured("mmetl run, changed back (restored)", ["mmetl", "run"], root)
    compare(root, out)
    if given.dbt:
        print("\n| | CPU s | wall s | peak MB |\n|---|---|---|---|")
        measure_dbt(str(Path(given.dbt).resolve()), root / "dbt")
        print("\ndiffering from by hand:", ", ".join(differing(root / "dbt/out", out)) or "none")


def _one_row_less(root: Path) -> None:
    import duckdb

    source, target = root / "data/region.parquet", root / "data/region2.parquet"
    duckdb.sql(f"copy (from '{source}' where r_name <> 'AFRICA') to '{target}'")


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
