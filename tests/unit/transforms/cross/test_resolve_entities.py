"""`cross.resolve_entities`: which records are one, what somebody said of pairs; precision and recall; costs at 10,000."""

from __future__ import annotations

import csv
import io
import itertools
import json
import random
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmetl.transforms.cross.blocks import blocks_of, soundex
from mmetl.transforms.cross.clusters import Clusters, ContradictionError, clustered
from tests.harness import Project

HERE = Path(__file__).parent
TASKS = """\
  people: {transform: tabular.read, params: {path: people.csv, types: {born: int}}, key: [id]}
  exceptions: {transform: tabular.read, params: {path: exceptions.csv}}
  persons:
    transform: cross.resolve_entities
    inputs: {records: people, exceptions: exceptions}
    params:
      compare: {name: words, city: {measure: words, weight: 0.5}, born: {measure: number, scale: 5, weight: 0.5}}
      block: [{name: words}, {name: sound, city: exact}]
"""
PEOPLE: list[tuple[Any, ...]] = [
    (1, "Ada Lovelace", "London", 1815),
    (2, "Lovelace, Ada", "London", 1815),
    (3, "Ada Lovelase", "London", None),
    (4, "Charles Babbage", "London", 1791),
    (5, "Sharls Babage", "London", 1791),
    (6, "Mary Somerville", "Jedburgh", 1780),
    (7, "Ada Lovelac", "London", 1818),
    (8, None, None, None),
    (9, "Mary", None, None),
]


