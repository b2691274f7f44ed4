"""Project-local code of the example: a function over Arrow tables, and one that writes a report."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pyarrow as pa

VERSION = re.compile(r"(\d+)\.(\d+)")


def first_release(versions: str | None) -> tuple[int, int] | None:
    """Return the first release that a PEP names: (2, 6) for `2.6, 3.0`."""
    found = VERSION.search(versions or "")
    return (int(found[1]), int(found[2])) if found else None


def add_release(peps: pa.Table) -> pa.Table:
    """Add the columns `major` and `minor`; both are null where a PEP names no release."""
    releases = [first_release(v) for v in peps["python_version"].to_pylist()]
    for n, name in enumerate(("major", "minor")):
        peps = peps.append_column(name, pa.array([r and r[n] for r in releases], pa.int32()))
    return peps


def write_report(decades: str, authors: str, path: str) -> None:
    """Write a short Markdown report from two CSV files."""
    lines = ["# PEPs", "", "## By decade", "", *table(decades), "", "## Authors of most PEPs", "", *table(authors), ""]
    Path(path).write_text("\n".join(lines), encoding="utf-8")
    print(f"{len(lines)} lines written")  # mmetl logs latest report


def table(path: str) -> list[str]:
    """Return a CSV file as the lines of a Markdown table."""
    with open(path, encoding="utf-8", newline="") as f:
        rows = list(csv.reader(f))
    rows.insert(1, ["---"] * len(rows[0]))
    return [f"| {' | '.join(row)} |" for row in rows]
