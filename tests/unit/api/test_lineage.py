"""`mmetl why TASK --key K`, and `Project.why`: which rows a row came from, and which came from it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from harness import Project

from mmetl.api import Project as Opened

OWN = """\
import pyarrow as pa
from mmetl import Items, register_transform

@register_transform("own.shout", items=Items(reads=["text"], makes={"loud": "string"}))
def shout(batch):
    texts = batch.column("text").to_pylist()
    return {"loud": [t.upper() for t in texts], "_error": ["it is bad" if "bad" in t else None for t in texts]}

@register_transform("own.words", items=Items(reads=["loud"], makes={"word": "string"}, many=True, key=["word"]))
def words(batch):
    found = [(i, w) for i, t in enumerate(batch.column("loud").to_pylist()) for w in dict.fromkeys(t.split())]
    return pa.table({"_item": pa.array([i for i, _ in found], pa.int64()), "word": pa.array([w for _, w in found], pa.string())})

def same(people): return people
"""
PIPELINE = """\
version: 1
name: p
imports: [./own.py]
tasks:
  people: {transform: tabular.read, key: [town, name], params: {path: people.csv}}
  loud: {transform: own.shout, inputs: [people], params: {on_error: quarantine}}
  words: {transform: own.words, inputs: [loud]}
  towns: {transform: tabular.aggregate, inputs: [words], key: [town], params: {by: [town], columns: {n: count(*)}}}
  big: {transform: tabular.filter, inputs: [towns], materialize: view, params: {where: n > 1}}
  of_view: {transform: tabular.sql, key: [town], params: {sql: "select town, n * 2 as twice from big"}}
  opaque: {transform: tabular.python, inputs: [people], key: [town, name], params: {function: "./own.py:same"}}
  listed: {transform: tabular.sql, params: {sql: select name from opaque}}
  graph:
    transform: graph.build
    params:
      nodes:
        - {label: Town, from: towns, key: town, properties: [n]}
        - {label: Person, from: people, key: [town, name]}
      edges:
        - {type: IN, from: people, source: {label: Person, key: [town, name]}, target: {label: Town, key: town}}
      dangling: drop
  part: {transform: tabular.sql, matrix: {least: [0, 2]}, key: [town], params: {sql: "select town, n from towns where n > ${matrix:least}"}}
  both: {transform: tabular.sql, key: [least, town], params: {sql: select * from part}}
  files: {transform: tabular.write, inputs: [towns], params: {path: out/towns, partition_by: [town]}}
  joined:
    transform: tabular.sql
    key: [word]
    params: {sql: "select word, max(length(text)) as longest from words w join people p on p.town = w.town and p.name = w.name group by word"}
  report: {transform: tabular.write, inputs: [listed], params: {path: out/list.csv}}
"""
PEOPLE = "town,name,text\nUr,ann,a b\nUr,bob,b c d\nRom,ann,e\nOslo,cleo,bad f\nOslo,dan,g h i\n"


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that has run."""
    project = Project(tmp_path_factory.mktemp("towns"))
    project.write("own.py", OWN)
    project.write("pipeline.yaml", PIPELINE)
    project.write("people.csv", PEOPLE)
    done = project.fast("run", "--json")
    assert done.code == 0, done.err
    return project


def why(project: Project, task: str, *key: str, limit: int = 100) -> dict[str, Any]:
    """Return the answer for the row that has a key."""
    options = [word for k in key for word in ("--key", k)]
    done = project.fast("why", task, *options, "--json", "--limit", str(limit))
    assert done.code == 0, done.err
    return done.json()


def steps(answer: dict[str, Any], way: str) -> dict[str, tuple[str, list[tuple[Any, ...]]]]:
    """Return task -> grain, and the keys of its rows."""
    return {
        s["task"] if s["kind"] != "sources" else f"{s['task']} source": (
            s["grain"],
            sorted(tuple((r["key"] or r["values"]).values()) for r in s["rows"]),
        )
        for s in answer[way]
    }


def test_a_row_is_followed_up_to_its_file_and_down_to_the_graph(town: Project) -> None:
    answer = why(town, "words", '["Ur", "bob", "C"]')
    assert steps(answer, "upstream") == {
        "loud": ("rows", [("Ur", "bob")]),
        "people": ("rows", [("Ur", "bob")]),
        "people source": ("rows", [("people.csv",)]),
    }
    assert steps(answer, "downstream") == {
        "towns": ("rows", [("Ur",)]),
        "big": ("rows", [("Ur",)]),
        "of_view": ("rows", [("Ur",)]),
        "part@0": ("rows", [("Ur",)]),
        "part@2": ("rows", [("Ur",)]),
        "both": ("rows", [(0, "Ur"), (2, "Ur")]),
        "graph": ("rows", [("node", "Town", "Ur")]),
        "files": ("rows", [("out/towns/town=Ur/data.parquet",)]),
        "joined": ("some", [("C",)]),
    }


