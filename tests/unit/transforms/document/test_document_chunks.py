"""Chunks: exact offsets, limits, nothing lost, headings; an edit at the top changes few."""

import itertools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmetl.transforms.document.chunks import chunk, markup_of
from mmetl.transforms.document.cuts import SENTENCE, SEPARATORS, TOKEN, behind, windows
from mmetl.transforms.document.headings import find_headings, heading_paths

METHODS = ("recursive", "heading", "sentence", "tokens")
WORDS = st.sampled_from(
    [
        "a",
        "The",
        "word.",
        "Mr.",
        "\n",
        "\n\n",
        "# T",
        "T\n==",
        "```",
        " ",
        "x" * 30,
        "é́",
        "漢字。",
        "\r\n",
        "---",
        "\t",
        "1.5",
    ]
)
TEXTS = st.lists(WORDS, max_size=120).map(" ".join) | st.lists(WORDS, max_size=60).map("".join) | st.text(max_size=200)


def long_text(paragraphs=400, headings=True):
    """Make a text whose paragraphs differ in length and words, the same each time."""
    made = []
    for number in range(paragraphs):
        if headings and number % 9 == 0:
            made.append(f"{'#' * (1 + number % 3)} Section {number}")
        sentences = (
            f"Sentence {k} of paragraph {number} says {number * 7919 % 1000}." for k in range(1 + number * 31 % 7)
        )
        made.append(" ".join(sentences))
    return "\n\n".join(made)


