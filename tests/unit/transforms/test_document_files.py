"""`document.files`: what is listed, and what a change costs."""

from __future__ import annotations

import json
import os

import pytest

PIPELINE = """\
version: 1
name: p
tasks:
  files: {{transform: document.files, params: {{{params}}}}}
"""


@pytest.fixture
def library(empty):
    empty.write("pipeline.yaml", PIPELINE.format(params="path: docs/"))
    for i in range(100):
        empty.write(f"docs/{i % 3}/{i}.md", f"# Title {i}\n\nText {i}.\n" + "words " * 400)
    return empty


def listed(project):
    shown = project.fast("show", "files", "--json", "--limit", "0").out
    return {row["path"]: row for row in map(json.loads, shown.splitlines())}


def counts(project):
    return project.fast("run", "--json").json()["tasks"][0]["items"]


def parts(project):
    return {p.name for p in (project.root / ".mmetl/parts").rglob("*") if p.is_file()}


def test_files_by_path_and_content(library):
    library.write("docs/raw", "\x00\x01\x02")
    library.write("docs/.hidden", "no")
    assert counts(library) == {"added": 101}
    rows = listed(library)
    assert len(rows) == 101
    assert rows["docs/1/4.md"]["media_type"] == "text/markdown"
    assert rows["docs/1/4.md"]["size_bytes"] == (library.root / "docs/1/4.md").stat().st_size
    assert rows["docs/raw"]["media_type"] == "application/octet-stream"


def test_a_touched_file_is_no_changed_one(library):
    counts(library)
    os.utime(library.root / "docs/1/4.md", (1, 1))
    assert library.run() == {"files": "fresh"}


def test_a_change_writes_one_bucket(library):
    counts(library)
    before = parts(library)
    library.edit("docs/1/4.md", "Text", "Texts")
    assert counts(library) == {"changed": 1, "unchanged": 99}
    assert len(parts(library) - before) == 2, "one part, and its ledger"
    library.write("docs/new.md", "new")
    assert counts(library) == {"added": 1, "unchanged": 100}
    (library.root / "docs/new.md").rename(library.root / "docs/newer.md")
    assert counts(library) == {"added": 1, "removed": 1, "unchanged": 100}
    (library.root / "docs/newer.md").unlink()
    assert library.run() == {"files": "restored"}


def test_exclude_and_media_types(library):
    library.write("docs/page.html", "<!doctype html><html><body>Hi</body></html>")
    library.write(
        "pipeline.yaml", PIPELINE.format(params='path: docs/, exclude: ["docs/0/**"], media_types: ["text/ht*"]')
    )
    library.run()
    assert set(listed(library)) == {"docs/page.html"}
    library.write("pipeline.yaml", PIPELINE.format(params="path: [docs/0/*.md, docs/1/*.md, docs/0/0.md]"))
    library.run()
    assert len(listed(library)) == 67


def test_no_other_key(library):
    library.edit("pipeline.yaml", "params:", "key: [size_bytes], params:")
    (task,) = library.fast("run", "--json").json()["tasks"]
    assert task["error"] == "`key` is not 'path'; leave it out: a file is named by its path"
