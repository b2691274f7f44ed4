"""`cross.similarity_join`: all pairs of rows that are alike and no others, and after an edit only what it changed is compared."""

from __future__ import annotations

import itertools
import json
import random
from hashlib import sha1
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rapidfuzz import fuzz

from mmetl.transforms.cross.matching import FEW, EditSearch, Matches, Search, SetSearch, VectorSearch
from tests.harness import Project

TWO = """\
version: 1
name: p
tasks:
  ours: {transform: tabular.read, params: {path: ours.csv}, key: [id]}
  theirs: {transform: tabular.read, params: {path: theirs.csv}, key: [code]}
  pairs: {transform: cross.similarity_join, inputs: [ours, theirs], params: {column: name, other_column: title, measure: edit, threshold: 0.8}}
"""
PLACES = """\
version: 1
name: p
tasks:
  points: {transform: tabular.read, params: {path: points.csv}, key: [id]}
  made: {transform: tabular.sql, key: [id], params: {sql: "select id, [x, y]::float[2] as v from points where x > -1 union all select id, null from points where x is null"}}
  pairs: {transform: cross.similarity_join, inputs: [made], params: {column: v, measure: euclidean, threshold: 2}}
"""


def told(found: Matches) -> dict[tuple[int, int], float]:
    return {(a, b): s for a, b, s in zip(*(column.tolist() for column in found), strict=True)}


def all_pairs(left: Any, right: Any, score: Any, threshold: float) -> dict[tuple[int, int], float]:
    whole = {(a, b): score(x, y) for (a, x), (b, y) in itertools.product(enumerate(left), enumerate(right))}
    return {pair: s for pair, s in whole.items() if s >= threshold}


def ratio(one: str, other: str) -> float:
    return float(np.round(fuzz.ratio(one, other) / 100, 4))


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / len(one | other)


@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.5, 0.6, 0.75, 0.8, 0.9, 1.0])
def test_filters_lose_no_pair(threshold: float) -> None:
    """Short and long texts, of few letters and words: as if each were measured against each."""
    rng = random.Random(threshold)
    words = ["".join(rng.choices("abc", k=rng.randint(1, 4))) for _ in range(12)]
    left, right = ([" ".join(rng.choices(words, k=rng.randint(1, 7))) for _ in range(120)] for _ in range(2))
    search: Search = EditSearch(right, threshold)
    expected = all_pairs(left, right, ratio, threshold)
    assert told(search.of(left)) == expected
    few = left[:FEW]
    assert told(EditSearch(right, threshold).of(few)) == {pair: s for pair, s in expected.items() if pair[0] < len(few)}
    sets = [[frozenset(text.split()) for text in side] for side in (left, right)]
    search = SetSearch(sets[1], threshold)
    assert told(search.of(sets[0])) == all_pairs(*sets, jaccard, threshold)


def test_vectors_across_blocks() -> None:
    rng = np.random.default_rng(0)
    left, right = rng.integers(-3, 4, (1100, 3)).astype(np.float32), rng.integers(-3, 4, (2100, 3)).astype(np.float32)
    left[~left.any(axis=1)], right[~right.any(axis=1)] = 1, 1
    wide = left.astype(np.float64), right.astype(np.float64)
    products = wide[0] @ wide[1].T
    lengths = [np.linalg.norm(side, axis=1) for side in wide]
    distances = np.linalg.norm(wide[0][:, None] - wide[1][None], axis=2)
    expected = {
        ("dot", 12.0): products >= 12,
        ("euclidean", 2.0): distances <= 2,
        ("cosine", 0.93): products / np.outer(*lengths) >= 0.93,
    }
    for (measure, threshold), wanted in expected.items():
        found = VectorSearch(right, measure, threshold).of(left)
        pairs = set(zip(*np.nonzero(wanted), strict=True))
        assert set(zip(found.rows, found.places, strict=True)) == pairs
        assert len(found.rows) == len(pairs)