@settings(max_examples=150, deadline=None)
@given(
    TEXTS,
    st.sampled_from(METHODS),
    st.integers(2, 60),
    st.integers(0, 29),
    st.sampled_from(["markdown", "rst", "none"]),
)
def test_chunks_are_exact_bounded_and_lose_nothing(text, method, size, overlap, markup):
    overlap = min(overlap, (size - 1) // 2)
    covered = bytearray(len(text))
    last = -1
    for piece in chunk(text, method, size, overlap, markup):
        assert text[piece.start : piece.end] == piece.text == piece.text.strip()
        assert piece.text
        assert (len(TOKEN.findall(piece.text)) if method == "tokens" else len(piece.text)) <= size
        assert piece.start >= last
        last = piece.start
        covered[piece.start : piece.end] = b"\1" * len(piece.text)
    assert not "".join(c for c, seen in zip(text, covered, strict=True) if not seen).strip()


@settings(max_examples=150, deadline=None)
@given(TEXTS, st.integers(2, 60))
def test_recursive_ends_behind_the_coarsest_separator(text, size):
    for window in windows(text, 0, len(text), size, 0, behind(SEPARATORS)):
        piece = text[window.start : window.end]
        earliest = max(size // 4, 0)
        within = text[window.start + earliest : window.start + size]
        there = next((s for s in SEPARATORS if s in within), "")
        assert window.end == len(text) or piece.endswith(there)


def test_recursive_takes_separators():
    text = "one two three|four five six"
    assert [c.text for c in chunk(text, "recursive", 14, 0, separators=("|",))] == ["one two three|", "four five six"]


MARKDOWN = """Before all.

# One
Text of one.
```
# no heading
```
Two
---
Text of two.

### Deep ##

#no heading
    # code
* * *
# Last
"""
RST = """PEP: 1

=====
Title
=====

Part A
======
Text.

Sub
---
Text::

    Code
    ====

Part B
======
a table
===== =====

Last
"""


@pytest.mark.parametrize(
    ("text", "markup", "expected"),
    [
        (MARKDOWN, "markdown", [(), ("One",), ("One", "Deep"), ("Last",)]),
        (RST, "rst", [(), ("Title",), ("Title", "Part A"), ("Title", "Part A", "Sub"), ("Title", "Part B")]),
        (
            RST.replace("\n", "\r\n"),
            "rst",
            [(), ("Title",), ("Title", "Part A"), ("Title", "Part A", "Sub"), ("Title", "Part B")],
        ),
        (MARKDOWN, "none", [()]),
    ],
)
def test_paths_of_headings(text, markup, expected):
    assert [(), *heading_paths(find_headings(text, markup))] == expected


def test_underlines_in_markdown_need_a_blank_line_above_and_words():
    text = "A\n=\n\nB\n---\n\nlong\nparagraph\n---\n\n- item\n---\n\n---\ntitle: x\n---\n"
    assert [(h.level, h.title) for h in find_headings(text, "markdown")] == [(1, "A"), (2, "B")]


def test_a_section_goes_with_those_below_it_if_they_fit():
    text = "Top.\n\n# A\n\nText a.\n\n## B\n\nText b.\n\n# C\n\n## D\n\n" + "Long words. " * 6 + "\n\n## E\n\nText e."
    assert [(c.text, c.headings) for c in chunk(text, "heading", 40)] == [
        ("Top.", ()),
        ("# A\n\nText a.\n\n## B\n\nText b.", ("A",)),
        ("# C\n\n## D\n\nLong words.", ("C", "D")),  # no chunk is a mere heading
        ("Long words. Long words. Long words.", ("C", "D")),
        ("Long words. Long words.", ("C", "D")),
        ("## E\n\nText e.", ("C", "E")),
    ]


def test_sentences_are_whole():
    text = "Mr. Brown paid 3.50 to J. Doe, e.g. for tea. He left! Why? " + "Nobody knows (yet). " * 3
    found = [c.text for c in chunk(text, "sentence", 60, 20)]
    assert found[0].startswith("Mr. Brown paid 3.50 to J. Doe, e.g. for tea.")
    assert all(piece[0].isupper() and piece[-1] in ".!?)" for piece in found)


def test_what_is_repeated_is_no_torn_word():
    text = "several words in a row " * 40
    words = {"several", "words", "in", "a", "row"}
    for method in ("heading", "sentence", "tokens"):
        assert {word for c in chunk(text, method, 50, 12) for word in c.text.split()} == words


@pytest.mark.parametrize(("size", "overlap"), [(1, 0), (10, 5), (10, -1)])
def test_a_size_that_cannot_be(size, overlap):
    with pytest.raises(ValueError, match="must be below half of size"):
        chunk("text", "recursive", size, overlap)


def test_markup_goes_by_the_media_type():
    assert [markup_of(m) for m in ("text/x-rst", "text/html", "text/markdown", "text/plain", "text/x-python")] == [
        "rst",
        "markdown",
        "markdown",
        "none",
        "none",
    ]


@pytest.mark.parametrize(
    ("method", "size", "headings", "most"),
    [("heading", 600, True, 2), ("sentence", 600, False, 4), ("tokens", 150, False, 4), ("recursive", 600, False, 4)],
)
def test_a_paragraph_inserted_at_the_top_changes_few_chunks(method, size, headings, most):
    text = long_text(headings=headings)
    before = [c.text for c in chunk(text, method, size)]
    assert len(before) > 50
    for words in (3, 10, 40, 120):
        after = {c.text for c in chunk("An inserted line. " * words + "\n\n" + text, method, size)}
        inserted = len("An inserted line. " * words) * 4 // size
        assert len(after - set(before)) <= most + inserted
        assert len(set(before) - after) <= most


REAL = Path(__file__).parents[4] / "examples/data/pep_texts"


@pytest.mark.parametrize(("method", "size"), [("heading", 800), ("sentence", 800), ("tokens", 200), ("recursive", 800)])
def test_an_edited_sentence_makes_few_chunks_new(method, size):
    """Of a real text of fifty chunks or more, at most a tenth."""
    shares = []
    for name in ("pep-0586.rst", "pep-0612.rst"):
        text = (REAL / name).read_text()
        before = {c.text for c in chunk(text, method, size, markup="rst")}
        assert len(before) >= 50
        ends = [m.end() for m in SENTENCE.finditer(text)]
        for start, end in list(itertools.pairwise(ends))[:: len(ends) // 15]:
            edited = f"{text[:start]}A sentence of other words, {start} of them. {text[end:]}"
            after = [c.text for c in chunk(edited, method, size, markup="rst")]
            shares.append(sum(c not in before for c in after) / len(after))
    assert max(shares) <= 0.1
    assert sum(shares) / len(shares) < 0.03


def test_one_line_of_megabytes_takes_no_time_that_grows_with_its_square():
    text = "x" * 3_000_000
    assert len(list(chunk(text, "heading", 1000))) == 3000
    assert len(list(chunk(text, "sentence", 1000, 100))) == 3000


WRONG = [
    (
        "{}",
        "'rows' has no column 'media_type', by which `markup: auto` knows how headings are marked; say how they are:",
    ),
    ("{text: words}", "'rows' has no column 'words'"),
    ("{text: id, markup: none}", "the column 'id' of 'rows' is int64, not text; name the column of the texts"),
]


def test_an_input_that_cannot_be_cut_is_told(empty):
    empty.write("rows.csv", "id,text\n1,some words\n")
    for params, error in WRONG:
        empty.tasks(
            "  rows: {transform: tabular.read, params: {path: rows.csv}, key: [id]}\n"
            f"  chunks: {{transform: document.chunk, inputs: [rows], params: {params}}}\n"
        )
        done = empty.fast("run")
        assert (done.code, error in done.err) == (1, True), done.err
    empty.edit("pipeline.yaml", "text: id, ", "")
    assert empty.run()["chunks"] == "ran"