def test_several_rows_meet_in_one_and_all_are_told(town: Project) -> None:
    answer = steps(why(town, "both", "least=2", "town=Ur"), "upstream")
    assert answer["part@2"] == ("rows", [("Ur",)])
    assert "part@0" not in answer
    words = [("ann", "A"), ("ann", "B"), ("bob", "B"), ("bob", "C"), ("bob", "D")]
    assert answer["words"] == ("rows", [("Ur", *word) for word in words])
    assert answer["people"] == ("rows", [("Ur", "ann"), ("Ur", "bob")])


def test_nodes_and_edges_are_told_apart(town: Project) -> None:
    """An edge came from its own row, a node with a key of two columns too."""
    edge = json.dumps(["edge", "IN", json.dumps(["Person", '["Ur","bob"]', "Town", "Ur"], separators=(",", ":"))])
    assert steps(why(town, "graph", edge), "upstream")["people"] == ("rows", [("Ur", "bob")])
    node = json.dumps({"_kind": "node", "_label": "Person", "_key": '["Rom","ann"]'})
    assert set(steps(why(town, "graph", node), "upstream")) == {"people", "people source"}
    assert steps(why(town, "people", '["Rom","ann"]'), "downstream")["graph"] == (
        "rows",
        [("edge", "IN", '["Person","[\\"Rom\\",\\"ann\\"]","Town","Rom"]'), ("node", "Person", '["Rom","ann"]'), ("node", "Town", "Rom")],
    )  # fmt: skip


def test_a_table_that_was_joined_is_followed_through_the_other(town: Project) -> None:
    """`joined` shows nothing of `people`: its rows are found by those of `words`."""
    up = steps(why(town, "joined", "B"), "upstream")
    assert up["words"] == ("some", [("Ur", "ann", "B"), ("Ur", "bob", "B")])
    assert up["people"] == ("some", [("Ur", "ann"), ("Ur", "bob")])
    assert steps(why(town, "people", '["Ur","bob"]'), "downstream")["joined"] == ("some", [("B",), ("C",), ("D",)])


def test_what_cannot_be_told_to_the_row_is_said_so(town: Project) -> None:
    """A function over a whole table: nothing above it, and nothing below, is told by rows."""
    answer = why(town, "listed", "name=bob")
    assert steps(answer, "upstream")["opaque"] == ("rows", [("Ur", "bob")])  # no other has that name
    assert steps(why(town, "listed", "name=ann"), "upstream")["opaque"] == ("some", [("Rom", "ann"), ("Ur", "ann")])
    assert steps(answer, "upstream")["people"] == ("whole", [])
    (above,) = (s for s in answer["upstream"] if s["task"] == "people" and s["kind"] == "table")
    assert above["total"] == 5
    assert above["notes"] == ["opaque: tabular.python does not tell rows apart"]
    below = steps(why(town, "people", '["Ur","bob"]'), "downstream")
    assert {task: below[task][0] for task in ("opaque", "listed", "report")} == dict.fromkeys(("opaque", "listed", "report"), "whole")  # fmt: skip


@pytest.mark.parametrize(
    ("key", "row"),
    [
        (("town=Ur", "name=bob"), ("Ur", "bob")),
        (("NAME=bob",), ("Ur", "bob")),
        (("bob",), ("Ur", "bob")),
        (("bo",), ("Ur", "bob")),
        (("town=R",), ("Rom", "ann")),
        (('{"town": "Ur", "name": "ann"}',), ("Ur", "ann")),
        (('["Oslo", "dan"]',), ("Oslo", "dan")),
    ],
)
def test_a_key_may_be_written_in_several_ways(town: Project, key: tuple[str, ...], row: tuple[str, str]) -> None:
    (found,) = why(town, "people", *key)["start"]["rows"]
    assert tuple(found["key"].values()) == row


@pytest.mark.parametrize(
    ("argv", "what", "help_"),
    [
        (("people", "--key", "ann"), "2 rows of 'people' have 'ann'", "name one: --key town=Rom --key name=ann; --key town=Ur --key name=ann"),
        (("people", "--key", "bobb"), "no row of 'people' has the key 'bobb'", "the nearest: --key town=Ur --key name=bob;"),
        (("people", "--key", "twon=Ur", "--key", "name=ann"), "'people' has no column 'twon'", "did you mean 'town'?"),
        (("people", "--key", "[1]"), "'people' has 2 key columns, and 1 values were given", "its key is: town, name"),
        (("people", "--key", "ann", "--key", "Ur"), "--key 'ann' names no column", "write --key column=value"),
        (("listed", "--key", "ann"), "'listed' has no key", "name a column: --key name=value"),
        (("big", "--key", "Ur"), "'big' is a view: it has no rows of its own", "ask what it reads: towns"),
        (("peple", "--key", "Ur"), "no task is called 'peple'", "did you mean 'people'?"),
    ],
)  # fmt: skip
def test_a_key_that_names_nothing_is_told(town: Project, argv: tuple[str, ...], what: str, help_: str) -> None:
    done = town.fast("why", *argv)
    assert (done.code, done.out) == (2, "")
    assert f"error: {what}\nhelp: {help_}" in done.err