@pytest.fixture
def two(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.write("pipeline.yaml", TWO)
    project.write("ours.csv", "id,name\n1,Garden chair\n2,Lamp shade\n3,\n4,--\n5,Chair\n")
    project.write("theirs.csv", "code,title\na,garden-chair\nb,Garden chairs\nc,Lamp\nd,\n")
    return project


def test_two_tables(two: Project) -> None:
    """Case and punctuation are no difference; a row without a text has no pair."""
    assert two.fast("run").code == 0
    assert rows(two) == [
        {"id": 1, "other_code": "a", "score": 1.0},
        {"id": 1, "other_code": "b", "score": 0.96},
    ]
    told = two.fast("why", "pairs", "--key", "id=1", "--key", "other_code=b").out
    assert all(row in told for row in ("ours: 1 row", "id=1  name=Garden chair", "theirs: 1 row", "code=b"))
    two.edit("pipeline.yaml", "threshold: 0.8", "threshold: 0.8, k: 1")
    assert items(two) == {"unchanged": 9, "computed": 0, "compared": 0}
    assert rows(two) == [{"id": 1, "other_code": "a", "score": 1.0}]
    two.edit("theirs.csv", "a,garden-chair\n", "")
    assert items(two, "--allow-shrink", "theirs") == {"removed": 1, "unchanged": 8, "computed": 0, "compared": 0}
    assert rows(two) == [{"id": 1, "other_code": "b", "score": 0.96}], "the next best is still known"
    two.edit("pipeline.yaml", "measure: edit, threshold: 0.8", "measure: jaccard, tokens: characters, threshold: 0.9")
    assert items(two)["computed"] == 8
    assert rows(two) == [{"id": 1, "other_code": "b", "score": 10 / 11}]


def test_one_table(tmp_path: Path) -> None:
    """Each pair stands under both of its rows, no row beside itself, equal rows are pairs."""
    project = Project(tmp_path)
    project.write("pipeline.yaml", PLACES)
    project.write("points.csv", "id,x,y\n1,0,0\n2,0,2\n3,0,2\n4,9,9\n5,,\n")
    assert project.fast("run").code == 0
    pairs = {(r["id"], r["other_id"]): r["score"] for r in rows(project)}
    once = {(1, 2): 2.0, (1, 3): 2.0, (2, 3): 0.0}
    assert pairs == once | {(b, a): score for (a, b), score in once.items()}
    project.edit("pipeline.yaml", "threshold: 2", "threshold: 2, k: 1")
    assert project.fast("run").code == 0
    assert [(r["id"], r["other_id"]) for r in rows(project)] == [(1, 2), (2, 3), (3, 2)]
    project.edit("pipeline.yaml", "measure: euclidean, threshold: 2", "measure: cosine, threshold: 0.5")
    assert "1 rows of 'made' cannot be compared; of the first, its vector is zero" in project.fast("run").err


def test_what_is_compared_may_be_the_key(two: Project) -> None:
    """A table of names has no other key."""
    two.edit("pipeline.yaml", "key: [code]", "key: [title]")
    two.edit("theirs.csv", "d,\n", "")
    assert two.fast("run").code == 0
    assert [(r["id"], r["other_title"]) for r in rows(two)] == [(1, "Garden chairs"), (1, "garden-chair")]
    two.edit("theirs.csv", "Garden chairs", "Garden chair")
    assert items(two)["computed"] == 1
    assert [r["other_title"] for r in rows(two)] == ["Garden chair", "garden-chair"]


def rows(project: Project) -> list[dict[str, Any]]:
    found = project.fast("query", "select * from pairs order by all", "--json")
    assert found.code == 0, found.err
    return [json.loads(line) for line in found.out.splitlines()]


def items(project: Project, *words: str) -> dict[str, int]:
    done = project.fast("run", "--json", *words)
    assert done.code == 0, done.err
    (pairs,) = (t for t in done.json()["tasks"] if t["task"] == "pairs")
    found: dict[str, int] = pairs["items"]
    return found


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[ours, theirs]", "[ours]", "`other_column` is one of the second input"),
        ("threshold: 0.8", "threshold: 0", "`threshold` is 0: all texts would be pairs"),
        ("threshold: 0.8", "threshold: 1.5", "no `edit` is 1.5: it is 0 to 1"),
        ("edit, threshold: 0.8", "euclidean, threshold: -1", "a distance is not below 0"),
        ("edit, threshold: 0.8", "cosine, threshold: -2", "no `cosine` is -2: it is -1 to 1"),
    ],
)
def test_params_that_cannot_be(two: Project, old: str, new: str, message: str) -> None:
    two.edit("pipeline.yaml", old, new)
    done = two.fast("validate")
    assert (done.code, message in done.err) == (3, True), done.err


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("column: name", "column: id", "the column 'id' of 'ours' holds no texts, but int64"),
        ("column: title", "column: titel", "'theirs' has no column 'titel'"),
        ("measure: edit", "measure: dot", "the column 'name' of 'ours' is no column of vectors"),
        (", key: [code]", "", "'theirs' has no key"),
    ],
)
def test_inputs_that_do_not_fit(two: Project, old: str, new: str, message: str) -> None:
    two.edit("pipeline.yaml", old, new)
    assert message in two.fast("run").err


