"""The example project: its data are as described, its answers are true, and the demo keeps its promises."""

from __future__ import annotations

import csv
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path
from types import ModuleType

import pytest
from harness import Project

ROOT = Path(__file__).parents[2]
DATA = ROOT / "examples" / "data"
BIN = Path(sys.executable).parent
LARGEST_BYTES = 800_000  # of all data together: a clone should stay small


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as f:
        return list(csv.DictReader(f))


def peps() -> list[dict[str, str]]:
    return [row for path in sorted((DATA / "peps").glob("*.csv")) for row in rows(path)]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the example in a copy; return the folder of its outputs."""
    copy = tmp_path_factory.mktemp("example")
    shutil.copytree(ROOT / "examples", copy / "examples", ignore=shutil.ignore_patterns("out", "__pycache__"))
    shutil.copy(ROOT / "mmetl.yml", copy)
    command = [BIN / "mmetl", "run", "examples/pipelines/tabular_only.yaml", "--var", "min_peps=12"]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return copy / "examples" / "out"


QUESTIONS = {
    "how does python find the module to import": ("0302", "0328", "0338", "0420", "0405"),
    "writing int | str instead of Union": ("0604",),
    "beautiful is better than ugly": ("0020",),
    "context-local state for asynchronous code": ("0567",),
    "remove a prefix from a string": ("0616",),
    "match statement with literal patterns": ("0634", "0636"),
    "formatted string literals": ("0498",),
}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Run the example of texts in a copy."""
    copy = tmp_path_factory.mktemp("library")
    shutil.copytree(ROOT / "examples", copy / "examples", ignore=shutil.ignore_patterns("out", "__pycache__"))
    shutil.copy(ROOT / "mmetl.yml", copy)
    project = Project(copy)
    done = project.mmetl("run", "examples/pipelines/docs_search.yaml")
    assert done.code == 0, done.err
    return project


@pytest.mark.parametrize("question", QUESTIONS)
def test_questions_find_the_proposal_that_answers_them(library: Project, question: str) -> None:
    (hit,) = library.fast("search", "vectors", question, "-k", "1", "--json").json()["hits"]
    number = re.findall(r"pep-(\d+)\.rst", hit["row"]["path"])[0]
    assert number in QUESTIONS[question]


def test_headers_are_as_the_texts_say(library: Project) -> None:
    shown = library.fast("show", "headers", "--json", "--limit", "0").out
    found = {r["path"]: r for r in map(json.loads, shown.splitlines())}
    assert len(found) == len(list((DATA / "pep_texts").iterdir()))
    listed = {int(p["number"]): p for p in peps()}
    for row in found.values():
        pep = listed[int(row["number"])]
        assert (row["title"], row["status"]) == (pep["title"], pep["status"])


def test_decades_are_as_counted_by_hand(outputs: Path) -> None:
    status: dict[int, Counter[str]] = defaultdict(Counter)
    for pep in peps():
        status[int(pep["created"][:3]) * 10][pep["status"]] += 1
    expected = [
        {
            "decade": str(decade),
            "total": str(found.total()),
            "final": str(found["Final"]),
            "turned_down": str(found["Rejected"] + found["Withdrawn"]),
            "final_percent": str(round(100 * found["Final"] / found.total())),
        }
        for decade, found in sorted(status.items())
    ]
    assert rows(outputs / "decades.csv") == expected


def test_prolific_authors_are_as_counted_by_hand(outputs: Path) -> None:
    by_number = {pep["number"]: pep for pep in peps()}
    works = defaultdict(list)
    for pair in rows(DATA / "pep_authors.csv"):
        works[pair["author"]].append(by_number[pair["number"]])
    expected = [
        {
            "author": author,
            "total": str(len(own)),
            "final": str(sum(pep["status"] == "Final" for pep in own)),
            "first_year": min(pep["created"][:4] for pep in own),
            "last_year": max(pep["created"][:4] for pep in own),
        }
        for author, own in sorted(works.items(), key=lambda item: (-len(item[1]), item[0]))
        if len(own) >= 12
    ]
    assert rows(outputs / "prolific.csv") == expected


def test_releases_are_as_counted_by_hand(outputs: Path) -> None:
    firsts = (
        re.search(r"(\d+)\.(\d+)", pep["python_version"])
        for pep in peps()
        if (pep["status"], pep["type"]) == ("Final", "Standards Track")
    )
    total = Counter(int(first[2]) for first in firsts if first and first[1] == "3")
    assert rows(outputs / "releases.csv") == [{"minor": str(m), "total": str(n)} for m, n in sorted(total.items())]


def test_the_report_holds_both_tables(outputs: Path) -> None:
    lines = (outputs / "report.md").read_text(encoding="utf-8").splitlines()
    for name in ("decades.csv", "prolific.csv"):
        header, *body = [f"| {' | '.join(row)} |" for row in csv.reader((outputs / name).read_text().splitlines())]
        at = lines.index(header)
        assert lines[at + 2 : at + 2 + len(body)] == body


def test_the_data_are_as_their_readme_says() -> None:
    text = (DATA / "README.md").read_text(encoding="utf-8")
    told = {
        name: int(n.replace(",", "")) for name, n in re.findall(r"^\| `([\w./-]+)` \| ([\d,]+) \|", text, re.MULTILINE)
    }
    files = [*(DATA / "peps").glob("*.csv"), DATA / "pep_authors.csv"]
    assert told == {path.relative_to(DATA).as_posix(): len(rows(path)) for path in files}
    assert f"{len(peps())} of them" in text
    texts = sorted((DATA / "pep_texts").iterdir())
    assert f"`pep_texts/*.rst` | {len(texts)} files" in text
    assert all(re.search("public\\s+domain|CC0", path.read_text(encoding="utf-8"), re.IGNORECASE) for path in texts)
    assert sum(path.stat().st_size for path in (*files, *texts)) < LARGEST_BYTES
    for path in files:
        numbers = [int(row["number"]) for row in rows(path)]
        assert numbers == sorted(numbers)
        assert re.findall(r"\w@\w", path.read_text(encoding="utf-8")) == []


PEP = """\
PEP: 7
Title: A: Title, with "quotes"
Author: Ada Example <ada@example.org>, Fred Example, Jr. <fred@example.org>,
        bob@example.org (Bob Example)
Status:   Final
Type: Process
Created: 05-Jul-2001
Python-Version: 2.6, 3.0

Abstract
"""


def extraction() -> ModuleType:
    spec = importlib.util.spec_from_file_location("extract_peps", DATA / "extract_peps.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_extraction_reads_headers() -> None:
    extract = extraction()
    found = extract.headers(PEP)
    assert extract.authors(found["Author"]) == ["Ada Example", "Fred Example, Jr.", "Bob Example"]
    assert extract.row(found) == (7, 'A: Title, with "quotes"', "Final", "Process", "2001-07-05", "2.6, 3.0", 3)


def test_the_demo_keeps_its_promises() -> None:
    done = subprocess.run(["bash", ROOT / "examples" / "demo.sh", BIN], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("All of it was as promised.\n")