def write(project: Project, path: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([columns, *rows])
    project.write(path, file.getvalue())


def save(project: Project, people: Iterable[Sequence[Any]], exceptions: Iterable[Sequence[Any]] = ()) -> None:
    write(project, "people.csv", ("id", "name", "city", "born"), people)
    write(project, "exceptions.csv", ("id", "other_id", "same"), exceptions)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    save(made, PEOPLE)
    made.tasks(TASKS)
    return made


def run(project: Project) -> dict[str, Any]:
    done = project.fast("run", "--json", "--allow-shrink", "people", "--allow-shrink", "exceptions")
    assert done.code == 0, done.out + done.err
    return {t["task"]: t for t in done.json()["tasks"]}["persons"]


def rows(project: Project) -> list[dict[str, Any]]:
    shown = map(json.loads, project.fast("show", "persons", "--json", "--limit", "0").out.splitlines())
    return sorted(shown, key=lambda r: r["id"])


def groups(project: Project) -> list[list[int]]:
    """Return the entities of more than one record."""
    found = defaultdict(list)
    for row in rows(project):
        found[row["entity"]].append(row["id"])
    assert all(entity == min(ids) for entity, ids in found.items())
    return [ids for ids in found.values() if len(ids) > 1]


def test_records_that_are_alike_are_one_and_stay(project: Project) -> None:
    assert run(project)["items"]["entities"] == 6
    found = rows(project)
    assert [r["id"] for r in found] == [p[0] for p in PEOPLE]
    assert groups(project) == [[1, 2, 3], [4, 5]]
    assert [r["score"] for r in found if r["entity"] == 1] == [1.0, 1.0, pytest.approx(0.94, abs=0.01)]


def test_pairs_in_between_are_for_review(project: Project) -> None:
    run(project)
    seven = rows(project)[6]
    assert (seven["entity"], seven["score"], seven["review"]) == (7, None, True)
    assert (seven["review_with"], seven["review_score"]) == (3, pytest.approx(0.913, abs=0.001))
    assert [r["id"] for r in rows(project) if r["review"]] == [1, 2, 3, 7]


def test_exceptions_split_and_join_and_are_undone(project: Project) -> None:
    run(project)
    machine = rows(project)
    save(project, PEOPLE, [(3, 1, "false"), (6, 4, "true"), (7, 99, "true")])
    assert run(project)["items"]["computed"] == 0
    assert groups(project) == [[1, 2], [4, 5, 6]]
    found = {r["id"]: r for r in rows(project)}
    assert (found[6]["score"], found[3]["score"]) == (None, None)
    assert found[3]["review_with"] == 7, "what was decided is not asked again"
    save(project, PEOPLE)
    run(project)
    assert rows(project) == machine


def test_the_name_of_an_entity_does_not_depend_on_history(project: Project) -> None:
    run(project)
    save(project, PEOPLE[1:])
    run(project)
    assert groups(project)[0] == [2, 3]
    save(project, PEOPLE)
    run(project)
    assert groups(project)[0] == [1, 2, 3]


def test_without_exceptions_and_with_a_key_of_two_columns(project: Project) -> None:
    project.edit("pipeline.yaml", "{records: people, exceptions: exceptions}", "[people]")
    project.edit("pipeline.yaml", "key: [id]", "key: [id, born]")
    save(project, [p for p in PEOPLE if p[3]])
    run(project)
    assert [r["entity"] for r in rows(project)][:2] == [{"id": 1, "born": 1815}] * 2


@pytest.mark.parametrize("people", [[], [PEOPLE[0]], [PEOPLE[7]]], ids=["none", "one", "blank"])
def test_nothing_to_compare(project: Project, people: list[Any]) -> None:
    save(project, people)
    run(project)
    assert [r["entity"] for r in rows(project)] == [p[0] for p in people]


def test_a_block_that_is_too_large_is_told(project: Project) -> None:
    project.edit("pipeline.yaml", "      block:", "      largest_block: 2\n      block:")
    assert run(project)["items"]["blocks_not_compared"] >= 1
    logs = "".join(p.read_text() for p in project.root.glob(".mmetl/logs/*/p.persons.log"))
    assert "not compared: 4 records share 'ada'" in logs


WRONG = {
    "no rule": ("block: [{name: words}, {name: sound, city: exact}]", "block: []", 3, "block"),
    "no such rule": ("{name: sound,", "{name: sounds,", 3, "sound"),
    "no scale": ("scale: 5, ", "", 3, "`scale` goes with `measure: number`"),
    "thresholds": ("      block:", "      threshold: 0.7\n      block:", 3, "`review_from` is above `threshold`"),
    "another input": ("exceptions: exceptions}", "other: exceptions}", 3, "needs one input of records"),
    "no such column": ("city: exact", "town: exact", 1, "'people' has no column 'town'"),
    "no number": (
        "name: words, city",
        "name: {measure: number, scale: 1}, city",
        1,
        "`measure: number` is for numbers and dates",
    ),
    "no key": (", key: [id]}", "}", 1, "'people' has no key"),
}


@pytest.mark.parametrize(("old", "new", "code", "told"), WRONG.values(), ids=WRONG)
def test_what_does_not_fit(project: Project, old: str, new: str, code: int, told: str) -> None:
    project.edit("pipeline.yaml", old, new)
    done = project.fast("run")
    assert (done.code, told in done.err) == (code, True), done.err


EXCEPTIONS = {
    "both": ([(1, 2, "true"), (2, 1, "false")], "the exceptions say that 1 and 2 are not one"),
    "by others": ([(1, 2, "true"), (2, 3, "true"), (3, 1, "false")], "the exceptions say that 1 and 3 are not one"),
    "itself": ([(1, 1, "false")], "the exceptions say that 1 and 1 are not one"),
    "no answer": ([(1, 2, "true"), (2, 3, "")], "'same' of 'exceptions' is missing in a row"),
    "another answer": ([(1, 2, "perhaps")], "'same' of 'exceptions' is neither true nor false"),
    "other keys": ([("x", 2, "true")], "the keys of 'exceptions' are not like those of the records"),
}


@pytest.mark.parametrize(("exceptions", "told"), EXCEPTIONS.values(), ids=EXCEPTIONS)
def test_exceptions_that_cannot_be(project: Project, exceptions: list[Any], told: str) -> None:
    save(project, PEOPLE, exceptions)
    done = project.fast("run")
    assert (done.code, told in done.err) == (1, True), done.err


def test_a_missing_package_is_told_first(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rapidfuzz", None)
    done = project.fast("run")
    assert (done.code, "'rapidfuzz' is not installed" in done.err, "pip install 'mmetl[entities]'" in done.err) == (
        5,
        True,
        True,
    )


def test_dates_are_numbers(project: Project) -> None:
    project.edit("pipeline.yaml", "types: {born: int}", "types: {born: date}")
    save(project, [(1, "Ada", "x", "1815-12-10"), (2, "Ada", "x", "1815-12-11"), (3, "Ada", "x", "1830-01-01")])
    run(project)
    assert groups(project) == [[1, 2]]


# --- how good


def test_precision_and_recall(project: Project) -> None:
    """The floors are those that docs/reference/transforms.md states."""
    project.write("people.csv", (HERE / "person_records.csv").read_text(encoding="utf-8"))
    project.edit("pipeline.yaml", "name: words, city: {measure: words, weight: 0.5}, born: {measure: number, scale: 5, weight: 0.5}",
                 "name: {measure: word_set, weight: 2}, city: {measure: words, weight: 0.5}, born: {measure: number, scale: 2}")  # fmt: skip
    project.edit("pipeline.yaml", "{name: sound, city: exact}", "{name: sound}, {name: prefix}")
    run(project)
    found = rows(project)
    true, sure = (pairs(found, of) for of in ("means", "entity"))
    every = sure | {tuple(sorted((r["id"], r["review_with"]))) for r in found if r["review"]}
    measured = [len(true & had) / len(of) for had in (sure, every) for of in (had, true)]
    floors = (0.91, 0.85, 0.78, 0.94)
    assert all(floor <= m < floor + 0.03 for m, floor in zip(measured, floors, strict=True)), measured


def pairs(found: Iterable[dict[str, Any]], of: str) -> set[tuple[Any, ...]]:
    """Return the pairs of records that a column says are one."""
    together = defaultdict(list)
    for row in found:
        together[row[of]].append(row["id"])
    return {pair for ids in together.values() for pair in itertools.combinations(sorted(ids), 2)}


# --- blocks and clusters


def test_rules_of_blocks() -> None:
    columns = {"name": ["Ann Lee", "Lee, Anne", "A. Leigh", None], "city": ["Rome", "Rome", "Rome", "Rome"]}

    def together(rule: dict[str, Any], largest: int = 9) -> list[list[int]]:
        return sorted(blocks_of(columns, [rule], 3, largest).members.values())

    assert together({"name": "words"}) == [[0, 1]]
    assert together({"name": "prefix"}) == []
    assert together({"name": "sound"}) == [[0, 1], [0, 1]], "Ann and Anne, Lee and Lee"
    assert together({"city": "exact"}) == [[0, 1, 2, 3]]
    assert together({"name": "sound", "city": "exact"}) == [[0, 1], [0, 1]]
    assert together({"city": "exact"}, largest=3) == []


def test_soundex() -> None:
    """The examples of the National Archives."""
    told = {
        "washington": "W252",
        "lee": "L000",
        "gutierrez": "G362",
        "pfister": "P236",
        "jackson": "J250",
        "vandeusen": "V532",
    }
    assert {word: soundex(word) for word in told} == told


PAIR = st.tuples(st.integers(0, 8), st.integers(0, 8)).filter(lambda p: p[0] < p[1])


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(PAIR, st.sampled_from([0.8, 0.9, 1.0])), st.sets(PAIR, max_size=3), st.sets(PAIR, max_size=3), st.integers()
)  # fmt: skip
def test_clusters_obey(alike: dict[Any, float], same: set[Any], apart: set[Any], seed: int) -> None:
    """What was said holds; the order does not matter; nothing is joined that nothing joins."""
    given_pairs = [(a, b, score) for (a, b), score in alike.items()]
    mixed = random.Random(seed).sample(given_pairs, len(given_pairs))
    only_said = Clusters(9)
    for pair in same:
        only_said.join(pair)
    if any(only_said.find(a) == only_said.find(b) for a, b in apart):
        with pytest.raises(ContradictionError):
            clustered(9, given_pairs, same, apart)
        return
    found = clustered(9, given_pairs, same, apart)
    of = [found.find(n) for n in range(9)]
    again = clustered(9, mixed, sorted(same), sorted(apart, reverse=True))
    assert of == [again.find(n) for n in range(9)]
    assert all(of[a] == of[b] for a, b in same)
    assert all(of[a] != of[b] and found.are_apart((a, b)) for a, b in apart)
    assert all(name == min(n for n in range(9) if of[n] == name) for name in of)
    free = clustered(9, given_pairs, same, ())
    assert all(free.find(n) == free.find(of[n]) for n in range(9))
    if not apart:
        assert all(of[a] == of[b] for a, b in alike)


# --- what a change costs


def test_what_a_change_costs(project: Project) -> None:
    """10,000 records: a changed one compares the blocks that it leaves and those that it enters, and no others."""
    parts = ["ba", "ce", "di", "fo", "gu", "ka", "le", "mi", "no", "pu", "ra", "se", "ti", "vo", "zu", "wy"]
    people: list[tuple[Any, ...]] = []
    for n in range(10_000):
        a, b, c, d = ((n * 7919 >> shift) % 16 for shift in (0, 4, 8, 12))
        people.append((n, f"{parts[a]}{parts[b]} {parts[c]}{parts[d]}{parts[n % 13]}", f"city {n % 50}", 1900 + n % 90))
    save(project, people)
    project.edit("pipeline.yaml", "block: [{name: words}, {name: sound, city: exact}]", "block: [{name: words}]")
    first = run(project)
    assert first["items"]["computed"] > 1000
    assert set(project.fast("run", "--json").outcomes().values()) == {"fresh"}
    people[77] = (77, "bace nonosomething", "city 1", 1901)
    save(project, people)
    project.fast("run", "--select", "people")
    told = {t["task"]: t for t in project.fast("dry-run", "--json").json()["tasks"]}["persons"]["items"]["computed"]
    assert told == run(project)["items"]["computed"]
    assert 1 <= told <= 4, "two words before, two behind"
    save(project, people, [(77, 78, "true")])
    assert run(project)["items"]["computed"] == 0
