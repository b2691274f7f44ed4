"""The example over four modalities: its answers are what the texts and tables say, and an edit reaches all of them."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections import Counter, defaultdict
from typing import Any

import pytest
from harness import BIN, Project

from tests.unit.test_docs import stable
from tests.unit.test_examples import DATA, ROOT, peps, rows

TEXTS = sorted((DATA / "pep_texts").iterdir())
SPOKEN = re.compile(r"\bPEPs? (\d{1,4})\b|:pep:`(?:[^`<]*<)?(\d{1,4})\b")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Run the example in a copy."""
    copy = tmp_path_factory.mktemp("base")
    shutil.copytree(ROOT / "examples", copy / "examples", ignore=shutil.ignore_patterns("out", "__pycache__"))
    shutil.copy(ROOT / "mmetl.yml", copy)
    project = Project(copy)
    done = project.mmetl("run", "knowledge_base")
    assert done.code == 0, done.err
    return project


def query(project: Project, sql: str) -> list[dict[str, Any]]:
    found = project.fast("query", sql, "--json")
    assert found.code == 0, found.err
    return [json.loads(line) for line in found.out.splitlines()]


def cited() -> dict[int, set[int]]:
    """Return which proposals each text speaks of, found without mmETL."""
    known = {int(pep["number"]) for pep in peps()}
    found = {}
    for path in TEXTS:
        own = int(path.stem.removeprefix("pep-"))
        numbers = {int(one or other) for one, other in SPOKEN.findall(path.read_text(encoding="utf-8"))}
        found[own] = numbers & known - {own}
    return found


def test_citations_are_what_the_texts_say(base: Project) -> None:
    found = defaultdict(set)
    for row in query(base, "select number, cited from knowledge_base.citations"):
        found[row["number"]].add(row["cited"])
    assert found == {number: others for number, others in cited().items() if others}


def test_the_ranking_names_what_the_texts_build_on(base: Project) -> None:
    counted = Counter(number for others in cited().values() for number in others)
    authors = defaultdict(list)
    for row in rows(DATA / "pep_authors.csv"):
        authors[int(row["number"])].append(row["author"])
    titles = {int(pep["number"]): pep["title"] for pep in peps()}
    found = query(base, "select number, title, cited_by, authors, pagerank from ranking order by pagerank desc")
    assert {row["number"]: row["cited_by"] for row in found} == counted
    assert found[0]["number"] == counted.most_common(1)[0][0] == 484
    for row in found:
        assert row["title"] == titles[row["number"]]
        assert row["authors"] == sorted(authors[row["number"]])


def test_the_graph_has_what_the_tables_have(base: Project) -> None:
    counts = {(r["_kind"], r["_label"]): r["n"] for r in query(
        base, "select _kind, _label, count(*) as n from knowledge group by all")}  # fmt: skip
    written = rows(DATA / "pep_authors.csv")
    assert counts == {
        ("node", "Pep"): len(peps()),
        ("node", "Author"): len({row["author"] for row in written}),
        ("edge", "WROTE"): len(written),
        ("edge", "CITES"): sum(map(len, cited().values())),
    }


