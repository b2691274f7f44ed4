"""What checks cost: a task of many rows without them, with each of them alone, and with all of them together.

Every run starts in a new project; runs take turns, and each figure is the median of the rounds.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb

BIN = Path(sys.executable).parent
ROWS = """
copy (
  select n as id, (n * 7919) % {rows} as number, (hash(n) >> 1)::bigint as sparse,
    md5(n::varchar) as code, 'order-' || lpad(n::varchar, 9, '0') as name, (hash(n, 1) % 1000000)::bigint as customer,
    ['open', 'sent', 'paid'][(1 + hash(n, 2) % 3)::int] as state, (hash(n, 3) % 1000000 / 100)::decimal(10, 2) as total,
    (hash(n, 5) % 1000000 / 100)::double as weight, ['FR', 'DE', 'GB', 'US'][(1 + hash(n, 4) % 4)::int] as country,
    timestamp '2024-01-01' + to_seconds((hash(n, 6) % 31536000)::int) as at
  from (select range as n from range({rows}))
) to '{path}' (format parquet)
"""
CHECKS = {
    "not_null": "{not_null: [id, state, total]}",
    "accepted_values": "{accepted_values: {column: state, values: [open, sent, paid]}}",
    "range": "{range: {column: total, min: 0, max: 10000}}",
    "regex": '{regex: {column: country, pattern: "^[A-Z]{2}$"}}',
    "row_count": "{row_count: {min: 1}}",
    "freshness": "{freshness: {column: at, max_age: 9999w}}",
    "sql": "{sql: select * from this where total < 0}",
    "relationship": "{relationship: {column: country, to: countries.code}}",
    "unique id (ascending)": "{unique: id}",
    "unique number (shuffled)": "{unique: number}",
    "unique name (ascending text)": "{unique: name}",
    "unique sparse (64 bits)": "{unique: sparse}",
    "unique code (random text)": "{unique: code}",
}
PIPELINE = """\
version: 1
name: bench
tasks:
  countries:
    transform: tabular.read
    params: {{path: countries.csv}}
  orders:
    transform: tabular.read
    params: {{path: orders.parquet}}
{expect}
"""


def run(source: Path, expect: list[str]) -> tuple[float, float]:
    """Return the wall time and CPU time of a run with these checks."""
    with tempfile.TemporaryDirectory(dir=source.parent) as folder:
        os.link(source, f"{folder}/orders.parquet")
        Path(folder, "countries.csv").write_text("code,name\nFR,a\nDE,b\nGB,c\nUS,d\n")
        said = f"    expect: [{', '.join(expect)}]" if expect else ""
        Path(folder, "pipeline.yaml").write_text(PIPELINE.format(expect=said))
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run([BIN / "mmetl", "run"], cwd=folder, check=True, capture_output=True)
        wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print a table of what each check adds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="checks whose names begin so")
    options = parser.parse_args()
    cases = {"no check": []} | {n: [c] for n, c in CHECKS.items() if n.startswith(options.only)}
    if not options.only:
        cases["all but unique"] = [c for n, c in CHECKS.items() if not n.startswith("unique")]
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "source.parquet")
        duckdb.sql(ROWS.format(rows=options.rows, path=source))
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
        for _ in range(options.rounds):
            for name, expect in cases.items():
                found[name].append(run(source, expect))
    base = [statistics.median(r[i] for r in found["no check"]) for i in (0, 1)]
    print("| | wall s | more | CPU s | more |\n|---|---|---|---|---|")
    for name, runs in found.items():
        wall, cpu = (statistics.median(r[i] for r in runs) for i in (0, 1))
        print(f"| {name} | {wall:.2f} | {wall / base[0] - 1:+.1%} | {cpu:.2f} | {cpu / base[1] - 1:+.1%} |")


if __name__ == "__main__":
    main()
