"""Item-wise tasks after any edits, failures and kills equal the same tasks from scratch: all rows, all bytes.

First transforms of a project and those of vectors, then those of documents, one reading the other.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness import Project
from hypothesis import given, settings
from hypothesis import strategies as st

from mmetl.contracts.artifact import Manifest

OWN = '''\
import pyarrow as pa
from pydantic import BaseModel
from mmetl import Items, register_transform

MARK = "!"


class Params(BaseModel):
    times: int = 1


class Killed(BaseException):
    """As if the process had gone."""


@register_transform("own.shout", items=Items(reads=["text"], makes={"loud": "string"}, batch_rows=7))
def shout(batch, params: Params):
    texts = batch.column("text").to_pylist()
    if any("kill" in t for t in texts):
        raise Killed
    if any("bad" in t for t in texts):
        raise ValueError("bad")
    return {"loud": [t.upper() * params.times + MARK for t in texts]}


@register_transform("own.words", items=Items(reads="loud", makes={"word": "string", "n": "int64"}, many=True, key=["word"], batch_rows=5))
def words(batch):
    found = []
    for i, text in enumerate(batch.column("loud").to_pylist()):
        found += [(i, w, text.split().count(w)) for w in dict.fromkeys(text.split())]
    items, word, n = zip(*found) if found else ((), (), ())
    return pa.table({"_item": pa.array(items, pa.int64()), "word": pa.array(word, pa.string()), "n": pa.array(n, pa.int64())})


def embed(texts):
    if any("die" in t for t in texts):
        raise Killed
    if any("bad" in t for t in texts):
        raise ValueError("bad")
    return [[len(t) % 5, t.count("a") + len(MARK * t.count("y")), sum(map(ord, t)) % 3] for t in texts]
'''

PIPELINE = """\
version: 1
name: p
imports: [./own.py]
tasks:
  texts: {{transform: tabular.read, params: {{path: texts.csv, types: {{id: bigint, place: bigint, text: varchar}}}}, key: [id]}}
  loud: {{transform: own.shout, inputs: [texts], params: {{times: {times}, on_error: quarantine, max_fraction: 1}}}}
  words: {{transform: own.words, inputs: [loud], params: {{keep: [{keep}]}}}}
  vectors:
    transform: vector.embed
    inputs: [texts]
    params:
      {{provider: function, function: "own:embed", dimensions: 3, normalize: false, batch_size: 6, on_error: quarantine, max_fraction: 1}}
  unit: {{transform: vector.normalize, inputs: [vectors], params: {{into: unit, drop: [text]}}}}
  near: {{transform: vector.knn, inputs: [vectors], params: {{k: 3, max_distance: 0.3, keep: [{keep}]}}}}
  other: {{transform: vector.knn, inputs: [vectors, unit], params: {{k: {times}, other_vector: unit, metric: euclidean}}}}
  different: {{transform: vector.deduplicate, inputs: [vectors], params: {{threshold: 0.9}}}}
