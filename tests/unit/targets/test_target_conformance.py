"""What every target must do, seen through `mmetl run`, `mmetl search` and the files of a folder."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import time
from typing import ClassVar

import pytest
from harness import wait_for

from mmetl.engines.ladybug.graph import LadybugGraph

PIPELINE = """\
version: 1
name: p
tasks:
  texts: {transform: tabular.read, params: {path: texts.ndjson}, key: [id]}
  vectors:
    transform: vector.embed
    inputs: [texts]
    params: {provider: function, function: "./own.py:embed", dimensions: 8}
  index: TARGET
"""
GRAPH = """\
{{transform: graph.load, inputs: [kg], params: {{{0}}}}}
  kg:
    transform: graph.build
    params:
      nodes:
        - {{label: Text, from: texts, key: id, properties: {{body: text, size: size}}}}
        - {{label: Ten, from: tens, key: ten}}
      edges:
        - {{type: PART_OF, from: tens, source: {{label: Text, key: id}}, target: {{label: Ten, key: ten}}, properties: {{length: size}}}}
  tens: {{transform: tabular.sql, params: {{sql: "select id, id // 10 as ten, size from texts"}}, key: [id]}}
"""
OWN = """\
import hashlib, math

def embed(texts):
    made = []
    for text in texts:
        digest = hashlib.sha256(text.encode()).digest()
        made.append([digest[i] / 255 - 0.5 for i in range(8)])
    return made
"""
INDEX = "{{transform: vector.index, inputs: [vectors], params: {{path: index/, text: text, {0}}}}}"
CONNECTIONS = """\
version: 1
connections:
  main: {kind: neo4j, uri: "URI", password: "${secret:NEO4J_PASSWORD}"}
