"""`cross.link_entities`: which row a mention means; precision and recall over labelled mentions; costs at 10,000."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmetl.transforms.cross.linking import Linker, Named, Rules
from mmetl.transforms.cross.names import Measure, Spelling, similarities, spelled
from tests.harness import Project

HERE = Path(__file__).parent
AUTHORS = HERE.parents[3] / "examples" / "data" / "pep_authors.csv"

PEOPLE = [
    "id,name,also,kind",
    "3,Ada Lovelace,Ada King|Countess of Lovelace,PERSON",
    "1,Łukasz Langa,,PERSON",
    "2,John Smith,,PERSON",
    "5,John Smith,,PERSON",
    "4,C++,,LANGUAGE",
    "6,C,,LANGUAGE",
    "7,Langa,,CITY",
    "8,,,PERSON",
]
TASKS = """\
  mentions: {{transform: tabular.read, params: {{path: mentions.csv, types: {{text: varchar, label: varchar}}}}, key: [n]}}
  people: {{transform: tabular.read, params: {{path: people.csv}}, key: [id]}}
  linked: {{transform: cross.link_entities, inputs: [mentions, people], params: {{{params}}}}}
"""
ALIASES = 'aliases: [also], separator: "|"'


def project_of(root: Path, mentions: Sequence[str], params: str = ALIASES, people: Sequence[str] = PEOPLE) -> Project:
    project = Project(root)
    project.write("people.csv", "\n".join(people) + "\n")
    say(project, mentions)
    project.tasks(TASKS.format(params=params))
    return project


def say(project: Project, mentions: Sequence[str]) -> None:
    """Write the mentions: a text, and after a tab its label."""
    file = io.StringIO()
    rows = ([n, *(*mention.split("\t"), "")[:2]] for n, mention in enumerate(mentions))
    csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC).writerows([["n", "text", "label"], *rows])
    project.write("mentions.csv", file.getvalue())


def run(project: Project) -> dict[str, Any]:
    done = project.fast("run", "--json")
    assert done.code == 0, done.out + done.err
    return {t["task"]: t for t in done.json()["tasks"]}["linked"]


def links(project: Project) -> list[tuple[Any, ...]]:
    rows = map(json.loads, project.fast("show", "linked", "--json", "--limit", "0").out.splitlines())
    names = ("linked_id", "score", "how", "review", "rivals")
    return [tuple(r[n] for n in names) for r in sorted(rows, key=lambda r: r["n"])]


LINKS = {
    "Ada Lovelace": (3, 1.0, "exact", False, 0),
    " ADA  lovelace ": (3, 1.0, "exact", False, 0),
    "Lovelace, Ada": (3, 1.0, "fuzzy", False, 0),
    "Countess of Lovelace": (3, 1.0, "alias", False, 0),
    "countess of lovelace": (3, 1.0, "alias", False, 0),
    "Lukasz Langa": (1, 1.0, "exact", False, 0),
    "Lukasz Langer": (1, 0.88, "fuzzy", True, 0),
    "John Smith": (2, 1.0, "exact", True, 1),
    "Jon Smith": (2, 0.9474, "fuzzy", True, 1),
    "C++": (4, 1.0, "exact", False, 0),
    "C": (6, 1.0, "exact", False, 0),
    "c": (4, 1.0, "exact", True, 1),
    "Grace Hopper": (None, None, "none", False, 0),
    "--": (None, None, "none", False, 0),
    "": (None, None, "none", False, 0),
}


def test_exact_alias_fuzzy_and_none(tmp_path: Path) -> None:
    project = project_of(tmp_path, list(LINKS))
    assert run(project)["items"]["added"] == len(LINKS)
    assert dict(zip(LINKS, links(project), strict=True)) == LINKS


def test_a_mention_means_rows_of_its_kind(tmp_path: Path) -> None:
    project = project_of(
        tmp_path, ["Langa\tCITY", "Langa\tPERSON", "John Smith\tCITY", "Langa\tRIVER", "Langa"], "same: {label: kind}"
    )
    run(project)
    assert [link[:3] for link in links(project)] == [(7, 1.0, "exact"), *[(None, None, "none")] * 4]


SPELLINGS = [
    ("ignore_case: false", "ada lovelace", "fuzzy"),
    ("ignore_case: false", "Ada Lovelace", "exact"),
    ("ignore_accents: false", "Lukasz Langa", "fuzzy"),
    ("ignore_punctuation: false", "Ada, Lovelace", "fuzzy"),
    ("ignore_punctuation: false", "Ada\u00a0 Lovelace", "exact"),
]


@pytest.mark.parametrize(("params", "text", "how"), SPELLINGS)
def test_differences_that_are_told_to_count(tmp_path: Path, params: str, text: str, how: str) -> None:
    project = project_of(tmp_path, [text], f"{params}, review_from: 0.7")
    run(project)
    assert links(project)[0][2] == how


def test_the_order_of_the_table_does_not_matter(tmp_path: Path) -> None:
    project = project_of(tmp_path / "a", list(LINKS))
    other = project_of(tmp_path / "b", list(LINKS), people=[PEOPLE[0], *reversed(PEOPLE[1:])])
    run(project), run(other)
    assert links(project) == links(other)


WRONG = {
    "one input": ("inputs: [mentions, people]", "inputs: [mentions]", 3, "needs two inputs"),
    "thresholds": (ALIASES, "threshold: 0.7, review_from: 0.8", 3, "`review_from` is above `threshold`"),
    "no such column": (ALIASES, "name: nom", 1, "'people' has no column 'nom'"),
    "no such mention": (ALIASES, "text: word", 1, "'mentions' has no column 'word'"),
    "numbers": (ALIASES, "name: id", 1, "the column 'id' of 'people' holds no texts, but int64"),
    "no key": ("{path: people.csv}, key: [id]", "{path: people.csv}", 1, "'people' has no key"),
    "no such kind": (ALIASES, "same: {label: sort}", 1, "'people' has no column 'sort'"),
}


@pytest.mark.parametrize(("old", "new", "code", "told"), WRONG.values(), ids=WRONG)
def test_what_does_not_fit(tmp_path: Path, old: str, new: str, code: int, told: str) -> None:
    project = project_of(tmp_path, ["Ada"])
    project.edit("pipeline.yaml", old, new)
    done = project.fast("run")
    assert (done.code, told in done.err) == (code, True), done.err


def test_a_missing_package_is_told_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = project_of(tmp_path, ["Ada"])
    monkeypatch.setitem(sys.modules, "rapidfuzz", None)
    done = project.fast("run")
    assert (done.code, "'rapidfuzz' is not installed" in done.err, "pip install 'mmetl[entities]'" in done.err) == (
        5,
        True,
        True,
    )


# --- how good


def read(name: str) -> list[dict[str, str]]:
    with (HERE / name).open(encoding="utf-8", newline="") as f:
        return list(csv.DictReader(f))


def persons() -> tuple[list[str], list[str]]:
    with AUTHORS.open(encoding="utf-8", newline="") as f:
        names = sorted({row["author"] for row in csv.DictReader(f)})
    return names, ["name", *(json.dumps(n, ensure_ascii=False) for n in names)]


FLOORS = {
    "people": ("people_mentions.csv", "linked_name", (0.88, 0.80, 0.74, 0.93)),
    "organisations": ("organisation_mentions.csv", "linked_id", (0.97, 0.86, 0.90, 0.97)),
}


@pytest.mark.parametrize(("labelled", "key", "floors"), FLOORS.values(), ids=FLOORS)
def test_precision_and_recall(tmp_path: Path, labelled: str, key: str, floors: tuple[float, ...]) -> None:
    """The floors are those that docs/reference/transforms.md states."""
    mentions = read(labelled)
    project = Project(tmp_path)
    tasks = TASKS.format(params=ALIASES if key == "linked_id" else "")
    if key == "linked_id":
        project.write("people.csv", (HERE / "organisations.csv").read_text(encoding="utf-8"))
    else:
        tasks = tasks.replace("key: [id]", "key: [name]")
        project.write("people.csv", "\n".join(persons()[1]) + "\n")
    say(project, [m["text"] for m in mentions])
    project.tasks(tasks)
    run(project)
    shown = map(json.loads, project.fast("show", "linked", "--json", "--limit", "0").out.splitlines())
    found = sorted(shown, key=lambda r: r["n"])
    sure = agreement(mentions, ["" if r["review"] else r[key] for r in found])
    every = agreement(mentions, [r[key] for r in found])
    measured = (*sure, *every)
    assert all(m >= floor for m, floor in zip(measured, floors, strict=True)), measured
    assert all(m < floor + 0.03 for m, floor in zip(measured, floors, strict=True)), "the floors can be raised"


def agreement(mentions: Sequence[dict[str, str]], found: Sequence[Any]) -> tuple[float, float]:
    """Return precision and recall."""
    pairs = [(m["means"], "" if f in (None, "") else str(f)) for m, f in zip(mentions, found, strict=True)]
    right = sum(bool(means) and means == f for means, f in pairs)
    return right / sum(bool(f) for _, f in pairs), right / sum(bool(means) for means, _ in pairs)


# --- what candidates leave out

WORDS = st.lists(st.sampled_from(["ann", "anna", "bob", "lee", "leigh", "smith", "smyth", "x"]), min_size=1, max_size=3)


@settings(max_examples=100, deadline=None)
@given(st.lists(WORDS.map(" ".join), min_size=1, max_size=20), st.lists(WORDS.map(" ".join), min_size=1, max_size=20))
def test_links_are_those_of_all_pairs(names: list[str], mentions: list[str]) -> None:
    """Nothing that is alike enough is lost by looking for candidates, and no batch has a part in a link."""
    rules = Rules("words", 0.9, 0.8, 0.02, 32, Spelling())
    linker = Linker([Named((), n, alias=False, place=i) for i, n in enumerate(names)], rules)
    found = linker.link([((), m) for m in mentions])
    assert found == [linker.link([((), m)])[0] for m in mentions]
    for mention, link in zip(mentions, found, strict=True):
        scores = similarities("words", [mention] * len(names), names)
        equal = [i for i, n in enumerate(names) if n == mention]
        if equal:
            assert (link.place, link.how, link.rivals) == (equal[0], "exact", len(equal) - 1)
        elif max(scores) >= rules.review:
            best = max(scores)
            assert (link.place, link.score) == (scores.tolist().index(best), best)
            assert link.rivals == sum(round(best - s, 4) <= rules.margin for s in scores.tolist()) - 1
        else:
            assert link.how == "none"


MEASURED = {
    # "lovelace ada" and "ada lovelace" have "lovelace" in the same order: 8 of 12 letters.
    "words": (1.0, 0.8889),
    "edit": (0.6667, 0.8889),
    "word_set": (1.0, 1.0),
}


@pytest.mark.parametrize(("measure", "alike"), MEASURED.items())
def test_measures(measure: Measure, alike: tuple[float, float]) -> None:
    pairs = [("lovelace ada", "ada lovelace"), ("ada king", "ada b king"), ("ada", "ada")]
    found = similarities(measure, *map(list, zip(*pairs, strict=True)))
    assert found.tolist() == [*alike, 1.0]


def test_jaro_and_winkler() -> None:
    """The pairs of Winkler's own papers."""
    found = similarities("jaro_winkler", ["martha", "dwayne", "dixon"], ["marhta", "duane", "dicksonx"])
    assert found.tolist() == [0.9611, 0.84, 0.8133]


