"""Make the CSV files beside this script from the texts of the PEPs.

Usage: python extract_peps.py FOLDER

FOLDER holds the `pep-NNNN.rst` files of https://github.com/python/peps. Only the headers are read. E-mail addresses are
left out.
"""

from __future__ import annotations

import csv
import datetime as dt
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

HERE = Path(__file__).parent
HEADER = re.compile(r"([A-Za-z-]+):\s*(.*)")
ADDRESS = re.compile(r"<[^>]*>|\S+@\S+|[()]")
SUFFIXES = {"Jr.", "III"}  # follow a comma, and belong to the name before it
COLUMNS = ("number", "title", "status", "type", "created", "python_version", "authors")


def headers(text: str) -> dict[str, str]:
    """Return the fields at the top of a PEP; a line that begins with white space continues the one before it."""
    found: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if not line.strip():
            break
        if line[0].isspace():
            found[name] += " " + line.strip()
        elif field := HEADER.match(line):
            name = field[1]
            found[name] = field[2].strip()
    return found


def authors(field: str) -> list[str]:
    """Return the names in an author field, in their order.

    >>> authors("Barry Warsaw <b@example.org>, Fred L. Drake, Jr. <f@example.org>")
    ['Barry Warsaw', 'Fred L. Drake, Jr.']
    """
    names: list[str] = []
    for piece in ADDRESS.sub(" ", field).split(","):
        name = " ".join(piece.split())
        if name in SUFFIXES:
            names[-1] += f", {name}"
        elif name and name not in names:
            names.append(name)
    return names


def row(found: dict[str, str]) -> tuple[object, ...]:
    """Return one PEP as a row of COLUMNS."""
    created = dt.datetime.strptime(found["Created"], "%d-%b-%Y").date()  # noqa: DTZ007  a date has no time zone
    versions = found.get("Python-Version", "")
    count = len(authors(found["Author"]))
    return (int(found["PEP"]), found["Title"], found["Status"], found["Type"], created.isoformat(), versions, count)


def write(path: Path, names: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write one CSV file, UTF-8, with line feeds."""
    with path.open("w", encoding="utf-8", newline="") as f:
        lines = csv.writer(f, lineterminator="\n")
        lines.writerow(names)
        lines.writerows(rows)


def main(folder: Path) -> None:
    """Write one file for each type of PEP, and the authors of all of them."""
    found = [headers(p.read_text(encoding="utf-8")) for p in folder.glob("pep-[0-9]*.rst")]
    found.sort(key=lambda h: int(h["PEP"]))
    (HERE / "peps").mkdir(exist_ok=True)
    for kind in sorted({h["Type"] for h in found}):
        name = kind.lower().replace(" ", "-")
        write(HERE / "peps" / f"{name}.csv", COLUMNS, (row(h) for h in found if h["Type"] == kind))
    pairs = ((int(h["PEP"]), name) for h in found for name in authors(h["Author"]))
    write(HERE / "pep_authors.csv", ("number", "author"), pairs)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