"""
TARGETS = {
    "light": INDEX.format("target: light"),
    "light with a graph": INDEX.format("target: light, ann_above: 10"),
    "lancedb": INDEX.format("target: lancedb"),
    "ladybug": GRAPH.format("path: index/"),
    "neo4j": GRAPH.format("target: neo4j, connection: main"),
    "files": '{transform: document.export, inputs: [vectors], params: {path: index/, name: "{id}", front_matter: [size]}}',
}


class Library:
    """A project whose texts are a dict; what the index holds is compared with what it has to hold.

    Attributes:
        made: how many rows are counted as what, when there were none.
        forced: the same, when all of 60 are made anew.
        changed: when one text comes, one goes and one is changed.
        most: when one text of 1,800 goes, one comes and 1,200 are changed.
        grown: how many are added and unchanged, when 400 texts come to 60.
    """

    made: ClassVar = {"added": 60}
    forced: ClassVar = {"added": 60}
    changed: ClassVar = {"added": 1, "changed": 1, "removed": 1, "unchanged": 58}
    most: ClassVar = {"added": 1, "changed": 1200, "removed": 1, "unchanged": 599}
    grown: ClassVar = (400, 60)
    folder = "index"

    def __init__(self, project, target):
        self.exact = "ann_above" not in target
        self.project, self.texts = project, {n: text_of(n) for n in range(60)}
        project.write("pipeline.yaml", PIPELINE.replace("TARGET", target))
        project.write("own.py", OWN)
        self.save()

    def save(self):
        lines = [json.dumps({"id": n, "text": t, "size": len(t)}) for n, t in sorted(self.texts.items())]
        self.project.write("texts.ndjson", "\n".join(lines) + "\n")

    def run(self, *argv):
        done = self.project.fast("run", "--json", *argv)
        assert done.code == 0, done.err + done.out
        tasks = {t["task"]: t for t in done.json()["tasks"]}
        return tasks["index"]

    def search(self, question, *argv, task="index"):
        done = self.project.fast("search", task, question, "--json", *argv)
        assert done.code == 0, done.err
        return done.json()["hits"]

    def check(self):
        """The index finds exactly the rows that are there, the nearest first, and the words of each."""
        expected = {n: (t, len(t)) for n, t in self.texts.items()}
        for question in ("one", "two"):
            hits = self.search(question, "-k", "5000")
            found = {h["row"]["id"]: (h["row"]["text"], h["row"]["size"]) for h in hits}
            if not self.exact:  # a graph may miss a few of those that are far; it must not find what is not there
                assert len(found) >= len(expected) * 0.9
                assert found.items() <= expected.items()
                continue
            assert found == expected
            exact = self.search(question, "-k", "5000", task="vectors")
            assert [h["row"]["id"] for h in hits][:9] == [h["row"]["id"] for h in exact][:9]
            assert [h["score"] for h in hits] == pytest.approx([h["score"] for h in exact], abs=1e-4)
        found = self.search("everywhere", "-k", "5000", "--mode", "text")
        assert {h["row"]["id"] for h in found} == set(expected)


class Files(Library):
    """The same, where a row is a file."""

    forced: ClassVar = {"unchanged": 60}  # each is compared, and need not be written

    def check(self):
        folder = self.project.root / self.folder
        found = {p.relative_to(folder).as_posix(): p.read_text() for p in folder.glob("**/*") if "/." not in str(p)}
        assert found == {f"{n}.md": f"---\nsize: {len(t)}\n---\n\n{t}" for n, t in self.texts.items()}


class Graph(Library):
    """The same, where a text is a node with an edge to the node of its ten."""

    made: ClassVar = {"added": 60 + 6 + 60}
    forced = made
    changed: ClassVar = {"added": 3, "changed": 2, "removed": 2, "unchanged": 122}
    most: ClassVar = {"added": 3, "changed": 2400, "removed": 2, "unchanged": 1378}
    grown: ClassVar = (400 + 40 + 400, 60 + 6 + 60)

    def check(self):
        with LadybugGraph(self.project.root / self.folder).open() as connection:
            asked = "MATCH (t:Text)-[e:PART_OF]->(n:Ten) RETURN t._key, t.body, t.size, n._key, e.length"
            found = sorted(connection.execute(asked).get_all())
            nodes = connection.execute("MATCH (n) RETURN count(*)").get_all()
        assert found == sorted([str(n), t, len(t), str(n // 10), len(t)] for n, t in self.texts.items())
        assert nodes == [[len(self.texts) + len({n // 10 for n in self.texts})]]


class Served(Graph):
    """The same, in a server."""

    folder = ""

    def check(self):
        asked = "MATCH (t:Text)-[e:PART_OF]->(n:Ten) RETURN t._key, t.body, t.size, n._key, e.length"
        found = sorted(self.server.run(asked))
        assert found == sorted([str(n), t, len(t), str(n // 10), len(t)] for n, t in self.texts.items())
        nodes = self.server.run("MATCH (n) WHERE n:Text OR n:Ten RETURN count(*)")
        assert nodes == [[len(self.texts) + len({n // 10 for n in self.texts})]]
        assert self.server.run("MATCH ()-[e]->() RETURN count(*)") == [[len(self.texts)]]


def text_of(number, extra=""):
    return f"everywhere text number{number} {extra}".strip()


@pytest.fixture(params=TARGETS)
def library(request, empty):
    server = request.getfixturevalue("neo4j") if request.param == "neo4j" else None
    pytest.importorskip(
        {"files": "pyarrow", "lancedb": "lancedb", "ladybug": "ladybug", "neo4j": "neo4j"}.get(request.param, "usearch")
    )
    kind = {"files": Files, "ladybug": Graph, "neo4j": Served}.get(request.param, Library)
    if server:
        empty.write("mmetl.yml", CONNECTIONS.replace("URI", server.uri))
    made = kind(empty, TARGETS[request.param])
    made.server = server
    return made


@pytest.fixture
def foldered(library):
    """One that is a folder."""
    if not library.folder:
        pytest.skip("it is in no folder; test_neo4j_target.py does the same with a server")
    return library


@pytest.fixture
def index(library):
    """One that can be searched."""
    if isinstance(library, Files | Graph):
        pytest.skip("it is not searched")
    return library


def test_only_the_difference_is_written(library):
    assert library.run()["items"] == library.made
    library.check()
    library.texts[3] = text_of(3, "changed")
    library.texts[100] = text_of(100)
    del library.texts[5]
    library.save()
    assert library.run()["items"] == library.changed
    library.check()
    assert library.run()["outcome"] == "fresh"


@pytest.mark.parametrize("seed", range(2))
def test_any_sequence_of_edits(library, seed):
    rng = random.Random(seed)
    library.run()
    for _ in range(6):
        for _ in range(rng.randrange(1, 8)):
            n = rng.randrange(90)
            if rng.random() < 0.4:
                library.texts.pop(n, None)
            else:
                library.texts[n] = text_of(n, rng.choice(["", "a", "b", "c"]))
        library.save()
        library.run()
        library.check()


def test_a_recut_table_moves_no_row(library):
    """Far more rows: the buckets are cut anew, and the rows that were there are not written again."""
    library.run()
    library.texts |= {n: text_of(n, "x" * 3000) for n in range(1000, 1400)}
    library.save()
    counts = library.run()["items"]
    assert (counts["added"], counts["unchanged"], counts.get("changed", 0)) == (*library.grown, 0)
    library.check()


def test_words_meaning_and_both(index):
    index.texts[7] = text_of(7, "zebra")
    index.save()
    index.run()
    assert [h["row"]["id"] for h in index.search("zebra", "--mode", "text")] == [7]
    assert index.search(text_of(7, "zebra"), "-k", "1")[0]["row"]["id"] == 7
    assert index.search(text_of(7, "zebra"), "-k", "1", "--mode", "hybrid")[0]["row"]["id"] == 7
    assert {h["row"]["id"] for h in index.search("zebra", "--where", "id < 4", "-k", "9")} == {0, 1, 2, 3}
    found = index.search("everywhere", "--mode", "text", "--where", "id < 4", "-k", "9")
    assert {h["row"]["id"] for h in found} == {0, 1, 2, 3}
    assert index.search("nowhere", "--mode", "text") == []


@pytest.mark.parametrize("how", ["appended", "removed", "added", "emptied"])
def test_what_was_changed_from_outside_is_seen_and_mended(foldered, how):
    foldered.run()
    folder = foldered.project.root / "index"
    some = max((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    if how == "appended":
        with some.open("ab") as file:
            file.write(b"x")
    elif how == "removed":
        some.unlink()
    elif how == "added":
        (folder / "foreign.txt").write_text("x")
    else:
        shutil.rmtree(folder)
    told = foldered.project.fast("dry-run", "--json").json()["tasks"]
    why = next(t["reasons"] for t in told if t["task"] == "index")
    assert why == ["output index/ was deleted" if how == "emptied" else "output index/ was changed by something else"]
    assert foldered.run()["outcome"] == "ran"
    foldered.check()
    assert foldered.run()["outcome"] == "fresh"


def test_other_params_make_it_anew(foldered):
    foldered.run()
    foldered.project.edit("pipeline.yaml", "path: index/", "path: other/")
    foldered.folder = "other"
    foldered.run()
    foldered.check()
    assert not (foldered.project.root / "index").exists()
    assert foldered.run("--force")["items"] == foldered.forced
    foldered.check()


def test_clean_removes_it_and_a_run_makes_it(foldered):
    foldered.run()
    assert foldered.project.fast("clean", "index").code == 0
    assert not (foldered.project.root / "index").exists()
    foldered.run()
    foldered.check()


def test_a_folder_of_somebody_else_is_left_alone(foldered):
    foldered.project.write("index/mine.txt", "mine")
    done = foldered.project.fast("run", "--json")
    assert done.code == 1
    assert "is not empty, and was not made by this task" in done.out
    assert foldered.project.read("index/mine.txt") == "mine"


def test_an_empty_table(library):
    """At first, and later; and it takes rows again."""
    read = "{transform: tabular.read, params: {path: texts.ndjson}, key: [id]}"
    sql = "select * from source where text <> 'left out'"
    kept = f'{{transform: tabular.sql, key: [id], params: {{sql: "{sql}"}}}}\n  source: {read}'
    library.project.edit("pipeline.yaml", read, kept)
    for texts in ({}, {1: "everywhere"}, {}, {2: "everywhere", 3: "one everywhere"}):
        library.texts = texts
        library.save()
        rows = library.project.read("texts.ndjson").lstrip()
        library.project.write("texts.ndjson", '{"id": 99, "text": "left out", "size": 0}\n' + rows)
        library.run()
        library.check()


def times(folder):
    """Return when each file was written, also while others come and go."""
    found = {}
    for where, _, names in os.walk(folder):
        for path in (os.path.join(where, name) for name in names):
            with contextlib.suppress(FileNotFoundError):
                found[path] = os.stat(path).st_mtime_ns
    return found


def test_killed_while_it_writes(foldered):
    foldered.run()
    foldered.texts = {n: text_of(n, f"again {n % 7}") for n in range(3000)}
    foldered.save()
    folder = foldered.project.root / "index"
    before = times(folder)
    process = foldered.project.start("run")
    wait_for(lambda: times(folder) != before, 60)
    time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    foldered.run()
    foldered.check()


def test_most_of_many_rows_change_and_are_counted_as_they_are(library):
    """An index of which more than half changes is made anew; what is told and what it holds is the same."""
    library.texts = {n: text_of(n) for n in range(1800)}
    library.save()
    library.run()
    library.texts |= {n: text_of(n, "other") for n in range(1200)}
    library.texts[2000] = text_of(2000)
    del library.texts[1500]
    library.save()
    assert library.run()["items"] == library.most
    library.check()
