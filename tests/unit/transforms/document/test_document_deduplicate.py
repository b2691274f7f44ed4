"""`document.deduplicate`: which texts are duplicates of which, how well that is found, and what a change costs."""

from __future__ import annotations

import json
import random
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmetl.transforms.document.duplicates import exact_names, find_duplicates, normalized, signatures
from mmetl.transforms.document.kept_texts import CROWD

HERE = Path(__file__).parent
PEPS = HERE.parents[3] / "examples" / "data" / "pep_texts"
VARIANTS = (0.99, 0.97)
PAIRS = (0.9, 0.8)
"""Precision and recall, as docs/reference/transforms.md tells them."""


def duplicates(texts, threshold=0.7, size=3, unit="words", near=True):
    """Return of which text before it each one is a duplicate; -1: of none."""
    plain = [normalized(t) for t in texts]
    return find_duplicates(exact_names(plain), signatures(plain, size, unit, 128) if near else None, threshold)


# --- how well


def passages():
    """Yield runs of paragraphs of real texts, of some 200 to 1,000 words."""
    for path in sorted(PEPS.iterdir()):
        paragraphs = path.read_text(encoding="utf-8").split("\n\n")
        for start in range(0, len(paragraphs) - 24, 24):
            yield paragraphs[start : start + 24]


def replaced(words, share, rng):
    return [f"other{rng.randrange(10_000)}" if rng.random() < share else w for w in words]


