"""`mmetl search`: the nearest rows to a question, found by the model that made the vectors."""

from __future__ import annotations

import pytest

PIPELINE = """\
version: 1
name: p
tasks:
  texts: {transform: tabular.read, params: {path: texts.csv}, key: [id]}
  vectors: {transform: vector.embed, inputs: [texts]}
  short: {transform: tabular.sql, key: [id], params: {sql: "select * from vectors where length(text) < 40"}}
"""

TEXTS = """\
id,kind,text
1,food,"Bread is baked from flour, water, salt and yeast."
2,sky,"The moon orbits the earth once in about a month."
3,food,"Soup is cooked slowly from vegetables."
4,sky,"Comets have tails that point away from the sun."
"""


@pytest.fixture
def library(empty):
    empty.write("pipeline.yaml", PIPELINE)
    empty.write("texts.csv", TEXTS)
    assert set(empty.run().values()) == {"ran"}
    return empty


def ids(project, *argv):
    done = project.fast("search", *argv, "--json")
    assert done.code == 0, done.err
    return [hit["row"]["id"] for hit in done.json()["hits"]]


def test_the_nearest_rows(library):
    assert ids(library, "vectors", "how is bread made?", "-k", "1") == [1]
    assert ids(library, "vectors", "the moon and the earth", "-k", "1") == [2]
    assert len(ids(library, "vectors", "anything")) == 4
    shown = library.fast("search", "vectors", "how is bread made?", "-k", "1").out
    assert shown.startswith("1. 0.")
    assert shown.endswith("  1\n   Bread is baked from flour, water, salt and yeast.\n")
    assert "vector" not in shown


def test_only_rows_that_are_wanted(library):
    assert set(ids(library, "vectors", "how is bread made?", "--where", "kind = 'sky'")) == {2, 4}
    assert ids(library, "short", "vegetables") == [3], "a task downstream of the vectors"


def test_scores_fall_and_a_text_is_nearest_to_itself(library):
    told = library.fast("search", "vectors", "Comets have tails that point away from the sun.", "--json").json()
    assert list(told) == ["schema_version", "task", "question", "hits"]
    hits = told["hits"]
    scores = [h["score"] for h in hits]
    assert hits[0]["row"]["id"] == 4
    assert abs(scores[0] - 1) < 1e-4
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize(
    ("argv", "code", "error"),
    [
        (
            ["texts", "x"],
            2,
            "error: nothing that 'texts' reads was made by vector.embed\nhelp: search one of: vectors\n",
        ),
        (["vector", "x"], 2, "error: no task is called 'vector'\nhelp: did you mean 'vectors'?\n"),
    ],
)
def test_what_cannot_be_searched(library, argv, code, error):
    done = library.fast("search", *argv)
    assert (done.code, done.err) == (code, error)


def test_a_condition_that_is_none(library):
    """It is told as it was written: nobody needs to see the query around it."""
    done = library.fast("search", "vectors", "x", "--where", "kidn = 'sky'")
    assert done.code == 2
    assert done.err.startswith('sql:1:1: error: referenced column "kidn" not found')
    assert "   1 | kidn = 'sky'\n" in done.err


def test_words_need_no_model_and_a_condition_takes_none_away(empty):
    """Vectors may come from elsewhere. The one row that is wanted is found, however many have the word, too."""
    empty.tasks(
        "  made: {transform: tabular.sql, key: [id], params: {sql: \"select i as id, 'wheat' as text, [1, i]::float[2] as v"
        ' from range(1500) t(i)"}}\n'
        "  index: {transform: vector.index, inputs: [made], params: {path: out/, vector: v, text: text}}\n"
    )
    assert set(empty.run().values()) == {"ran"}
    for wanted in range(0, 1500, 499):
        assert ids(empty, "index", "wheat", "--mode", "text", "--where", f"id = {wanted}") == [wanted]
    assert ids(empty, "index", "wheat", "--mode", "text", "--where", "id = -1") == []
    assert empty.fast("search", "index", "rye", "--mode", "text").err == "nothing was found\n"
    told = empty.fast("search", "index", "wheat")
    assert (told.code, told.err) == (
        2,
        "error: nothing that 'index' reads was made by vector.embed\nhelp: search it by its words: --mode text\n",
    )


def test_keys_of_any_type_are_found(empty):
    """Their texts in an index are not those that DuckDB would write: `Z` and `+00`. A column may be called score."""
    empty.tasks(
        "  made: {transform: tabular.sql, key: [day, at, hour, price, good, name], params: {sql: \"select date '2024-01-02' as day,"
        " timestamptz '2024-01-02 10:00:00.5+00' as at, time '10:30' as hour, i::decimal(9,2) as price, true as good,"
        " 'it''s ' || i as name, 'wheat' || i as text, [1, i]::float[2] as v, i as score from range(3) t(i)\"}}\n"
        "  index: {transform: vector.index, inputs: [made], params: {path: out/, vector: v, text: text}}\n"
    )
    assert set(empty.run().values()) == {"ran"}
    done = empty.fast("search", "index", "wheat2", "--mode", "text", "--json")
    assert done.code == 0, done.err
    hits = done.json()["hits"]
    assert [(h["row"]["name"], h["row"]["score"]) for h in hits] == [("it's 2", 2)]