def test_the_readme_answers_as_the_example_does(base: Project) -> None:
    """The questions stand in the README with their answers."""
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```session\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    asked = [piece for block in blocks for piece in block.split("$ ")[1:]]
    assert len(asked) == 4
    for piece in asked:
        command, _, output = piece.partition("\n")
        done = subprocess.run(
            ["sh", "-c", f"{command} 2>&1"],
            cwd=base.root,
            env={**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert stable(done.stdout) == stable(output), command


def followed(project: Project, task: str, key: str, way: str) -> dict[str, tuple[str, list[dict[str, Any]]]]:
    """Return task -> how exact, and the keys, of the steps from a row."""
    found = project.fast("why", task, "--key", key, "--json", "--limit", "10000")
    assert found.code == 0, found.err
    return {s["task"]: (s["grain"], [r["key"] for r in s["rows"]]) for s in found.json()[way] if s["kind"] != "sources"}


def test_a_document_is_followed_to_its_edges_and_back(base: Project) -> None:
    """File, document, passages, vectors; and by what it mentions to its edges in the graph."""
    path = "examples/data/pep_texts/pep-0604.rst"
    down = followed(base, "sources", path, "downstream")
    assert {task for task, (grain, _) in down.items() if grain == "whole"} == {"central", "ranking"}
    for task in ("passages", "embedded", "passage_index"):
        listed = query(base, f"select path, chunk from knowledge_base.{task} where path = '{path}'")
        assert sorted(k["chunk"] for k in down[task][1]) == sorted(row["chunk"] for row in listed)
    edges = {k["_key"] for k in down["knowledge"][1]}
    assert edges == {json.dumps(["Pep", "604", "Pep", str(n)], separators=(",", ":")) for n in cited()[604]}
    assert {k["_key"] for k in down["knowledge_graph"][1]} == edges
    up = followed(base, "knowledge_graph", json.dumps(["edge", "CITES", '["Pep","604","Pep","484"]']), "upstream")
    assert {grain for grain, _ in up.values()} == {"rows"}
    assert up["citations"][1] == [{"number": 604, "cited": 484}]
    assert up["proposals"][1] == [{"number": 484}]
    assert up["sources"][1] == [{"path": path}]
    assert "written" not in up


def test_a_header_is_followed_to_its_node_and_the_edges_that_lead_there(base: Project) -> None:
    down = followed(base, "proposals", "484", "downstream")
    citing = {number for number, others in cited().items() if 484 in others}
    assert {(k["number"], k["cited"]) for k in down["citations"][1]} == {(n, 484) for n in citing}
    assert {k["_key"] for k in down["knowledge"][1]} == {
        "484",
        *(json.dumps(["Pep", str(n), "Pep", "484"], separators=(",", ":")) for n in citing),
    }
    assert {"_label": "Pep", "_key": "484"} in down["central"][1]


def test_an_edited_text_reaches_table_vectors_and_graph(base: Project) -> None:
    path = base.root / "examples/data/pep_texts/pep-0020.rst"
    before = path.read_text(encoding="utf-8")
    path.write_text(before + "\n\nReadability counts: PEP 8 says how.\n", encoding="utf-8")
    done = base.fast("run", "knowledge_base", "--json").json()
    items = {t["task"]: t.get("items", {}) for t in done["tasks"]}
    assert {t: items[t]["computed"] for t in ("documents", "facts", "passages", "mentions", "embedded")} == {
        "documents": 1,
        "facts": 1,
        "passages": 1,
        "mentions": 1,
        "embedded": 1,
    }
    assert items["knowledge_graph"]["added"] == 1
    told = base.fast("diff", "knowledge").out
    assert "1 added, 0 changed, 0 removed" in told
    assert '_key=["Pep","20","Pep","8"]' in told
    path.write_text(before, encoding="utf-8")
    again = base.fast("run", "knowledge_base", "--json").json()
    assert all(t["items"].get("computed", 0) == 0 for t in again["tasks"] if t.get("items"))


def test_the_examples_of_all_commands_run_as_written(base: Project) -> None:
    """As the page of commands says: in a checkout, after both pipelines have run."""
    page = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
    examples = [shlex.split(e) for e in re.findall(r"^Example: `mmetl (.*)`$", page, re.MULTILINE)]
    assert len(examples) == len(re.findall(r"^### `mmetl ", page, re.MULTILINE))
    base.fast("run", "tabular_only", "--var", "min_peps=12")  # for `diff`
    authors = base.root / "examples/data/pep_authors.csv"
    text = authors.read_bytes()
    authors.unlink()
    assert base.fast("run", "tabular_only").code == 1  # for `retry`
    authors.write_bytes(text)
    for words in sorted(examples, key=lambda e: e != ["retry"]):
        done = base.fast(*words)
        assert done.code == 0, (words, done.err)
        assert done.out or words[0] == "quarantine", words
