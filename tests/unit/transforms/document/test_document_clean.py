"""`document.clean`: characters, white space, words at ends of lines, and lines that say nothing."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmetl.transforms.document.boilerplate import without_lines, without_running_heads
from mmetl.transforms.document.clean import CLEAN, clean_pages
from mmetl.transforms.document.tidying import (
    in_form,
    with_plain_punctuation,
    with_white_space,
    with_whole_words,
    without_invisible,
)

DEFAULT = CLEAN.params()


@pytest.mark.parametrize(
    ("change", "text", "expected"),
    [
        (without_invisible, "a\x00b\x1b[0m\ufeff c\u200bd\xade", "ab[0m cde"),
        (without_invisible, "a\r\nb\rc\x85d\u2028e\x0cf", "a\nb\nc\nd\ne\nf"),
        (without_invisible, "\u0645\u06cc\u200c 👩\u200d💻\t.", "\u0645\u06cc\u200c 👩\u200d💻\t."),
        (lambda t: in_form(t, "NFC"), "u\u0308 \ufb01", "\xfc \ufb01"),
        (lambda t: in_form(t, "NFKC"), "u\u0308 \ufb01 \uff21", "\xfc fi A"),
        (lambda t: in_form(t, "none"), "u\u0308", "u\u0308"),
        (with_plain_punctuation, "\u201cIt\u2019s\u201d \u2013 \ufb01ne\u2026", '"It\'s" - fine...'),
        (lambda t: with_white_space(t, "lines"), "\n\n  a\xa0 b \t\n\n \n\nc\n", "  a  b\n\nc"),
        (lambda t: with_white_space(t, "all"), "  a\u3000 b \n\tc", "a b\nc"),
        (lambda t: with_white_space(t, "keep"), " a \n", " a \n"),
        (with_whole_words, "an exam-\nple, so", "an example,\nso"),
        (with_whole_words, "inter-\n    national law", "international\nlaw"),
        (with_whole_words, "a well-\nknown and well-known word", "a well-known\nand well-known word"),
        (with_whole_words, "a well-\nknown, wellknown, well-known word", "a wellknown,\nwellknown, well-known word"),
        (with_whole_words, "Marie-\nCurie, 1-\n2 and x --\ny", "Marie-\nCurie, 1-\n2 and x --\ny"),
        (with_whole_words, "Käse\xad\nkuchen", "Käsekuchen\n"),
        (with_whole_words, "non-\nASCII", "non-\nASCII"),
    ],
)
def test_characters_spaces_and_words(change, text, expected):
    assert change(text) == expected


def test_lines_by_name_and_by_pattern():
    text = "Skip to  Content\n# Title\n---\n\nText.\nshare: x\n```\n}"
    patterns = [lambda line: line.startswith("share")]
    assert without_lines(text, {"skip to content", "---", "```"}, patterns) == "# Title\n---\n\nText.\n```\n}"


def page(number, heading="A report on things", extra=""):
    return f"{heading}\n\n# Part {number}\nWhat page {number * number} says.\n{extra}\nMore of it.\nAnd more.\nThe end.\n\nPage {number} of 9"


def test_running_heads_and_page_numbers_go():
    pages = without_running_heads([page(n) for n in range(1, 10)], 0.4)
    assert all(f"# Part {n}\n" in p and f"What page {n * n} says." in p for n, p in enumerate(pages, 1))
    assert not any("A report on things" in p or "of 9" in p for p in pages)


def test_heads_that_alternate_and_few_pages():
    pages = [f"{'Left' if n % 2 else 'Right'} head\nText number {n * 7919}." for n in range(10)]
    assert without_running_heads(pages, 0.4) == [f"Text number {n * 7919}." for n in range(10)]
    assert without_running_heads(pages[:4], 0.4) == pages[:4], "a line on two pages is no running head"
    assert without_running_heads(pages, 0.9) == pages


TEXTS = st.text(
    alphabet=st.sampled_from(list("aeB-. \n\t\r\x00\xad\u200b\u0308\u0301\xa0\ufb01\uff21é👩\u200d")), max_size=60
)


@given(TEXTS, st.sampled_from(["NFC", "NFKC", "NFD", "none"]), st.sampled_from(["lines", "all"]))
def test_a_clean_text_is_clean(text, form, white_space):
    params = DEFAULT.model_copy(update={"form": form, "white_space": white_space})
    (once,) = clean_pages([text], params, (), ())
    assert clean_pages([once], params, (), ()) == [once]
    assert form == "none" or unicodedata.is_normalized(form, once)
    assert not set(once) & set("\r\x00\xad\u200b\xa0")
    assert "\n\n\n" not in once
    assert all(line == line.rstrip() for line in once.split("\n"))


@given(st.lists(TEXTS, min_size=1, max_size=5))
def test_no_letter_is_lost(pages):
    letters = [c for p in pages for c in unicodedata.normalize("NFD", p) if c.isalpha()]
    kept = "".join(clean_pages(pages, DEFAULT.model_copy(update={"form": "NFD"}), (), ()))
    assert [c for c in kept if c.isalpha()] == letters


BOOK = [page(n, extra=f"word{n} un-\nbroken") for n in range(1, 6)]
PIPELINE = """\
  texts: {transform: tabular.read, params: {path: texts.ndjson, schema: union}, key: [id]}
  lines:
    transform: tabular.sql
    key: [line]
    params:
      sql: |
        select line from (select id, unnest(string_split(text, chr(10))) as line from texts)
        where length(line) > 8 group by line having count(distinct id) >= 3
  out: {transform: document.clean, inputs: [texts, lines], params: PARAMS}
  chunks: {transform: document.chunk, inputs: [out], params: {pages: starts, markup: markdown, size: 60}}
