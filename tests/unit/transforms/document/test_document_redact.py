"""`document.redact`: how well it finds what is labelled, and what it leaves in its place."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from labelled import agreement, labelled_lines

from mmetl.transforms.document.redact import replaced
from mmetl.transforms.document.sensitive import FINDERS, Span, find_spans

HERE = Path(__file__).parent
PEPS = HERE.parents[3] / "examples" / "data" / "pep_texts"
FLOORS = {"email": (0.95, 0.95), "phone": (0.95, 0.9), "key": (0.95, 0.95), "card": (0.98, 0.98), "iban": (0.98, 0.98)}
"""Precision and recall, as docs/reference/transforms.md tells them."""


def spans(text):
    return find_spans(text, list(FINDERS.items()), lambda _: False)


def found(text):
    return [(s.kind, text[s.start : s.end]) for s in spans(text)]


def test_it_agrees_with_the_labels():
    lines = labelled_lines(HERE / "redact_lines.txt")
    assert sum(not labelled for _, labelled in lines) >= 90, "there are hard negatives"
    measured = agreement((text, labelled, spans(text)) for text, labelled in lines)
    assert set(measured) == set(FLOORS)
    for kind, (precision, recall) in FLOORS.items():
        got = measured[kind]
        assert got.precision >= precision, (kind, got.wrong)
        assert got.recall >= recall, (kind, got.missed)


def test_real_texts_have_addresses_and_nothing_else():
    texts = [path.read_text(encoding="utf-8") for path in sorted(PEPS.iterdir())]
    kinds = {kind for text in texts for kind, _ in found(text)}
    assert len(texts) >= 20
    assert kinds == {"email"}


@pytest.mark.parametrize("step", ["a", "1", "+1", "a@", "a.", "1 ", "x:x@", "://a", "password=", "-----BEGIN PRIVATE KEY-----\n"])  # fmt: skip
def test_hostile_texts_are_searched_in_one_go(step):
    """A search that were quadratic would not come back from a megabyte."""
    spans(step * (1_000_000 // len(step)))


@given(st.lists(st.sampled_from(["ann@example.com", "+49 30 901820", "4111111111111111", "a", ":", "\n"])))
def test_nothing_that_was_found_is_left(pieces):
    text = " ".join(pieces)
    places = spans(text)
    assert len(places) >= sum("@" in p or "4" in p for p in pieces)
    assert all(a.end <= b.start for a, b in itertools.pairwise(places))
    assert spans(replaced(text, places, "[{KIND}]")) == []


def test_places_that_overlap_become_one():
    text = "id AB-ann@example.com end"
    own = ("case", lambda _: [(1, 12)])
    assert find_spans(text, [own, *FINDERS.items()], lambda _: False) == [Span(1, 21, "case")]


LETTERS = [
    {"id": 1, "text": "ann@example.com, bob@example.com, ann@example.com; case AB-123456"},
    {"id": 2, "text": "nothing"},
    {"id": 3, "text": None},
    {"id": 4, "text": ""},
]


@pytest.fixture
def letters(empty):
    """Write a pipeline with these params; return the rows that it makes."""
    empty.write("letters.ndjson", "".join(json.dumps(r) + "\n" for r in LETTERS))

    def go(params):
        read = "{transform: tabular.read, params: {path: letters.ndjson}, key: [id]}"
        empty.tasks(f"  letters: {read}\n  out: {{transform: document.redact, inputs: [letters], params: {params}}}\n")
        done = empty.fast("run", "--json")
        assert done.code == 0, done.err
        return [json.loads(line) for line in empty.fast("show", "out", "--json", "--limit", "0").out.splitlines()]

    return go


def test_texts_counts_and_places(letters):
    one, two, three, four = letters("{patterns: {case: '[A-Z]{2}-[0-9]{6}'}}")
    assert one["text"] == "[EMAIL], [EMAIL], [EMAIL]; case [CASE]"
    assert one["redacted"] == {"case": 1, "key": 0, "iban": 0, "card": 0, "email": 3, "phone": 0}
    assert one["redactions"][0] == {"start": 0, "end": 15, "kind": "email"}
    assert (two["text"], three["text"], four["text"]) == ("nothing", None, "")
    assert (two["redactions"], three["redactions"]) == ([], [])


def test_equal_words_get_equal_numbers(letters):
    one = letters("{placeholder: '<{kind} {n}>', into: public}")[0]
    assert one["public"] == "<email 1>, <email 2>, <email 1>; case AB-123456"
    assert one["text"] == LETTERS[0]["text"]


def test_what_is_allowed_stays_and_kinds_can_be_chosen(letters):
    one = letters("{allow: ['ann@.*'], kinds: [email]}")[0]
    assert one["text"] == "ann@example.com, [EMAIL], ann@example.com; case AB-123456"
    assert one["redacted"] == {"email": 1}


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ("{patterns: {case: '('}}", "the pattern of 'case' is no regular expression: missing ), unterminated subpattern"),
        ("{patterns: {email: x}}", "'email' cannot be the name of a kind"),
        ("{patterns: {'a b': x}}", "'a b' cannot be the name of a kind"),
        ("{allow: ['[']}", "'[' is no regular expression"),
        ("{placeholder: '{x}'}", "a placeholder may name {KIND}, {kind} and {n}"),
        ("{kinds: []}", "it looks for nothing: name `kinds` or `patterns`"),
        ("{kinds: [mail]}", "'email', 'phone', 'key', 'card' or 'iban'"),
    ],
)  # fmt: skip
def test_params_that_are_wrong(empty, params, told):
    empty.tasks(f"  a: {{transform: document.redact, inputs: [b], params: {params}}}\n  b: {{transform: document.files, params: {{path: x/}}}}\n")  # fmt: skip
    done = empty.fast("validate")
    assert done.code == 3
    assert told in done.err, done.err
    assert "pipeline.yaml:4:" in done.err
