"""What each item-wise transform computes at 10,000 documents: at first, for nothing, for one edit, one rename, one that is gone."""

from __future__ import annotations

from collections import Counter

import pytest
from harness import grow_old

from mmetl.api.lineage.rows import Reader

DOCUMENTS = 10_000
PIPELINE = """\
  files: {transform: document.files, params: {path: docs/}}
  texts: {transform: document.parse, inputs: [files]}
  facts: {transform: document.extract, inputs: [texts], params: {headers: {author: Author}, drop: [text]}}
  clean: {transform: document.clean, inputs: [texts]}
  redacted: {transform: document.redact, inputs: [texts]}
  names: {transform: document.entities, inputs: [texts], params: {patterns: {number: "[0-9]+"}}}
  pages: {transform: document.export, inputs: [facts], params: {path: pages/, format: json}}
  chunks: {transform: document.chunk, inputs: [texts]}
  own: {transform: vector.embed, inputs: [chunks], params: {provider: function, function: "./own.py:embed", dimensions: 8}}
  vectors: {transform: vector.embed, inputs: [chunks], params: {dimensions: 64}}
  index: {transform: vector.index, inputs: [own], params: {path: index/, text: text}}
"""
OWN = """\
import hashlib

def embed(texts):
    with open("asked.txt", "a") as file:
        file.write(f"{len(texts)}\\n")
    return [[byte + 1 for byte in hashlib.sha256(text.encode()).digest()[:8]] for text in texts]
"""


def text_of(number, last="last"):
    return (
        f"Author: Ann {number}\n\n# Title {number}\n\nFirst words {number}.\n\n## Below\n\nThe {last} words {number}.\n"
    )


DOCUMENT_TASKS = ("texts", "facts", "clean", "redacted", "names", "chunks")
CHUNK_TASKS = ("own", "vectors")
COMPUTED = {"first": (DOCUMENTS, 2 * DOCUMENTS), "edited": (1, 1), "renamed": (0, 0), "removed": (0, 0)}
"""How many documents are computed, and how many chunks; every document has two, of which an edit changes one."""

DOCUMENT_ROWS = {
    "first": {"added": DOCUMENTS},
    "edited": {"changed": 1, "unchanged": DOCUMENTS - 1},
    "renamed": {"added": 1, "removed": 1, "unchanged": DOCUMENTS - 1},
    "removed": {"removed": 1, "unchanged": DOCUMENTS - 1},
}
CHUNK_ROWS = {
    "first": {"added": 2 * DOCUMENTS},
    "edited": {"added": 1, "removed": 1, "unchanged": 2 * DOCUMENTS - 1},  # a chunk is named by its text
    "renamed": {"added": 2, "removed": 2, "unchanged": 2 * DOCUMENTS - 2},
    "removed": {"removed": 2, "unchanged": 2 * DOCUMENTS - 2},
}


def expected(step):
    """What each task counts in a step: rows that are listed, computed, or written into a folder or an index."""
    documents, chunks = COMPUTED[step]
    return {
        **dict.fromkeys(("files", "pages"), DOCUMENT_ROWS[step]),
        **{task: {**DOCUMENT_ROWS[step], "computed": documents} for task in DOCUMENT_TASKS},
        **{task: {**CHUNK_ROWS[step], "computed": chunks} for task in CHUNK_TASKS},
        "index": CHUNK_ROWS[step],
    }


class Library:
    """A project of so many documents."""

    def __init__(self, project):
        self.project, self.docs, self.asked = project, project.root / "docs", project.root / "asked.txt"
        project.tasks(PIPELINE)
        project.write("own.py", OWN)
        self.docs.mkdir()
        for n in range(DOCUMENTS):
            (self.docs / f"{n:05}.md").write_text(text_of(n))
        grow_old()

    def run(self):
        """Return what each task that ran has counted, and how many texts the project's own function was given."""
        self.asked.write_text("")
        done = self.project.fast("run", "--json")
        assert done.code == 0, done.err
        told = {t["task"]: t.get("items") for t in done.json()["tasks"] if t["outcome"] == "ran"}
        return told, sum(map(int, self.asked.read_text().split()))


def test_what_ten_thousand_documents_cost(empty):
    """One test, since all of it is one history of one project."""
    for package in ("wordllama", "kreuzberg", "usearch"):
        pytest.importorskip(package)
    library = Library(empty)
    assert library.run() == (expected("first"), 2 * DOCUMENTS)
    assert library.run() == ({}, 0)
    (library.docs / "00005.md").write_text(text_of(5, "changed"))
    assert library.run() == (expected("edited"), 1)
    (library.docs / "00007.md").rename(library.docs / "renamed.md")
    assert library.run() == (expected("renamed"), 0)
    (library.docs / "00009.md").unlink()
    assert library.run() == (expected("removed"), 0)
    assert followed(library.project) == {
        "texts": 1,
        **dict.fromkeys(("files", "facts", "clean", "redacted", "names", "chunks", "own", "vectors"), 1),
    }


def followed(project):
    """Return how many parts are read of each task when one document is followed both ways; those of targets are their input's."""
    read = []
    find = Reader.find

    def noted(self, table, *args):
        before = set(self.read)
        found = find(self, table, *args)
        read.extend([table.task] * len(self.read - before))
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Reader, "find", noted)
        answer = project.fast("why", "texts", "--key", "docs/00005.md", "--json").json()
    totals = {s["task"]: s["total"] for s in answer["downstream"]}
    assert totals == {
        **dict.fromkeys(("facts", "clean", "redacted", "pages"), 1),
        "names": 4,
        **dict.fromkeys(("chunks", "own", "vectors", "index"), 2),
    }
    assert answer["parts_read"] == len(read) < answer["parts"] / 20
    return Counter(read)
