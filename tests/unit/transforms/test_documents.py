"""`document.parse`, `extract` and `chunk` in one pipeline: what one change costs, and that incremental equals from scratch."""

from __future__ import annotations

import json
import random
import shutil

import pytest
from harness import Project

PIPELINE = """\
version: 1
name: p
tasks:
  files: {transform: document.files, params: {path: docs/}}
  texts: {transform: document.parse, inputs: [files], params: {on_error: quarantine}}
  facts:
    transform: document.extract
    inputs: [texts]
    params:
      headers: {author: Author, requires: Requires}
      front_matter: {status: status, tags: tags}
      fields: {year: "(?<=in )\\\\d{4}"}
      drop: [text]
  chunks: {transform: document.chunk, inputs: [texts], params: {size: 300, keep: [title]}}
"""


def article(number, extra=""):
    rng = random.Random(number)
    words = [f"word{rng.randrange(500)}" for _ in range(400)]
    paragraphs = [" ".join(words[i : i + 30]).capitalize() + "." for i in range(0, 400, 30)]
    return (
        f"# Article {number}\n\n{extra}"
        + "\n\n".join(paragraphs[:6])
        + "\n\n## More\n\n"
        + "\n\n".join(paragraphs[6:])
        + "\n"
    )


@pytest.fixture
def library(empty):
    empty.write("pipeline.yaml", PIPELINE)
    for i in range(40):
        empty.write(f"docs/{i}.md", article(i))
    return empty


def rows(project, task):
    shown = project.fast("show", task, "--json", "--limit", "0")
    return [json.loads(line) for line in shown.out.splitlines()]


def go(project, *argv):
    done = project.fast("run", "--json", *argv)
    assert done.code == 0, done.err
    return {t["task"]: t.get("items", {}) for t in done.json()["tasks"]}


def test_texts_are_parsed_and_cut(library):
    go(library)
    texts = {r["path"]: r for r in rows(library, "texts")}
    assert texts["docs/3.md"]["title"] == "Article 3"
    assert texts["docs/3.md"]["text"] == article(3)
    chunks = sorted((r for r in rows(library, "chunks") if r["path"] == "docs/3.md"), key=lambda r: r["position"])
    assert [c["position"] for c in chunks] == list(range(len(chunks)))
    assert all(c["text"] == article(3)[c["start"] : c["end"]] and len(c["text"]) <= 300 for c in chunks)
    assert {tuple(c["headings"]) for c in chunks} == {("Article 3",), ("Article 3", "More")}
    assert all(c["title"] == "Article 3" for c in chunks)


def test_a_paragraph_at_the_top_moves_chunks_and_makes_few(library):
    go(library)
    before = {(r["path"], r["chunk"]) for r in rows(library, "chunks")}
    library.write("docs/3.md", article(3, "A new paragraph of a few words.\n\n"))
    done = go(library)
    assert done["texts"] == {"changed": 1, "unchanged": 39, "computed": 1}
    after = {(r["path"], r["chunk"]) for r in rows(library, "chunks")}
    assert 1 <= len(after - before) <= 2


def test_a_renamed_file_is_not_parsed_again(library):
    go(library)
    (library.root / "docs/3.md").rename(library.root / "docs/three.md")
    done = go(library)
    assert done["texts"] == {"added": 1, "removed": 1, "unchanged": 39, "computed": 0}
    assert done["chunks"]["computed"] == 0
    assert "docs/three.md" in {r["path"] for r in rows(library, "chunks")}


def test_what_a_text_says_of_itself(library):
    library.write("docs/a.md", "---\nstatus: final\ntags: [x, 2, true]\n---\n# A\n\nWritten in 1999 and in 2001.\n")
    library.write(
        "docs/b.rst", "Author: Ann <a@b.c>,\n  Bob\nRequires: 484\nRequires: 526\n\nTitle\n=====\n\nText: no header\n"
    )
    library.write("docs/c.md", "---\nstatus: [\n---\n# C\n")
    library.write("docs/d.md", "---\nstatus: {on: 2024-01-02, by: {2: [é, {a: b}]}}\n---\n# D\n")
    library.edit("pipeline.yaml", "drop: [text]", "drop: [text]\n      on_error: quarantine")
    go(library)
    facts = {r["path"]: r for r in rows(library, "facts")}
    assert (facts["docs/a.md"]["status"], facts["docs/a.md"]["tags"], facts["docs/a.md"]["year"]) == (
        "final",
        "x, 2, true",
        "1999",
    )
    assert (facts["docs/b.rst"]["author"], facts["docs/b.rst"]["requires"]) == ("Ann <a@b.c>, Bob", "484, 526")
    assert facts["docs/b.rst"]["title"] == "Title"
    assert json.loads(facts["docs/d.md"]["status"]) == {"true": "2024-01-02", "by": {"2": ["é", {"a": "b"}]}}
    assert facts["docs/1.md"]["author"] is None
    assert "text" not in facts["docs/1.md"]
    assert "docs/c.md" not in facts
    assert "the front matter is not YAML" in library.fast("quarantine", "show", "facts").out


def test_files_that_have_no_text_are_set_aside(library):
    library.write("docs/empty.md", "")
    (library.root / "docs/image.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\x00" * 100)
    (library.root / "docs/latin.txt").write_bytes("Käse".encode("latin-1"))
    (library.root / "docs/wide.txt").write_bytes("Käse".encode("utf-16"))
    go(library)
    shown = library.fast("quarantine", "show", "texts").out
    assert "it is empty" in shown
    assert "the image is damaged or cut off" in shown
    texts = {r["path"]: r["text"] for r in rows(library, "texts")}
    assert len(texts) == 42
    assert texts["docs/latin.txt"] == texts["docs/wide.txt"] == "Käse"


def test_a_file_that_changes_during_the_run(library):
    """The listing says one thing, the file another: nothing is made of it."""
    go(library, "--select", "files")
    library.write("docs/3.md", article(3, "Changed."))
    done = library.fast("run", "--json", "--select", "texts")
    task = done.json()["tasks"][-1]
    assert task["outcome"] == "failed"
    assert task["error"] == "'docs/3.md' changed while the run was under way; run again"


@pytest.mark.parametrize("seed", range(2))
def test_incremental_equals_from_scratch(library, tmp_path_factory, seed):
    rng = random.Random(seed)
    go(library)
    for _ in range(4):
        for _ in range(rng.randrange(1, 4)):
            here = sorted((library.root / "docs").iterdir())
            file, kind = rng.choice(here), rng.choice(["edit", "add", "drop", "rename", "size"])
            if kind == "edit":
                file.write_text(article(rng.randrange(99), f"Edited {rng.randrange(9)}.\n\n"))
            elif kind == "add":
                library.write(f"docs/new{rng.randrange(99)}.md", article(rng.randrange(60)))
            elif kind == "drop":
                file.unlink()
            elif kind == "rename":
                file.rename(file.with_name(f"renamed{rng.randrange(999)}.md"))
            else:
                size = rng.choice([200, 300, 400])
                library.write("pipeline.yaml", PIPELINE.replace("size: 300", f"size: {size}"))
        go(library)
    scratch = Project(tmp_path_factory.mktemp("scratch") / "p")
    shutil.copytree(library.root, scratch.root, ignore=shutil.ignore_patterns(".mmetl"))
    go(scratch)
    for task in ("files", "texts", "facts", "chunks"):
        ours, theirs = (sorted(map(json.dumps, rows(p, task))) for p in (library, scratch))
        assert ours == theirs