def variants(paragraphs, rng):
    """Yield texts that say nearly the same."""
    text = "\n\n".join(paragraphs)
    yield text.upper()
    yield "  \n".join(text.split(" ")).replace(",", ";")
    yield " ".join(replaced(text.split(), 0.03, rng))
    yield "\n\n".join([*paragraphs[:5], "A paragraph of some ten words that was not there before.", *paragraphs[5:]])
    left_out = min(range(len(paragraphs)), key=lambda n: abs(len(paragraphs[n]) - len(text) // len(paragraphs)))
    yield "\n\n".join(paragraphs[:left_out] + paragraphs[left_out + 1 :])


def test_it_finds_variants_of_real_texts():
    rng = random.Random(1)
    real = list(passages())
    texts = [("\n\n".join(p), n) for n, p in enumerate(real)]
    for n, paragraphs in enumerate(real):
        texts += [(v, n) for v in variants(paragraphs, rng)]
        half = paragraphs[:12] + real[(n + 7) % len(real)][12:]
        texts.append(("\n\n".join(half), len(real) + n))
    found = duplicates([t for t, _ in texts]).of
    pairs = [(n, int(of)) for n, of in enumerate(found) if of >= 0]
    right = sum(texts[a][1] == texts[b][1] for a, b in pairs)
    labelled = len(texts) - len({group for _, group in texts})
    assert len(real) >= 60
    assert right / len(pairs) >= VARIANTS[0]
    assert right / labelled >= VARIANTS[1]


def test_it_agrees_with_readers():
    lines = (HERE / "duplicate_pairs.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("\t") for line in lines if not line.startswith("#")]
    found = {(a, b): duplicates([a, b], threshold=0.5, size=2).of[1] == 0 for _, a, b in pairs}
    same = {(a, b) for label, a, b in pairs if label == "same"}
    right = sum(found[pair] for pair in same)
    assert len(same) >= 15 <= len(pairs) - len(same)
    assert right / sum(found.values()) >= PAIRS[0], [p for p in found if found[p] and p not in same]
    assert right / len(same) >= PAIRS[1], [p for p in same if not found[p]]


# --- which


WORDS = st.lists(st.sampled_from("abcdefgh"), max_size=12).map(" ".join)


def jaccard(a, b):
    return float((a == b).mean())


@settings(max_examples=60)
@given(st.lists(WORDS, max_size=12), st.sampled_from([0.3, 0.7, 1.0]))
def test_kept_texts_are_apart_and_others_are_like_theirs(texts, threshold):
    plain = [normalized(t) for t in texts]
    signed = signatures(plain, 2, "words", 128)
    found = find_duplicates(exact_names(plain), signed, threshold)
    for n, (of, similarity) in enumerate(zip(found.of.tolist(), found.similarity.tolist(), strict=True)):
        if not plain[n]:
            assert of == -1
        elif of == -1:
            assert similarity == 0
            assert all(plain[m] != plain[n] for m in range(n)), "an equal text before it would have been kept"
        else:
            assert of < n
            assert found.of[of] == -1, "it is a duplicate of one that is kept"
            assert similarity == pytest.approx(jaccard(signed[n], signed[of]))
            assert similarity >= threshold or plain[n] == plain[of]


def test_duplicates_do_not_chain():
    words = [f"w{i}" for i in range(100)]
    chain = [" ".join(words[i : i + 60]) for i in range(0, 40, 8)]
    found = duplicates(chain, threshold=0.7).of.tolist()
    assert found == [-1, 0, -1, 2, -1], "each is like its neighbour; the third is not like the first"


def test_blank_short_and_other_scripts():
    assert duplicates(["", " ", "-- -", "--  -", "a", "A.", "b"]).of.tolist() == [-1, -1, -1, 2, -1, 4, -1]
    text = "東京都は日本の首都であり世界でも有数の大都市である。人口は千四百万人を超えている。"
    assert duplicates([text, text.replace("千", "約千")], unit="characters").of.tolist() == [-1, 0]
    assert duplicates([text, text.replace("千", "約千")]).of.tolist() == [-1, -1]
    assert duplicates(["a b c d e f g h i j", "a b c d e f g h i k"], threshold=0.5, near=False).of.tolist() == [-1, -1]


def test_many_equal_texts_cost_no_comparison():
    found = duplicates(["the same text again"] * 20_000 + ["another text altogether"])
    assert (np.asarray(found.of[1:20_000]) == 0).all()
    assert found.of[20_000] == -1


MANY = 10_000
BANDS = 32  # of a signature of 128 numbers, with a threshold of 0.7


def alike(share, count, rng):
    """Return signatures that have so much in common with one."""
    one = rng.integers(0, 2**32, 128, np.uint32)
    other = rng.integers(0, 2**32, (count, 128), np.uint32)
    return np.where(rng.random((count, 128)) < share, one, other).astype(np.uint32)


def named(signed):
    return [signature.tobytes() for signature in signed]


def test_ten_thousand_texts_that_are_nearly_the_same_are_compared_with_few():
    signed = alike(0.97, MANY, np.random.default_rng(1))
    found = find_duplicates(named(signed), signed, 0.7)
    assert (found.of[1:] == 0).all()
    assert found.compared < MANY


def test_ten_thousand_texts_that_share_much_and_are_no_duplicates_are_compared_with_a_bounded_number():
    """And those among them that are duplicates are found all the same."""
    rng = np.random.default_rng(1)
    signed = alike(0.67, MANY, rng)  # so two of them have 0.45 in common
    signed[5::10] = np.where(rng.random((MANY // 10, 128)) < 0.97, signed[::10], signed[5::10])
    found = find_duplicates(named(signed), signed, 0.7)
    assert (found.of[5::10] == np.arange(0, MANY, 10)).mean() > 0.99
    assert (found.of >= 0).sum() < MANY // 10 + 50
    assert found.compared < MANY * BANDS * CROWD
    assert found.compared < MANY * MANY / 2 / 10, "a tenth of all pairs"


# --- through the door

TEXT = "The import system asks one finder after the other until one of them knows where the module may be found"
PIPELINE = """\
  texts: {transform: tabular.read, params: {path: texts.ndjson}, key: [KEY]}
  out: {transform: document.deduplicate, inputs: [texts], params: PARAMS}
"""


@pytest.fixture
def letters(empty):
    """Write rows and params, run; return the rows that come out, and what is said of the task."""

    def go(rows, params="{keep: all, threshold: 0.6}", key="id"):
        empty.write("texts.ndjson", "".join(json.dumps(r) + "\n" for r in rows))
        empty.tasks(PIPELINE.replace("PARAMS", params).replace("KEY", key))
        done = empty.fast("run", "--json")
        assert done.code == 0, done.err
        shown = empty.fast("show", "out", "--json", "--limit", "0").out.splitlines()
        return sorted(map(json.loads, shown), key=lambda r: r["id"]), done.json()["tasks"][-1]

    return go


def rows_of(texts, start=1):
    return [{"id": n, "text": t} for n, t in enumerate(texts, start)]


TEXTS = [TEXT, "Something else.", TEXT.upper() + "!", TEXT + " at last", None, "", "Something else"]


def test_all_rows_with_what_they_are_duplicates_of(letters):
    rows, task = letters(rows_of(TEXTS))
    assert [r["duplicate_of"] for r in rows] == [None, None, 1, 1, None, None, 2]
    assert [r["similarity"] and round(r["similarity"], 1) for r in rows] == [None, None, 1.0, 0.9, None, None, 1.0]
    assert task["items"] == {"added": 7, "computed": 7, "duplicates": 3}
    assert letters(rows_of(TEXTS))[1]["outcome"] == "fresh"


def test_only_the_first_is_kept(letters):
    rows, _ = letters(rows_of(TEXTS), "{threshold: 0.6, drop: []}")
    assert [(r["id"], r["text"]) for r in rows] == [(1, TEXT), (2, "Something else."), (5, None), (6, "")]
    rows, _ = letters(rows_of(TEXTS), "{method: exact, drop: [text]}")
    assert rows == [{"id": n} for n in (1, 2, 4, 5, 6)]


def test_a_key_of_several_columns(letters):
    rows = [{"id": n, "part": p, "text": TEXT + f" {n % 2}"} for n in range(3) for p in "ba"]
    made, _ = letters(rows, key="id, part")
    said = {(r["id"], r["part"]): r["duplicate_of"] for r in made}
    assert said.pop((0, "a")) is None
    assert set(map(json.dumps, said.values())) == {'{"id": 0, "part": "a"}'}


def test_other_params_compute_no_signature(letters):
    letters(rows_of(TEXTS))
    for params in ("{keep: all, threshold: 0.99}", "{threshold: 0.6}", "{threshold: 0.6, drop: [text]}"):
        assert letters(rows_of(TEXTS), params)[1]["items"]["computed"] == 0
    assert letters(rows_of(TEXTS), "{size: 2}")[1]["items"]["computed"] == 7


def test_the_row_that_is_kept_does_not_depend_on_history(letters):
    letters(rows_of(TEXTS[:2], start=5))
    rows, task = letters(rows_of([TEXT.lower(), "Something else", TEXT, "Something new"], start=2))
    assert task["items"]["computed"] == 3
    assert [(r["id"], r["duplicate_of"]) for r in rows] == [(2, None), (3, None), (4, 2), (5, None)]


@pytest.mark.parametrize("keep", ["first", "all"])
def test_only_parts_in_which_something_changed_are_written(letters, empty, keep):
    def parts():
        with sqlite3.connect(empty.root / ".mmetl" / "state.db") as db:
            tasks = db.execute("select task, m.body from tasks t join manifests m on m.fingerprint = t.manifest")
            return {task: {part[1] for part in json.loads(body)["parts"]} for task, body in tasks}

    texts = [f"Text {n * 7919} says {n} things of its own and of number {n * n}" + " or so" * 100 for n in range(400)]
    letters(rows_of(texts), f"{{keep: {keep}}}")
    before = parts()
    texts[300] = texts[7] + " "
    rows, _ = letters(rows_of(texts), f"{{keep: {keep}}}")
    after = parts()
    assert len(rows) == (400 if keep == "all" else 399)
    assert len(before["out"]) >= 8
    assert len(after["out"] - before["out"]) == 1
    if keep == "first":
        assert len(after["out"] & after["texts"]) == len(after["texts"]) - 1, "whole parts are those of the input"


def test_a_plan_tells_what_is_to_compute(letters, empty):
    letters(rows_of(TEXTS))
    empty.write("texts.ndjson", "".join(json.dumps(r) + "\n" for r in rows_of([*TEXTS, "New."])))
    empty.fast("run", "--select", "texts")
    (task,) = (t for t in empty.fast("dry-run", "--json").json()["tasks"] if t["task"] == "out")
    assert task["items"] == {"added": 1, "unchanged": 7, "computed": 1}


@pytest.mark.parametrize(
    ("pipeline", "code", "told"),
    [
        (PIPELINE.replace(", key: [KEY]", ""), 1, "'texts' has no key"),
        (PIPELINE.replace("PARAMS", "{drop: [id]}"), 1, "'id' is a part of the key of 'texts', which cannot be dropped"),
        (PIPELINE.replace("PARAMS", "{drop: [x]}"), 1, "'texts' has no column 'x'"),
        (PIPELINE.replace("PARAMS", "{text: body}"), 1, "'texts' has no column 'body'"),
        (PIPELINE.replace("PARAMS", "{threshold: 2}"), 3, "expected a number above 0 and of at most 1"),
        (PIPELINE.replace("[texts]", "[texts, more]") + "  more: {transform: document.files, params: {path: x/}}\n", 3, "needs one input"),
        (PIPELINE + "  again: {transform: document.deduplicate, inputs: [out], params: {keep: all}}\n", 1, "it makes 'duplicate_of', which 'out' has already"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(empty, pipeline, code, told):
    empty.write("texts.ndjson", '{"id": 1, "text": "a"}\n')
    empty.tasks(pipeline.replace("PARAMS", "{keep: all}").replace("KEY", "id"))
    done = empty.fast("run")
    assert told in done.err, done.err
    assert done.code == code