"""


@pytest.fixture
def library(empty):
    """Texts, one of them with pages."""
    starts = [sum(len(p) + 2 for p in BOOK[:n]) for n in range(len(BOOK))]
    rows = [{"id": n, "text": f"Skip to content\nSite {n}.  \n", "starts": None} for n in range(20)]
    rows += [{"id": 20, "text": "\n\n".join(BOOK), "starts": starts}, {"id": 21, "text": None, "starts": None}]
    params = "{hyphens: true, pages: starts}"

    def go(change=None):
        for n, text in (change or {}).items():
            rows[n]["text"] = text
        empty.write("texts.ndjson", "".join(json.dumps(r) + "\n" for r in rows))
        empty.tasks(PIPELINE.replace("PARAMS", params))
        done = empty.fast("run", "--json")
        assert done.code == 0, done.err
        shown = empty.fast("show", "out", "--json", "--limit", "0").out.splitlines()
        tasks = {t["task"]: t for t in done.json()["tasks"]}
        return {r["id"]: r for r in map(json.loads, shown)}, tasks

    return go


def test_lines_of_many_texts_go_and_offsets_stay_true(library, empty):
    made, tasks = library()
    assert tasks["out"]["items"]["computed"] == 22
    assert (made[3]["text"], made[21]["text"]) == ("Site 3.", None)
    book = made[20]
    assert "A report" not in book["text"]
    assert "Page 3 of 9" not in book["text"]
    assert "unbroken" in book["text"]
    assert len(book["starts"]) == 5
    assert all(book["text"].startswith(f"# Part {n}", start) for n, start in enumerate(book["starts"], 1))
    chunks = [json.loads(line) for line in empty.fast("show", "chunks", "--json", "--limit", "0").out.splitlines()]
    assert {c["page"] for c in chunks if "word4" in c["text"]} == {4}


def test_an_edit_costs_one_text_while_the_lines_are_the_same(library):
    library()
    made, tasks = library({3: "Skip to content\nSite three.\n"})
    assert tasks["out"]["items"] == {"changed": 1, "unchanged": 21, "computed": 1}
    assert made[3]["text"] == "Site three."
    new = dict.fromkeys(range(4), "Subscribe to the letter\nText.")
    made, tasks = library(new)
    assert tasks["out"]["items"]["computed"] == 19, "the set of lines is another one; equal texts are cleaned once"
    assert [made[n]["text"] for n in range(5)] == ["Text."] * 4 + ["Site 4."]


@pytest.mark.parametrize(
    ("inputs", "params", "code", "told"),
    [
        ("[texts]", "{drop_lines: ['(']}", 3, "'(' is no regular expression"),
        ("[texts]", "{form: NFX}", 3, "'NFC', 'NFD', 'NFKC', 'NFKD' or 'none'"),
        ("[texts, more]", "{}", 1, "'more' has no column 'line' of lines to leave out\n"),
        ("[texts]", "{pages: page_starts}", 1, "'texts' has no column 'page_starts'"),
    ],
)
def test_what_is_wrong_is_told(empty, inputs, params, code, told):
    empty.write("a.csv", "id,text\n1,a\n")
    read = "{transform: tabular.read, params: {path: a.csv}, key: [id]}"
    empty.tasks(
        f"  texts: {read}\n  more: {read}\n  out: {{transform: document.clean, inputs: {inputs}, params: {params}}}\n"
    )
    done = empty.fast("run")
    assert done.code == code
    assert told.strip() in done.err, done.err
