"""`graph.load` into Ladybug: what the database holds, what is refused, and that any edits come to what a load from scratch gives."""

from __future__ import annotations

import datetime as dt
import decimal
import itertools
import json
import random
import time
from pathlib import Path
from typing import Any

import pytest

from tests.harness import Project, wait_for

pytest.importorskip("ladybug")
from mmetl.engines.ladybug.graph import DATABASE, JOURNAL, LadybugGraph

GRAPH = """\
  kg: {transform: tabular.read, params: {path: kg.ndjson, types: TYPES}, key: [_kind, _label, _key]}
  graph: {transform: graph.load, inputs: [kg], params: {path: graph/}}
"""
TYPES = "{_source_label: varchar, _source: varchar, _target_label: varchar, _target: varchar, name: varchar, n: bigint, w: double}"
LABELS = ("City", "Person", "Match")
EDGES = (
    ("KNOWS", "Person", "Person"),
    ("LIVES", "Person", "City"),
    ("LIVES", "Match", "City"),
    ("Order", "City", "Match"),
)


def node(label: str, key: str, **properties: Any) -> dict[str, Any]:
    return {"_kind": "node", "_label": label, "_key": key, **properties}


def edge(
    kind: str, source: tuple[str, str], target: tuple[str, str], which: str = "", **properties: Any
) -> dict[str, Any]:
    key = json.dumps([*source, *target, which])
    ends = {"_source_label": source[0], "_source": source[1], "_target_label": target[0], "_target": target[1]}
    return {"_kind": "edge", "_label": kind, "_key": key, **ends, **properties}


def save(project: Project, rows: list[dict[str, Any]]) -> None:
    names = ["_kind", "_label", "_key", "_source_label", "_source", "_target_label", "_target", "name", "n", "w"]
    lines = [json.dumps({n: row.get(n) for n in names}) for row in rows]
    project.write("kg.ndjson", "\n".join(lines) + "\n")


def held(project: Project) -> tuple[list[Any], list[Any]]:
    """Return all nodes and all edges of the database, without their internal identities, nulls left out."""
    with LadybugGraph(project.root / "graph").open() as connection:
        nodes = [row[0] for row in connection.execute("MATCH (n) RETURN n").get_all()]
        types = [row[1] for row in connection.execute("CALL show_tables() RETURN *").get_all() if row[2] == "REL"]
        edges = []
        for kind in types:
            asked = f"MATCH (a)-[e:`{kind}`]->(b) RETURN e, label(a), a._key, label(b), b._key"
            edges += [[plain(e), *ends] for e, *ends in connection.execute(asked).get_all()]
    return sorted(map(str, map(plain, nodes))), sorted(map(str, edges))


def plain(found: dict[str, Any]) -> list[Any]:
    return sorted((k, v) for k, v in found.items() if k not in {"_ID", "_SRC", "_DST"} and v is not None)


def expected(rows: list[dict[str, Any]]) -> tuple[list[Any], list[Any]]:
    """The same, of rows."""
    own = ("_kind", "_label", "_source_label", "_source", "_target_label", "_target")
    nodes, edges = [], []
    for row in rows:
        said = sorted([("_LABEL", row["_label"]), *((k, v) for k, v in row.items() if k not in own and v is not None)])
        if row["_kind"] == "node":
            nodes.append(str(said))
        else:
            edges.append(str([said, row["_source_label"], row["_source"], row["_target_label"], row["_target"]]))
    return sorted(nodes), sorted(edges)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    found = Project(tmp_path)
    found.tasks(GRAPH.replace("TYPES", TYPES))
    return found


def counts(project: Project, *argv: str) -> dict[str, int]:
    done = project.fast("run", "--json", *argv)
    assert done.code == 0, done.out + done.err
    task = next(t for t in done.json()["tasks"] if t["task"] == "graph")
    found: dict[str, int] = task["items"] if task["outcome"] == "ran" else {}
    return found


def failure(project: Project) -> str:
    done = project.fast("run", "--json")
    assert done.code == 1, done.out + done.err
    assert "Traceback" not in done.err
    return next(str(t["error"]) for t in done.json()["tasks"] if t["task"] == "graph")


TOWN = [
    node("City", "Rome", n=3),
    node("Person", "Ada", name="Ada L."),
    node("Person", "Bob"),
    edge("KNOWS", ("Person", "Ada"), ("Person", "Bob"), w=0.5),
    edge("LIVES", ("Person", "Ada"), ("City", "Rome")),
]


