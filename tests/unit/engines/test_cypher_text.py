"""Queries in Cypher, looked at by their tokens: what only reads, what is ordered, how ties are broken."""

from __future__ import annotations

import pytest

from mmetl.engines.cypher_text import place_of, read_query, refuse_changing
from mmetl.errors import ParamError

ORDERED = [
    ("MATCH (n) RETURN n.x AS x ORDER BY x", "MATCH (n) RETURN n.x AS x ORDER BY x, x"),
    ("MATCH (n) RETURN n.x, n.y ORDER BY n.x LIMIT 3;", "MATCH (n) RETURN n.x, n.y ORDER BY n.x, n.x, n.y LIMIT 3"),
    (
        "RETURN 1 AS order, f(2, 3) AS b ORDER BY b SKIP 1 LIMIT 2",
        "RETURN 1 AS order, f(2, 3) AS b ORDER BY b, order, b SKIP 1 LIMIT 2",
    ),
    ("MATCH (n) WITH n ORDER BY n.x LIMIT 3 RETURN n.x AS x", None),
    ("RETURN 1 AS x UNION ALL RETURN 2 AS x ORDER BY x", None),
    ("MATCH (n) RETURN [x IN n.l WHERE x > 1 | x] AS order", None),
]


@pytest.mark.parametrize(("text", "broken"), ORDERED)
def test_an_order_at_the_end_is_kept_and_its_ties_are_broken(text: str, broken: str | None) -> None:
    found = read_query(text)
    assert found.ordered == (broken is not None)
    assert found.break_ties() == (broken or text)


@pytest.mark.parametrize(
    "text",
    [
        "MATCH (n:Set {create: 1})-[:DELETE|MERGE*1..2]->(m) RETURN n.remove AS set, m.drop",
        "MATCH (set) RETURN set.x AS x",
        "RETURN 'DELETE // LOAD' AS `MERGE` // SET nothing",
        "/* CREATE */ CALL show_tables() RETURN *",
        "MATCH (n) WHERE exists { MATCH (n)-[:R]->() } RETURN n.x AS x",
    ],
)
def test_words_that_only_look_like_clauses(text: str) -> None:
    assert read_query(text).returns


@pytest.mark.parametrize(
    ("text", "offset"),
    [
        ("MATCH (n) SET n.x = 1 RETURN n.x", 10),
        ("MATCH (n) /* x */ detach delete n", 18),
        ("UNWIND [1] AS x MERGE (:A {_key: x}) RETURN x", 16),
        ("RETURN 1 AS x UNION LOAD FROM 'a.csv' RETURN *", 20),
        ("EXPLAIN COPY (RETURN 1) TO 'a.csv'", 8),
        ("CALL threads=4", 0),
        ("RETURN 1; RETURN 2", 8),
        ("  \n;", None),
        ("RETURN 'a", 7),
    ],
)
def test_what_does_more_than_read_is_refused_at_its_place(text: str, offset: int | None) -> None:
    with pytest.raises(ParamError) as caught:
        read_query(text)
    assert caught.value.offset == offset


def test_writes_are_allowed_and_other_files_are_not() -> None:
    assert read_query("MATCH (n) SET n.x = 1 RETURN n.x", writes=True).returns
    with pytest.raises(ParamError, match="LOAD is not for the graph"):
        read_query("LOAD FROM 'a.csv' RETURN *", writes=True)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("MATCH (n) RETURN Rand() AS r", "rand() gives another value each time"),
        ("RETURN timestamp() AS t", "timestamp() gives another value each time"),
        ("MATCH (n) WITH n SKIP 1 RETURN n.x", "SKIP without ORDER BY"),
        ("MATCH (n) WITH n ORDER BY n.x RETURN n.y LIMIT 1", "LIMIT without ORDER BY"),
        ("RETURN timestamp('2020-01-01') AS t, date($d) AS d", None),
        ("MATCH (n) RETURN n.id AS id, n.rand ORDER BY id LIMIT 3", None),
    ],
)
def test_what_may_change_from_run_to_run(text: str, told: str | None) -> None:
    if told is None:
        refuse_changing(text)
        return
    with pytest.raises(ParamError) as caught:
        refuse_changing(text)
    assert caught.value.what.startswith(told)


def test_comments_and_white_space_do_not_count() -> None:
    one, other = read_query("MATCH (n)\n  // all\n RETURN n.x AS x;"), read_query("MATCH(n) RETURN n.x AS x")
    assert one.canonical == other.canonical
    assert one.canonical != read_query("MATCH (n) RETURN n.X AS x").canonical


def test_the_place_of_a_name() -> None:
    text = "MATCH (b:Book)\nRETURN 'b.titel', b.titel"
    assert text[place_of(text, "b", ".", "titel") :] == "b.titel"
    assert place_of(text, "nowhere") == 0