def test_spellings() -> None:
    plain = Spelling(ignore_case=False, ignore_accents=False, ignore_punctuation=False)
    assert [spelled(t, plain) for t in ("Łó  ß!", "\ufb01n")] == ["Łó ß!", "fin"]
    assert [spelled(t, Spelling()) for t in ("Łó  ß!", "Þór Æ", "İstanbul", "張偉", "C++", "!?")] == [
        "lo ss", "thor ae", "istanbul", "張偉", "c", "!?",
    ]  # fmt: skip


# --- what a change costs


def names_of(count: int) -> Iterator[str]:
    """Yield names that have little in common."""
    parts = ["ba", "ce", "di", "fo", "gu", "ka", "le", "mi", "no", "pu", "ra", "se", "ti", "vo", "zu", "wy"]
    for n in range(count):
        digits = [(n * 7919 >> shift) % 16 for shift in (0, 4, 8, 12)]
        yield f"{parts[digits[0]]}{parts[digits[1]]} {parts[digits[2]]}{parts[digits[3]]}{parts[n % 13]}"


def test_what_a_change_costs(tmp_path: Path) -> None:
    """12,000 mentions of 10,000 texts and 3,000 rows: equal mentions count once, a changed one alone, a row for all."""
    names = list(dict.fromkeys(names_of(10_000)))
    people = ["id,name", *(f"{n},{name}" for n, name in enumerate(names[:3_000]))]
    mentions = [name.replace("a", "o", 1) for name in names] + names[:2_000]
    distinct = len(set(mentions))
    project = project_of(tmp_path, mentions, "", people)
    assert distinct >= 10_000
    assert run(project)["items"] == {"added": len(mentions), "computed": distinct}
    assert set(project.fast("run", "--json").outcomes().values()) == {"fresh"}
    mentions[77] = "Somebody Else"
    say(project, mentions)
    assert run(project)["items"] == {"changed": 1, "unchanged": len(mentions) - 1, "computed": 1}
    project.edit("people.csv", "\n7,", "\n70007,")
    assert run(project)["items"]["computed"] == len(set(mentions))