def test_a_row_that_is_set_aside_is_told_with_its_error(town: Project) -> None:
    answer = why(town, "loud", "cleo")
    assert answer["state"] == "quarantined"
    assert answer["start"]["quarantined"] == [{"key": {"town": "Oslo", "name": "cleo"}, "error": "it is bad"}]
    assert steps(answer, "upstream")["people"] == ("rows", [("Oslo", "cleo")])
    below = why(town, "people", "cleo")["downstream"]
    (loud,) = (s for s in below if s["task"] == "loud")
    assert (loud["total"], loud["quarantined"][0]["error"]) == (0, "it is bad")
    assert "words" not in {s["task"] for s in below}
    assert "set aside: town=Oslo  name=cleo: it is bad" in town.fast("why", "people", "--key", "cleo").out


def test_a_row_that_a_check_sets_aside_is_told(empty: Project) -> None:
    """What it came from is followed, and the row above says what became of it."""
    empty.write("rows.csv", "id,n\n1,5\n2,-1\n")
    empty.tasks(
        "  rows: {transform: tabular.read, key: [id], params: {path: rows.csv}}\n"
        '  good:\n    transform: tabular.sql\n    key: [id]\n    params: {sql: "select id, n * 2 as twice from rows"}\n'
        "    expect: [{range: {column: twice, min: 0}, max_fraction: 0.5, severity: quarantine}]\n"
    )
    assert empty.fast("run").code == 0
    answer = why(empty, "good", "2")
    assert answer["state"] == "quarantined"
    assert "range(twice)" in answer["start"]["quarantined"][0]["error"]
    assert steps(answer, "upstream")["rows"] == ("rows", [(2,)])
    (good,) = why(empty, "rows", "2")["downstream"]
    assert (good["total"], good["quarantined"][0]["key"]) == (0, {"id": 2})


def test_types_that_meet_are_compared_as_texts(empty: Project) -> None:
    """A union makes texts of numbers, and of nothing where a table lacks a column; a column may be called as DuckDB calls a place."""
    empty.write("people.csv", "id,name,age\n1,ann,3\n2,bob,4\n")
    empty.write("towns.csv", "id,name,code\n1,Ur,u1\n2,Rom,r1\n")
    empty.tasks(
        "  people: {transform: tabular.read, key: [id], params: {path: people.csv}}\n"
        "  towns: {transform: tabular.read, key: [id], params: {path: towns.csv}}\n"
        "  both: {transform: tabular.union, inputs: [people, towns], params: {source: of}}\n"
        "  mixed: {transform: tabular.sql, params: {sql: select id as x from people union all select code from towns}}\n"
        "  odd: {transform: tabular.sql, key: [id], params: {sql: 'select id, name as file_index from people'}}\n"
    )
    assert empty.fast("run").code == 0
    below = steps(why(empty, "people", "1"), "downstream")
    assert {task: grain for task, (grain, _) in below.items()} == {"both": "rows", "mixed": "rows", "odd": "rows"}
    assert (len(below["both"][1]), below["mixed"][1], below["odd"][1]) == (1, [("1",)], [(1,)])
    assert "people" not in steps(why(empty, "mixed", "x=u1"), "upstream")
    for part in (empty.root / ".mmetl/parts").glob("*/*"):
        part.chmod(0o644)
        part.write_bytes(b"PAR1")
    damaged = empty.fast("why", "people", "--key", "1")
    assert (damaged.code, damaged.out) == (1, "")
    assert "error: 'people' cannot be read" in damaged.err
    assert "help: mmetl doctor --deep tells whether a part is damaged" in damaged.err