"""

TEXT = st.sampled_from(["", "a", "a b", "b a a", "c d e f", "x" * 400, "bad", "so bad", "y z " * 60])
EDITS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 60), st.integers(0, 3), TEXT),
        st.tuples(st.just("many"), st.integers(61, 300), st.integers(1, 200), TEXT),
        st.tuples(st.just("drop"), st.integers(0, 60), st.integers(1, 20), st.none()),
        st.tuples(st.just("rename"), st.integers(0, 60), st.integers(61, 400), st.none()),
        st.tuples(st.just("times"), st.integers(1, 3), st.none(), st.none()),
        st.tuples(st.just("keep"), st.sampled_from(["", "place", "text"]), st.none(), st.none()),
        st.tuples(st.just("code"), st.sampled_from("!?"), st.none(), st.none()),
        st.tuples(st.just("kill"), st.integers(0, 400), st.none(), st.none()),
    ),
    min_size=1,
    max_size=4,
)


class State:
    """What the sources say."""

    def __init__(self) -> None:
        self.rows: dict[int, tuple[int, str]] = {i: (i % 3, f"text {i}") for i in range(30)}
        self.times, self.keep, self.mark = 1, "", "!"

    def edit(self, kind: str, a: Any, b: Any, text: Any) -> None:
        """Change something."""
        if kind == "put":
            self.rows[a] = (b, text)
        elif kind == "many":
            self.rows.update({a + i: (i % 3, f"{text} {i}") for i in range(b)})
        elif kind == "drop":
            for i in range(a, a + b):
                self.rows.pop(i, None)
        elif kind == "rename" and a in self.rows:
            self.rows[b] = self.rows.pop(a)
        elif kind == "times":
            self.times = a
        elif kind == "keep":
            self.keep = a
        elif kind == "code":
            self.mark = a

    def save(self, project: Project, kill: int | None = None) -> None:
        """Write the sources; `kill`: the row at which the run ends as if the process had gone."""
        rows = dict(self.rows) | ({} if kill is None else {kill: (0, "kill" if kill % 2 else "die")})
        lines = [f'{id_},{place},"{text}"\n' for id_, (place, text) in sorted(rows.items())]
        project.write("texts.csv", "id,place,text\n" + "".join(lines))
        project.write("own.py", OWN.replace('MARK = "!"', f'MARK = "{self.mark}"'))
        project.write("pipeline.yaml", PIPELINE.format(times=self.times, keep=self.keep))


def manifests(project: Project) -> dict[str, tuple[str, str]]:
    """Return task -> its manifest, and that of what was set aside."""
    with sqlite3.connect(project.root / ".mmetl" / "state.db") as db:
        return {
            task: (manifest, quarantine)
            for task, manifest, quarantine in db.execute(
                "select task, m.body, coalesce(q.body, '') from tasks t join manifests m on m.fingerprint = t.manifest"
                " left join manifests q on q.fingerprint = t.quarantine"
            )
        }


def rows(project: Project, tasks: Sequence[str]) -> dict[str, list[str]]:
    """Return task -> its rows, as text."""
    return {t: sorted(project.fast("show", t, "--json", "--limit", "0").out.splitlines()) for t in tasks}


def aside(project: Project, task: str) -> list[str]:
    """Return what was set aside."""
    return sorted(project.fast("quarantine", "show", task, "--json").out.splitlines())


def compare_with_scratch(project: Project, scratch: Project, tasks: Sequence[str], own_cut: Sequence[str] = ()) -> None:
    """Run the same sources in a new project, and compare all rows; all bytes too, if the source is cut alike.

    Args:
        project: after its edits.
        scratch: a new one.
        tasks: whose rows are cut as the source is.
        own_cut: further ones, which are cut by their own size; that may have been another one before.
    """
    shutil.copytree(project.root, scratch.root, ignore=shutil.ignore_patterns(".mmetl"))
    assert set(scratch.run().values()) == {"ran"}
    assert rows(project, [*tasks, *own_cut]) == rows(scratch, [*tasks, *own_cut])
    ours, theirs = manifests(project), manifests(scratch)
    if ours["texts"] == theirs["texts"]:
        alike = [t for t in own_cut if buckets(ours[t][0]) == buckets(theirs[t][0])]
        assert {t: ours[t] for t in (*tasks, *alike)} == {t: theirs[t] for t in (*tasks, *alike)}


def buckets(manifest: str) -> int:
    return Manifest.from_json(manifest).buckets


@settings(max_examples=8, deadline=None)
@given(st.lists(EDITS, min_size=1, max_size=4))
def test_any_edits_and_kills(steps):
    with tempfile.TemporaryDirectory() as folder:
        project, state = Project(Path(folder) / "a"), State()
        state.save(project)
        project.run()
        for edits in steps:
            for edit in edits:
                state.edit(*edit)
                if edit[0] == "kill":
                    state.save(project, edit[1])
                    project.fast("run")
            state.save(project)
            done = project.fast("run", "--json", "--allow-shrink", "texts")
            assert done.code == 0, done.err
            assert set(project.run().values()) == {"fresh"}
        scratch = Project(Path(folder) / "b")
        compare_with_scratch(project, scratch, ("loud", "words", "vectors", "unit", "near", "other", "different"))
        assert all(aside(project, task) == aside(scratch, task) for task in ("loud", "vectors"))


DOCUMENTS = """\
version: 1
name: p
tasks:
  texts: {{transform: tabular.read, params: {{path: texts.ndjson, schema: union}}, key: [id]}}
  people: {{transform: tabular.read, params: {{path: people.csv}}, key: [name]}}
  lines:
    transform: tabular.sql
    key: [line]
    params:
      sql: |
        select line from (select id, unnest(string_split(text, chr(10))) as line from texts)
        where length(line) > 5 group by line having count(*) > 20
  clean: {{transform: document.clean, inputs: [texts, lines], params: {{form: {form}, hyphens: true}}}}
  public: {{transform: document.redact, inputs: [clean], params: {{placeholder: "<{mark}>", patterns: {{order: "N-[0-9]+"}}}}}}
  found: {{transform: document.entities, inputs: [public, people], params: {{ignore_case: {case}, patterns: {{NUMBER: "[0-9]+"}}}}}}
  distinct: {{transform: document.deduplicate, inputs: [public], params: {{threshold: {threshold}, keep: {keep}, size: 2}}}}
