"""`document.files`: what is listed, and what a change costs."""

from __future__ import annotations

import contextlib
import json
import os
import random
import sqlite3

import pytest
from harness import grow_old

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


@pytest.mark.parametrize("params", ['media_types: ["text/*"]', 'exclude: ["docs/*.png"]'])
def test_only_what_is_kept_counts(empty, params):
    """In numbers of items, and for a source that shrinks: neither pictures that go nor pictures that stay tell anything about texts."""
    empty.write("pipeline.yaml", PIPELINE.format(params=f"path: docs/, {params}"))
    for i in range(30):
        empty.write(f"docs/{i}.png", f"GIF89a{i}")
    for i in range(3):
        empty.write(f"docs/{i}.md", f"# Title {i}\n")
    asked = empty.fast("dry-run", "--json").json()["tasks"][0]["items"]
    assert asked == counts(empty) == {"added": 3}
    for i in range(30):
        (empty.root / f"docs/{i}.png").unlink()
    empty.edit("docs/0.md", "Title", "Titles")
    asked = empty.fast("dry-run", "--json").json()["tasks"][0]["items"]
    assert asked == counts(empty) == {"changed": 1, "unchanged": 2}
    empty.write("docs/other.png", "GIF89a")
    for i in range(3):
        (empty.root / f"docs/{i}.md").unlink()
    told = "of the files of its source it keeps 0 where there were 3"
    asked = empty.fast("dry-run", "--json").json()["tasks"][0]
    assert (asked["outcome"], asked["reasons"][-1]) == ("failed", told)
    (task,) = empty.fast("run", "--json").json()["tasks"]
    assert task["error"] == f"{told}; if that is right: mmetl run --allow-shrink files"
    assert len(listed(empty)) == 3
    assert empty.dry("--allow-shrink", "files") == {"files": "ran"} == empty.run("--allow-shrink", "files")
    assert listed(empty) == {}


def test_no_other_key(library):
    library.edit("pipeline.yaml", "params:", "key: [size_bytes], params:")
    (task,) = library.fast("run", "--json").json()["tasks"]
    assert task["error"] == "`key` is not 'path'; leave it out: a file is named by its path"


def state(project):
    return contextlib.closing(sqlite3.connect(project.root / ".mmetl/state.db", isolation_level=None))


def manifest(project):
    with state(project) as db:
        return db.execute("select manifest from tasks").fetchone()


def test_a_change_comes_to_what_all_files_come_to(library):
    """Buckets are mended by what changed, and they are the bytes that comparing all files would give."""
    grow_old()
    counts(library)
    chosen = random.Random(1)
    for turn in range(4):
        files = sorted(p for p in (library.root / "docs").rglob("*") if p.is_file())
        for path in chosen.sample(files, 3):
            path.write_text(f"Edited {turn}.")
        for path in chosen.sample(files, 3):
            path.rename(path.with_name(f"renamed {turn} {path.name}"))
        for path in chosen.sample(sorted(p for p in (library.root / "docs").rglob("*") if p.is_file()), 3):
            path.unlink()
        for n in range(3):
            library.write(f"docs/{chosen.randrange(5)}/new {turn} {n}.md", f"New {turn}.")
        done = counts(library)
        changed = manifest(library)
        assert library.fast("run", "--force").code == 0
        assert manifest(library) == changed
        assert done["unchanged"] >= 80


def test_an_edit_reads_the_list_of_its_folder_alone(library):
    """What is known of the files of other folders is not read: here it is gone."""
    grow_old()
    counts(library)
    with state(library) as db:
        pages = dict(db.execute("select folder, page from folders").fetchall())
        db.execute("delete from pages where fingerprint != ?", (pages["docs/1/"],))
    library.edit("docs/1/4.md", "Text", "Texts")
    assert counts(library) == {"changed": 1, "unchanged": 99}
    assert len(listed(library)) == 100


def test_a_file_that_several_globs_list(library):
    """A file is one row; that it has left one of the globs that list it does not take it away."""
    library.write("pipeline.yaml", PIPELINE.format(params="path: [docs/*/1*.md, docs/*/*5.md]"))
    counts(library)
    assert {p for p in listed(library) if p.endswith("/15.md")} == {"docs/0/15.md"}
    library.edit("docs/0/15.md", "Text", "Texts")
    assert counts(library)["changed"] == 1
    assert len(listed(library)) == 20


def test_what_no_task_lists_any_more_is_collected(library):
    counts(library)
    library.write("pipeline.yaml", PIPELINE.format(params="path: docs/1/*.md"))
    library.run("--allow-shrink", "files")
    assert library.fast("gc").code == 0
    with state(library) as db:
        assert db.execute("select glob, folder from folders").fetchall() == [("docs/1/*.md", "docs/1/")]
        assert db.execute("select count(*) from pages").fetchone() == (1,)
    assert library.run() == {"files": "fresh"}


def test_what_a_record_names_stays_while_another_task_looks(library):
    """Its last success is compared with, though the folder has been seen otherwise since, for a task that reads the same glob."""
    other = "  other: {transform: shell.run, params: {command: 'true', inputs: ['docs/**/*']}}\n"
    library.write("pipeline.yaml", library.read("pipeline.yaml") + other)
    counts(library)
    library.edit("docs/1/4.md", "Text", "Texts")
    (library.root / "docs/1/7.md").unlink()
    assert library.run("--select", "other") == {"other": "ran"}
    assert counts(library) == {"changed": 1, "removed": 1, "unchanged": 98}
    assert len(listed(library)) == 99