def test_rows_are_found_in_whatever_bucket_they_are(empty: Project) -> None:
    """Of tables in many buckets only those are read that can hold a row, whatever the types of its key."""
    empty.write("own.py", OWN)
    days = [f"2026-{1 + n % 12:02}-{1 + n % 28:02}" for n in range(300)]
    lines = [f"{day},{n},{n / 4},{'x' * 1500} {n}\n" for n, day in enumerate(days)]
    empty.write("rows.csv", "day,n,cost,text\n" + "".join(lines))
    empty.write(
        "pipeline.yaml",
        "version: 1\nname: p\nimports: [./own.py]\ntasks:\n"
        "  rows: {transform: tabular.read, key: [day, n, cost], params: {path: rows.csv, types: {cost: 'decimal(9, 2)'}}}\n"
        "  loud: {transform: own.shout, inputs: [rows]}\n"
        "  words: {transform: own.words, inputs: [loud]}\n"
        "  named: {transform: tabular.select, inputs: [loud], key: [day, n, cost], params: {exclude: [text, loud]}}\n"
        "  graph: {transform: graph.build, params: {nodes: [{label: N, from: named, key: n}]}}\n",
    )
    assert empty.fast("run").code == 0
    opened = Opened.open(empty.root)
    assert {len(opened.artifact(task).paths) for task in ("rows", "loud", "words", "named")} == {16}
    for n in range(0, 300, 60):
        found = opened.why("rows", {"day": days[n], "n": n, "cost": f"{n / 4:.2f}"})
        assert {s.task: s.total for s in found.downstream} == {"loud": 1, "words": 2, "named": 1, "graph": 1}
        assert found.parts_read == 5
        up = opened.why("graph", ["node", "N", str(n)]).upstream
        assert [(s.task, s.total, s.rows[0].key["n"]) for s in up if s.kind == "table"] == [
            ("named", 1, n),
            ("loud", 1, n),
            ("rows", 1, n),
        ]


def test_a_file_is_followed_to_the_rows_in_it(town: Project) -> None:
    """Of a folder cut by a column only its own; of one file all."""
    cut = steps(why(town, "files", "out/towns/town=Rom/data.parquet"), "upstream")
    assert cut["towns"] == ("rows", [("Rom",)])
    assert cut["people"] == ("rows", [("Rom", "ann")])
    whole = steps(why(town, "report", "out/list.csv"), "upstream")
    assert whole["listed"] == ("rows", [("ann",), ("ann",), ("bob",), ("cleo",), ("dan",)])


def test_it_is_cut_at_a_limit_and_counted(town: Project) -> None:
    shown = town.fast("why", "towns", "--key", "Ur", "--limit", "2").out
    assert "words: 5 rows, since run" in shown
    assert "and 3 more" in shown
    (step,) = (s for s in why(town, "towns", "Ur", limit=2)["upstream"] if s["task"] == "words")
    assert (step["total"], len(step["rows"])) == (5, 2)


def test_python_gives_the_same(town: Project) -> None:
    found = Opened.open(town.root).why("words", ["Ur", "ann", "A"])
    assert (found.task, found.state) == ("p:words", "current")
    assert [(s.task, s.grain, s.total) for s in found.upstream] == [("loud", "rows", 1), ("people", "rows", 1), ("people", "rows", 1)]  # fmt: skip
    assert found.start.rows[0].key == {"town": "Ur", "name": "ann", "word": "A"}
    assert Opened.open(town.root).why("words", {"name": "ann", "word": "A"}).start == found.start


def test_a_removed_row_is_told_from_an_earlier_build(town: Project) -> None:
    """Last: it changes the project."""
    before = town.read("people.csv")
    (row,) = why(town, "people", '["Ur","ann"]')["start"]["rows"]
    built_by = row["since"]["run_id"]
    town.write("people.csv", before.replace("Rom,ann,e\n", ""))
    stale = why(town, "words", '["Rom","ann","E"]')
    assert [s["state"] for s in stale["upstream"] if s["task"] == "people" and s["kind"] == "table"] == ["stale"]
    assert "people: 1 row, since run" in town.fast("why", "loud", "--key", '["Rom","ann"]').out
    assert town.fast("run").code == 0
    gone = why(town, "words", '["Rom","ann","E"]')
    assert (gone["state"], gone["upstream"], gone["downstream"]) == ("removed", [], [])
    assert gone["start"]["rows"][0]["key"] == {"town": "Rom", "name": "ann", "word": "E"}
    assert any(built_by in note for note in gone["start"]["notes"])
    said = town.fast("why", "words", "--key", '["Rom","ann","E"]').out
    assert "p:words: the row is no longer there" in said
    for part in (town.root / ".mmetl/parts").glob("*/*"):
        part.unlink()
    evicted = town.fast("why", "words", "--key", '["Ur","ann","A"]')
    assert evicted.code == 2
    assert "error: parts of 'words' are no longer kept\nhelp: mmetl run --select +words" in evicted.err
    town.fast("clean", "words")
    cleaned = town.fast("why", "words", "--key", "A")
    assert (cleaned.code, "'words' has no artifact yet" in cleaned.err) == (2, True)