"""
PARAMS = {
    "form": ["NFC", "NFKC", "none"],
    "mark": ["{KIND}", "{kind} {n}", "x"],
    "case": ["true", "false"],
    "threshold": ["0.3", "0.6", "1"],
    "keep": ["first", "all"],
}
PEOPLE = ["Ada Lovelace", "Ada", "Charles Babbage", "Lovelace"]
DOCUMENT = st.sampled_from(
    [
        None,
        "",
        "Ada  Lovelace wrote to ann@example.com\nRead more here",
        "ada lovelace wrote to ann@example.com!\nRead more here",
        "ADA Lovelace wrote to bob@example.com and to Charles\nBabbage, N-17",
        "Nothing of in-\nterest, \ufb01rst of all. Call +49 30 901820 or pay with 4111 1111 1111 1111.",
        "Lovelace, Ada and 12 others " * 20,
    ]
)
DOCUMENT_EDITS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 60), DOCUMENT),
        st.tuples(st.just("many"), st.integers(61, 400), st.integers(1, 150), DOCUMENT),
        st.tuples(st.just("drop"), st.integers(0, 60), st.integers(1, 20)),
        st.tuples(st.just("rename"), st.integers(0, 60), st.integers(-60, 400)),
        st.tuples(st.just("people"), st.sampled_from(PEOPLE)),
        st.tuples(st.just("kill"), st.floats(0.3, 1.2)),
        *(st.tuples(st.just(name), st.sampled_from(values)) for name, values in PARAMS.items()),
    ),
    min_size=1,
    max_size=4,
)


class Library:
    """What the sources of a pipeline of documents say."""

    def __init__(self) -> None:
        self.texts: dict[int, str | None] = {
            i: f"Text {i} of Ada Lovelace and number {i * i}.\nRead more here" for i in range(30)
        }
        self.people = set(PEOPLE[:2])
        self.params = {name: values[0] for name, values in PARAMS.items()}

    def edit(self, kind: str, a: Any, *more: Any) -> None:
        """Change something."""
        if kind == "put":
            self.texts[a] = more[0]
        elif kind == "many":
            self.texts.update({a + i: more[1] and f"{more[1]} {i}" for i in range(more[0])})
        elif kind == "drop":
            for i in range(a, a + more[0]):
                self.texts.pop(i, None)
        elif kind == "rename" and a in self.texts:
            self.texts[more[0]] = self.texts.pop(a)
        elif kind == "people":
            self.people ^= {a}
        elif kind in PARAMS:
            self.params[kind] = a

    def save(self, project: Project) -> None:
        """Write the sources."""
        found = sorted(self.texts.items())
        project.write(
            "texts.ndjson", "".join(json.dumps({"id": n, "text": t}) + "\n" for n, t in [*found, (999, "Last")])
        )
        project.write("people.csv", "name,label\n" + "".join(f"{n},PERSON\n" for n in sorted({*self.people, "Nobody"})))
        project.write("pipeline.yaml", DOCUMENTS.format(**self.params))


@settings(max_examples=6, deadline=None)
@given(st.lists(DOCUMENT_EDITS, min_size=1, max_size=3))
def test_any_edits_and_kills_of_documents(steps):
    with tempfile.TemporaryDirectory() as folder:
        project, library = Project(Path(folder) / "a"), Library()
        library.save(project)
        project.run()
        for edits in steps:
            for edit in edits:
                library.edit(*edit)
                if edit[0] == "kill":
                    library.save(project)
                    run = project.start("run")
                    time.sleep(edit[1])
                    run.kill()
                    run.communicate()
            library.save(project)
            done = project.fast("run", "--json", "--allow-shrink", "texts", "--allow-shrink", "people")
            assert done.code == 0, done.err + done.out
            assert set(project.run().values()) == {"fresh"}
        compare_with_scratch(project, Project(Path(folder) / "b"), ("clean", "public", "found", "distinct"))