ROWS, POINTS = 10_000, 2_000
JOINS = """\
version: 1
name: p
tasks:
  rows: {transform: tabular.read, params: {path: rows.csv}, key: [id]}
  others: {transform: tabular.read, params: {path: others.csv}, key: [id]}
  pairs: {transform: cross.similarity_join, inputs: [rows, others], params: {column: t, measure: jaccard, threshold: 0.5}}
  near: {transform: cross.similarity_join, inputs: [rows, others], params: {column: t, measure: edit, threshold: 0.95, k: 1}}
  made: {transform: tabular.sql, key: [id], params: {sql: "select id, [id // 100, id % 100]::float[2] as v from rows where id < 2000"}}
  beside: {transform: cross.similarity_join, inputs: [made], params: {column: v, measure: euclidean, threshold: 1}}
"""


def test_what_ten_thousand_rows_cost(tmp_path: Path) -> None:
    """One changed row is compared, on whichever side: with those that share a rare token, of vectors with all."""
    project = Project(tmp_path)
    project.write("pipeline.yaml", JOINS)
    for name, word in (("rows", "customer"), ("others", "customers")):
        lines = (f"{n},{sha1(b'%d' % n, usedforsecurity=False).hexdigest()[:12]} {word} {n}\n" for n in range(ROWS))
        project.write(f"{name}.csv", "id,t\n" + "".join(lines))

    def computed() -> dict[str, tuple[int, int]]:
        done = project.fast("run", "--json")
        assert done.code == 0, done.err
        ran = (t for t in done.json()["tasks"] if t["outcome"] == "ran" and "compared" in t.get("items", {}))
        return {t["task"]: (t["items"]["computed"], t["items"]["compared"]) for t in ran}

    first = computed()
    assert {task: counts[0] for task, counts in first.items()} == {
        "pairs": 2 * ROWS,
        "near": 2 * ROWS,
        "beside": POINTS,
    }
    assert first["beside"][1] == POINTS**2
    assert ROWS <= first["pairs"][1] < 2 * ROWS
    assert ROWS <= first["near"][1] < 20 * ROWS
    assert rows(project) == [{"id": n, "other_id": n, "score": 0.5} for n in range(ROWS)]
    assert computed() == {}
    project.edit("rows.csv", " customer 77\n", " customers 77\n")
    left = computed()
    project.edit("others.csv", " customers 5\n", " customer 5\n")
    right = computed()
    for counts in (left, right):
        assert {task: computed for task, (computed, _) in counts.items()} == {"pairs": 1, "near": 1}
        assert counts["pairs"][1] < 5
        assert counts["near"][1] <= ROWS, "a few texts are measured against all that are as long"
    assert {r["id"] for r in rows(project) if r["score"] == 1} == {5, 77}
    project.edit("rows.csv", "\n777,", "\n-777,")
    assert computed()["beside"] == (1, 2 * POINTS - 1), "a vector is compared with all, and all with it"