def some_graph(rng: random.Random) -> dict[tuple[str, str], dict[str, Any]]:
    """A graph of a few labels; a label, a type and a property may be missing altogether."""
    rows = {}
    for label in rng.sample(LABELS, rng.randint(1, 3)):
        for n in range(rng.randint(1, 12)):
            rows[label, f"{n}é'`"] = node(label, f"{n}é'`", **some_properties(rng))
    nodes = list(rows)
    for kind, source, target in EDGES:
        for a in [k for k in nodes if k[0] == source]:
            for b in [k for k in nodes if k[0] == target]:
                for which in "pq":
                    if rng.random() < 0.1:
                        made = edge(kind, a, b, which, **some_properties(rng))
                        rows[kind, made["_key"]] = made
    return rows


def some_properties(rng: random.Random) -> dict[str, Any]:
    return {
        name: value
        for name, value in (("name", rng.choice("abc")), ("n", rng.randrange(3)), ("w", 0.25))
        if rng.random() < 0.3
    }


def edit(rng: random.Random, rows: dict[tuple[str, str], dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    """Change, remove and add a few; edges of removed nodes go with them."""
    other = some_graph(rng)
    gone = {k for k in rows if rng.random() < 0.1}
    found = {k: other[k] if k in other and rng.random() < 0.3 else row for k, row in rows.items() if k not in gone}
    found |= {k: row for k, row in other.items() if k not in found and rng.random() < 0.2}
    nodes = {k for k, row in found.items() if row["_kind"] == "node"}
    ends = (("_source_label", "_source"), ("_target_label", "_target"))
    return {k: r for k, r in found.items() if k in nodes or all((r[a], r[b]) in nodes for a, b in ends)}


def test_a_graph_becomes_typed_tables_and_an_edit_changes_its_own_rows(project: Project) -> None:
    save(project, TOWN)
    assert counts(project) == {"added": 5}
    assert held(project) == expected(TOWN)
    changed = [*TOWN[:1], node("Person", "Ada", name="Ada King"), *TOWN[2:3], *TOWN[4:]]
    changed.append(edge("KNOWS", ("Person", "Bob"), ("Person", "Ada"), w=0.7))
    save(project, changed)
    assert counts(project) == {"added": 1, "changed": 1, "removed": 1, "unchanged": 3}
    assert held(project) == expected(changed)
    assert (project.root / "graph" / JOURNAL).exists(), "it was changed in place"
    with LadybugGraph(project.root / "graph").open() as connection:
        types = connection.execute("MATCH (c:City) RETURN c.n, c._key").get_column_data_types()
    assert types == ["INT64", "STRING"]
    assert counts(project) == {}


@pytest.mark.parametrize(
    "more",
    [
        pytest.param([node("Street", "Via Appia")], id="a new label"),
        pytest.param([node("City", "Bonn", name="Bonn")], id="a new property of a label"),
        pytest.param([edge("KNOWS", ("Person", "Bob"), ("City", "Rome"), w=1.0)], id="a new pair of labels"),
        pytest.param([edge("OWNS", ("Person", "Bob"), ("City", "Rome"))], id="a new type"),
    ],
)
def test_what_comes_and_goes_has_tables_only_while_it_is_there(project: Project, more: list[dict[str, Any]]) -> None:
    save(project, TOWN)
    counts(project)
    before = tables(project)
    save(project, [*TOWN, *more])
    assert counts(project) == {"added": 1, "unchanged": 5}
    assert held(project) == expected([*TOWN, *more])
    assert tables(project) != before
    save(project, TOWN)
    assert counts(project) == {"removed": 1, "unchanged": 5}
    assert held(project) == expected(TOWN)
    assert tables(project) == before


def tables(project: Project) -> list[Any]:
    with LadybugGraph(project.root / "graph").open() as connection:
        names = [(row[1], row[2]) for row in connection.execute("CALL show_tables() RETURN *").get_all()]
        found = []
        for name, kind in sorted(names):
            found.append([name, *[r[1:3] for r in connection.execute(f"CALL table_info('{name}') RETURN *").get_all()]])
            if kind == "REL":
                found += sorted(r[:2] for r in connection.execute(f"CALL show_connection('{name}') RETURN *").get_all())
    return found


def test_a_property_of_another_type(project: Project) -> None:
    save(project, TOWN)
    counts(project)
    project.edit("pipeline.yaml", "n: bigint", "n: varchar")
    counts(project)
    with LadybugGraph(project.root / "graph").open() as connection:
        assert connection.execute("MATCH (c:City) RETURN c.n").get_all() == [["3"]]


def mended(project: Project) -> set[str]:
    """Why databases were made anew, which nobody had asked for."""
    logs = (project.root / ".mmetl" / "logs").glob("*/*.graph.log")
    return {line for log in logs for line in log.read_text().splitlines() if line.startswith("made anew")}


@pytest.mark.parametrize("seed", range(3))
def test_any_edits_come_to_what_a_load_from_scratch_gives(project: Project, seed: int) -> None:
    rng = random.Random(seed)
    rows = some_graph(rng)
    for _ in range(6):
        save(project, list(rows.values()))
        counts(project)
        assert held(project) == expected(list(rows.values()))
        by_edits = tables(project)
        if rng.random() < 0.5:
            counts(project, "--force")
            assert held(project) == expected(list(rows.values()))
            assert tables(project) == by_edits
        rows = edit(rng, rows)
    assert mended(project) <= {"made anew: labels, types or properties came or went"}


def kill_while_it_writes(project: Project, seconds: float, *argv: str) -> None:
    """Start a run, and kill it so many seconds after it began to change the folder."""
    began = project.root / "graph" / "mmetl.begun"
    process = project.start("run", *argv)
    wait_for(lambda: began.exists() or process.poll() is not None, 60)
    time.sleep(seconds)
    process.kill()
    process.communicate()


@pytest.mark.parametrize("seed", range(2))
def test_kills_between_edits_lose_and_keep_nothing(project: Project, seed: int) -> None:
    """Each run is killed at a moment of its own; the next one comes to what a load from scratch gives."""
    rng = random.Random(seed)
    people = {n: node("Person", str(n), name="x" * 200, n=0, w=0.5) for n in range(1500)}
    known = {n: edge("KNOWS", ("Person", str(n)), ("Person", str(n // 2)), w=0.5) for n in range(1, 1500)}
    save(project, [*people.values(), *known.values()])
    counts(project)
    for step in range(1, 4):
        for n in rng.sample(sorted(people), 40 if step % 2 else 800):
            people[n] = node("Person", str(n), name="y" * 200, n=step, w=0.5)
        for n in rng.sample(sorted(known), 40):
            known[n] = edge("KNOWS", ("Person", str(n)), ("Person", str(n // 3)), w=step / 4)
        rows = [*people.values(), *known.values()]
        save(project, rows)
        kill_while_it_writes(project, rng.choice([0, 0.01, 0.1, 0.3]), *(["--force"] if step == 3 else []))
        counts(project)
        assert held(project) == expected(rows)


def test_many_changes_in_a_row_are_taken_in_and_none_is_lost(project: Project) -> None:
    """The journal grows, is replayed by each run, and becomes part of the database."""
    rng = random.Random(7)
    people = {n: node("Person", str(n), name="x" * rng.randrange(2000), n=0) for n in range(300)}
    known = {n: edge("KNOWS", ("Person", str(n)), ("Person", str(n // 2)), w=0.5) for n in range(1, 300)}
    sizes = []
    for step in range(6):
        rows = [*people.values(), *known.values()]
        save(project, rows)
        counts(project)
        assert held(project) == expected(rows)
        journal = project.root / "graph" / JOURNAL
        sizes.append(journal.stat().st_size if journal.exists() else 0)
        for n in rng.sample(sorted(people), 140):
            people[n] = node("Person", str(n), name="y" * rng.randrange(4000), n=step)
        for n in rng.sample(sorted(known), 20):
            known[n] = edge("KNOWS", ("Person", str(n)), ("Person", str(n // 3)), w=step / 4)
    assert mended(project) == set()
    assert any(a > b for a, b in itertools.pairwise(sizes)), sizes
    assert any(0 < a < b for a, b in itertools.pairwise(sizes)), sizes


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (
            [*TOWN, edge("KNOWS", ("Person", "Bob"), ("Person", "Eve"))],
            "1 edge KNOWS to nodes that are not there: Person Eve",
        ),
        ([*TOWN, node("person", "x")], "the label 'Person' and the label 'person' are one name to the database"),
        ([*TOWN, node("Knows", "x")], "are one name to the database"),
        ([*TOWN, node("A b", "x")], "'A b' cannot be a label or a type"),
        ([*TOWN, {**node("Person", "x"), "_kind": "thing"}], "'_kind' is 'thing'"),
    ],
)
@pytest.mark.parametrize("before", [True, False])
def test_what_no_database_can_hold_is_refused(
    project: Project, rows: list[dict[str, Any]], told: str, before: bool
) -> None:
    save(project, TOWN)
    if before:
        counts(project)
    save(project, rows)
    assert told in failure(project)
    save(project, TOWN)
    counts(project)
    assert held(project) == expected(TOWN)


def test_a_removed_node_with_an_edge_left_is_refused(project: Project) -> None:
    save(project, TOWN)
    counts(project)
    save(project, [r for r in TOWN if r.get("_key") != "Bob"])
    assert "1 edge KNOWS to nodes that are not there: Person Bob" in failure(project)


def test_an_input_that_is_no_graph_and_two_tasks_in_one_folder(project: Project) -> None:
    project.write("t.csv", "id\n1\n")
    project.tasks(
        "  t: {transform: tabular.read, params: {path: t.csv}, key: [id]}\n"
        "  graph: {transform: graph.load, inputs: [t], params: {path: graph/}}\n"
    )
    assert "'t' is no graph; name a task that makes one" in failure(project)
    project.tasks(
        GRAPH.replace("TYPES", TYPES) + "  again: {transform: graph.load, inputs: [kg], params: {path: graph/}}\n"
    )
    done = project.fast("validate")
    assert done.code == 3
    assert "graph" in done.err


def test_a_database_that_cannot_be_read_is_made_anew(project: Project) -> None:
    """The look of the folder is as it was, and the engine finds that the database is damaged: as by a disk that forgets."""
    save(project, TOWN)
    counts(project)
    (project.root / "graph" / DATABASE).write_bytes(b"")
    save(project, TOWN[:3])
    counts(project)
    assert held(project) == expected(TOWN[:3])


@pytest.mark.parametrize(
    ("folder", "without"),
    [
        pytest.param("graph", (), id="all"),
        pytest.param("graph", ("nano", "money", "vector", "texts", "pair"), id="those that come by a file"),
        pytest.param("it's a graph", ("nano", "money"), id="a folder that the engine cannot be told"),
    ],
)
def test_properties_of_all_types(project: Project, folder: str, without: tuple[str, ...]) -> None:
    project.write(
        "rows.py",
        """
import datetime as dt, decimal
import pyarrow as pa

def rows() -> pa.Table:
    day = dt.datetime(2020, 1, 2, 3, 4, 5, 600000)
    values = {
        "flag": pa.array([True, None]), "tiny": pa.array([-1, None], pa.int8()), "large": pa.array([2**64 - 1, None], pa.uint64()),
        "small": pa.array([0.5, None], pa.float32()), "raw": pa.array([b"\\0x", None]), "date": pa.array([day.date(), None]),
        "at": pa.array([day, None], pa.timestamp("us")), "nano": pa.array([day, None], pa.timestamp("ns")),
        "zoned": pa.array([day.replace(tzinfo=dt.UTC), None], pa.timestamp("us", "UTC")),
        "money": pa.array([decimal.Decimal("1.25"), None], pa.decimal128(9, 2)), "texts": pa.array([["a", "é"], None]),
        "vector": pa.array([[0.5, 1.0], None], pa.list_(pa.float32(), 2)), "pair": pa.array([{"a": 1, "b": "x"}, None]),
    }
    none = pa.nulls(2, pa.string())
    ends = {"_source_label": none, "_source": none, "_target_label": none, "_target": none}
    for name in WITHOUT:
        del values[name]
    return pa.table({"_kind": ["node"] * 2, "_label": ["Thing"] * 2, "_key": ["NAMES", "none"], **ends, **values})
""".replace("WITHOUT", str(without)),
    )
    project.tasks(
        "  kg: {transform: tabular.python, params: {function: './rows.py:rows'}, key: [_kind, _label, _key]}\n"
        f'  graph: {{transform: graph.load, inputs: [kg], params: {{path: "{folder}/"}}}}\n'
    )
    counts(project)
    first = things(project, folder)
    assert [k for k, v in first["NAMES"].items() if v is None] == []
    assert first["NAMES"]["zoned"] == dt.datetime(2020, 1, 2, 3, 4, 5, 600000, dt.UTC)
    assert (first["NAMES"]["large"], first["NAMES"].get("money", 1.25)) == (2**64 - 1, decimal.Decimal("1.25"))
    project.edit("rows.py", '"NAMES"', '"other"')  # the row comes in as a change, not in bulk
    assert counts(project) == {"added": 1, "removed": 1, "unchanged": 1}
    project.edit("rows.py", "2020, 1, 2", "2021, 1, 2")
    assert counts(project) == {"changed": 1, "unchanged": 1}
    assert mended(project) == set()
    by_edits = things(project, folder)
    days = {k: first["NAMES"][k] for k in ("date", "at", "nano", "zoned") if k not in without}
    assert by_edits["other"] | days == first["NAMES"]
    counts(project, "--force")
    assert things(project, folder) == by_edits


def things(project: Project, folder: str) -> dict[str, dict[str, Any]]:
    with LadybugGraph(project.root / folder).open() as connection:
        found = connection.execute("MATCH (t:Thing) RETURN t._key, t").get_all()
    return {key: {k: v for k, v in thing.items() if not k.startswith("_")} for key, thing in found}


def test_a_property_that_no_type_can_hold(project: Project) -> None:
    project.edit("pipeline.yaml", "name: varchar", "name: time")
    save(project, [node("City", "Rome", name="12:00:00")])
    assert "the property 'name' is of the type time64[us], which Ladybug does not have; cast it to text" in failure(
        project
    )
