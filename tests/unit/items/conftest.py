"""A project with item-wise transforms of its own, that note how many items they were called with."""

from __future__ import annotations

import json
from typing import Any

import pytest
from harness import Project

OWN = '''\
"""Item-wise transforms."""
import os, time
import pyarrow as pa
from pydantic import BaseModel
from mmetl import Items, register_transform

SUFFIX = "!"


class Busy(Exception):
    """The service is busy."""


class Params(BaseModel):
    times: int = 1
    slow: float = 0.0


def note(batch):
    """Write down each item that was computed."""
    with open("computed.txt", "a") as f:
        f.writelines(f"{v}\\n" for v in batch.column(0).to_pylist())


@register_transform("own.shout", items=Items(reads=["text"], makes={"loud": "string"}, batch_rows=50))
def shout(batch, params: Params):
    note(batch)
    time.sleep(0 if os.path.exists("hurry") else params.slow)
    texts = batch.column("text").to_pylist()
    if any("bad" in t for t in texts):
        raise ValueError("a bad text")
    return {"loud": [t.upper() * params.times + SUFFIX for t in texts]}


@register_transform("own.words", items=Items(reads="text", makes={"word": "string", "n": "int64"}, many=True, key=["word"]))
def words(batch):
    note(batch)
    found = []
    for i, text in enumerate(batch.column("text").to_pylist()):
        found += [(i, w, text.split().count(w)) for w in dict.fromkeys(text.split())]
    items, word, n = zip(*found) if found else ((), (), ())
    return pa.table({"_item": pa.array(items, pa.int64()), "word": pa.array(word, pa.string()), "n": pa.array(n, pa.int64())})


@register_transform("own.flaky", items=Items(reads="text", makes={"x": "string"}, retry_on=(Busy,), retries=1))
def flaky(batch):
    if not os.path.exists("answers"):
        open("answers", "w").close()
        raise Busy("come again")
    return {"x": batch.column("text")}
'''

PIPELINE = """\
version: 1
name: p
imports: [./own.py]
tasks:
  texts: {transform: tabular.read, params: {path: texts.csv}, key: [id]}
  loud: {transform: own.shout, inputs: [texts]}
  words: {transform: own.words, inputs: [texts], params: {keep: [place]}}
"""


class Texts(Project):
    """The project. `rows` are its source: id -> (place, text)."""

    def __init__(self, root: Any) -> None:
        super().__init__(root)
        self.rows: dict[int, tuple[int, str]] = {}
        self.write("own.py", OWN)
        self.write("pipeline.yaml", PIPELINE)

    def save(self, rows: dict[int, tuple[int, str]] | None = None) -> None:
        """Write the source."""
        self.rows = self.rows if rows is None else rows
        lines = [f'{id_},{place},"{text}"\n' for id_, (place, text) in sorted(self.rows.items())]
        self.write("texts.csv", "id,place,text\n" + "".join(lines))

    def go(self, *argv: str) -> dict[str, Any]:
        """Run; return task -> what `--json` says of it."""
        done = self.fast("run", "--json", *argv)
        return {t["task"]: t for t in done.json()["tasks"]}

    def computed(self) -> list[str]:
        """Return the items that were computed since this was last asked."""
        file = self.root / "computed.txt"
        found = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return found

    def table(self, task: str) -> list[dict[str, Any]]:
        """Return the rows of a task."""
        shown = self.fast("show", task, "--json", "--limit", "0")
        return [json.loads(line) for line in shown.out.splitlines()]


@pytest.fixture
def texts(tmp_path) -> Texts:
    """Two hundred texts."""
    project = Texts(tmp_path)
    project.save({i: (i % 7, f"text number {i}") for i in range(200)})
    return project
