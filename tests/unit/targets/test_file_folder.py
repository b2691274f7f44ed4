"""`document.export`: what a folder of files has beyond what every target has."""

from __future__ import annotations

import json
import os

import pytest
import yaml
from harness import grow_old

PIPELINE = """\
  notes: {transform: tabular.read, params: {path: notes.ndjson}, key: [id]}
  pages: {transform: document.export, inputs: [notes], params: {path: pages/, PARAMS}}
"""
NOTES = [{"id": n, "topic": f"t{n % 2}", "title": f"Note {n}", "text": f"text {n}\n"} for n in range(6)]


class Pages:
    """A project with notes, and their files."""

    def __init__(self, project):
        self.project, self.folder, self.replaced = project, project.root / "pages", project.root / ".mmetl/replaced"

    def write(self, notes=NOTES, params='name: "{topic}/{title}"'):
        self.project.write("notes.ndjson", "".join(json.dumps(n) + "\n" for n in notes))
        self.project.tasks(PIPELINE.replace("PARAMS", params))

    def run(self, *argv):
        done = self.project.fast("run", "--json", *argv)
        assert done.code == 0, done.out + done.err
        return done.json()["tasks"][1]

    def refused(self):
        done = self.project.fast("run", "--json")
        assert done.code == 1
        return done.json()["tasks"][1]["error"]

    def files(self, folder=None):
        folder = folder or self.folder
        found = (p for p in folder.rglob("*") if p.is_file() and ".mmetl-files" not in p.parts)
        return {p.relative_to(folder).as_posix(): p.read_text() for p in found}


@pytest.fixture
def pages(empty):
    pytest.importorskip("pyarrow")
    made = Pages(empty)
    made.write()
    return made


EXPECTED = {f"t{n % 2}/Note {n}.md": f"text {n}\n" for n in range(6)}


def test_a_file_that_did_not_change_is_not_touched(pages):
    pages.run()
    assert pages.files() == EXPECTED
    before = {name: os.stat(pages.folder / name) for name in EXPECTED}
    pages.write([{**n, "text": "other"} if n["id"] == 2 else n for n in NOTES if n["id"] != 5])
    assert pages.run()["items"] == {"changed": 1, "removed": 1, "unchanged": 4}
    assert pages.files() == {n: t for n, t in EXPECTED.items() if n != "t1/Note 5.md"} | {"t0/Note 2.md": "other"}
    for name in set(EXPECTED) - {"t1/Note 5.md", "t0/Note 2.md"}:
        now = os.stat(pages.folder / name)
        assert (now.st_ino, now.st_mtime_ns) == (before[name].st_ino, before[name].st_mtime_ns)
    pages.write([n for n in NOTES if n["topic"] == "t0"])
    pages.run()
    assert not (pages.folder / "t1").exists()


def test_edited_and_foreign_files_are_kept_aside(pages):
    """The folder becomes equal to the table again, and nothing that somebody wrote is lost."""
    pages.run()
    (pages.folder / "t0/Note 0.md").write_text("mine")
    (pages.folder / "t1/Note 1.md").unlink()
    (pages.folder / "t1/new").mkdir()
    (pages.folder / "t1/new/mine.md").write_text("mine too")
    (pages.folder / "link.md").symlink_to(pages.project.root / "notes.ndjson")
    os.utime(pages.folder / "t0/Note 2.md", (1, 1))
    told = pages.project.fast("dry-run", "--json").json()["tasks"][1]["reasons"]
    assert told == ["output pages/ was changed by something else"]
    assert pages.run()["items"] == {"changed": 2, "unchanged": 4}
    said = pages.project.fast("status").out
    assert "2 changed, 4 unchanged; output pages/ was changed by something else" in said
    assert pages.files() == EXPECTED
    assert pages.files(pages.replaced / "pages") == {
        "t0/Note 0.md": "mine",
        "t1/new/mine.md": "mine too",
        "link.md": pages.project.read("notes.ndjson"),
    }
    assert pages.run()["outcome"] == "fresh"


def test_a_folder_in_the_place_of_a_file(pages):
    pages.run()
    (pages.folder / "t0/Note 0.md").unlink()
    (pages.folder / "t0/Note 0.md").mkdir()
    (pages.folder / "t0/Note 0.md/inside").write_text("mine")
    pages.run()
    assert pages.files() == EXPECTED
    assert "mine" in pages.files(pages.replaced / "pages").values()


def test_names_change_places(pages):
    """The file of one row takes the name of another, in one change."""
    pages.run()
    titles = {0: "Note 2", 2: "Note 0"}
    pages.write([{**n, "title": titles.get(n["id"], n["title"])} for n in NOTES])
    assert pages.run()["items"] == {"changed": 2, "unchanged": 4}
    assert pages.files() == EXPECTED | {"t0/Note 2.md": "text 0\n", "t0/Note 0.md": "text 2\n"}
    assert not pages.replaced.exists()


def test_a_file_becomes_a_folder_and_back(pages):
    one = [{"id": 1, "title": "a.md", "text": "x"}]
    two = [{"id": 1, "title": "a.md/b", "text": "x"}]
    for notes, name in ((one, "a.md"), (two, "a.md/b.md"), (one, "a.md")):
        pages.write(notes, 'name: "{title}"')
        pages.run()
        assert pages.files() == {name: "x"}
    assert not pages.replaced.exists()


NAMES = {
    "/a//./b": "a/b.md",
    "a: b? <c>": "a_ b_ _c_.md",
    ".hidden/.x": "_hidden/_x.md",
    "line\nbreak\tand \x00": "line_break_and _.md",
    "back\\slash": "back_slash.md",
    "folder./x": "folder_/x.md",
    "Ende\u0301.md": "End\u00e9.md",
    "same.md": "same.md",
}


@pytest.mark.parametrize("title", NAMES)
def test_names_are_made_fit(pages, title):
    pages.write([{"id": 1, "title": title, "text": "x"}], 'name: "{title}"')
    pages.run()
    assert list(pages.files()) == [NAMES[title]]


CLASHES = {
    ("a", "A"): "would be one file on many file systems",
    ("stra\u00dfe", "STRASSE"): "would be one file on many file systems",
    ("same", "same"): "two rows would be written to 'same.md'",
    ("a.md", "a.md/b"): "'a.md' would be a file and a folder: 'a.md/b.md' lies in it",
    ("../up", "x"): "the name '../up' leads out of the folder (the row of id 0)",
    ("x/../../up", "x"): "leads out of the folder",
    ("//", "x"): "the name '//' names no file",
    ("x" * 300, "y"): "is too long",
    (None, "x"): "'title' is null, and names a file",
}


@pytest.mark.parametrize("titles", CLASHES)
def test_names_that_cannot_be_are_refused(pages, titles):
    """Nothing is written then, whether the folder is new or holds other files."""
    params = 'name: "{title}"'
    pages.write([{"id": n, "title": t, "text": "x"} for n, t in enumerate(titles)], params)
    assert CLASHES[titles] in pages.refused()
    assert pages.files() == {}
    pages.write([{"id": 9, "title": "good", "text": "x"}], params)
    pages.run()
    pages.write([{"id": n, "title": t, "text": "x"} for n, t in enumerate((*titles, "good"))], params)
    assert CLASHES[titles] in pages.refused()
    assert pages.files() == {"good.md": "x"}
    assert not (pages.project.root / "up.md").exists()


def test_a_clash_with_a_row_that_did_not_change(pages):
    many = [{"id": n, "title": f"n{n}", "text": "x"} for n in range(2000)]
    pages.write(many, 'name: "{title}"')
    pages.run()
    pages.write([*many, {"id": 5000, "title": "N7", "text": "y"}], 'name: "{title}"')
    assert "'N7.md' and 'n7.md' would be one file" in pages.refused()
    pages.write([*many, {"id": 5000, "title": "N7x", "text": "y"}], 'name: "{title}"')
    assert pages.run()["items"] == {"added": 1, "unchanged": 2000}


def test_formats(pages):
    note = {"id": 7, "day": "2024-02-03", "title": 'A: "b"\n# c', "yes": None, "text": "# T\n", "list": [1.5]}
    pages.write([note], 'name: "{day:%Y/%m}/{id:04}", front_matter: [title, yes, list, day]')
    pages.run()
    ((name, text),) = pages.files().items()
    _, top, body = text.split("---\n")
    assert name == "2024/02/0007.md"
    assert body == "\n# T\n"
    assert yaml.safe_load(top) == {"title": note["title"], "yes": None, "list": [1.5], "day": "2024-02-03"}
    pages.write([note], "format: json")
    pages.run()
    assert {n: json.loads(t) for n, t in pages.files().items()} == {"7.json": note}
    pages.write([note], "format: json, columns: [title, day]")
    pages.run()
    assert json.loads(pages.files()["7.json"]) == {"title": note["title"], "day": "2024-02-03"}
    pages.write([note], "format: txt, content: title")
    pages.run()
    assert pages.files() == {"7.txt": note["title"]}
    assert not pages.replaced.exists()


WRONG = {
    "content: id": "'id' is no text but int (the row of id 0)",
    "content: body": "'notes' has no column 'body'",
    'name: "{titel}"': "'notes' has no column 'titel'",
    'name: "{title:04d}"': "'title' cannot be written as '{title:04d}'",
}


@pytest.mark.parametrize("params", WRONG)
def test_params_that_the_table_does_not_fit(pages, params):
    pages.write(params=params)
    assert WRONG[params] in pages.refused()


def test_params_that_do_not_fit_each_other(pages):
    for params, told in {
        'name: "{title"': "`name` is no pattern",
        'name: "{title!r}"': "`name` is no pattern: each brace needs the name of a column",
        "format: json, content: text": "`content` is for md and txt, and these files are json",
        "format: txt, front_matter: [id]": "`front_matter` is for md, and these files are txt",
    }.items():
        pages.write(params=params)
        done = pages.project.fast("validate")
        assert (done.code, told in done.err) == (3, True), done.err


def test_one_task_a_folder(pages):
    pages.project.tasks(
        PIPELINE.replace("PARAMS", "")
        + "  more: {transform: document.export, inputs: [notes], params: {path: pages/x}}\n"
    )
    done = pages.project.fast("validate")
    assert done.code == 3
    assert "tasks 'pages' and 'more' both write into 'pages/'" in done.err


@pytest.mark.parametrize("after", [0, 1, 4])
def test_killed_between_two_files(pages, after):
    """What the killed run has put in its place is known for ours, though the table is another by then."""
    pages.run()
    pages.write([{**n, "title": f"New {n['id']}", "text": "new"} for n in NOTES])
    pages.project.write(
        "dies.py",
        "import os, sys\nleft, real = [int(sys.argv[1])], os.replace\n"
        "def replace(a, b):\n    if '.mmetl-files/new/' in str(a):\n        left[0] -= 1\n"
        "        if left[0] < 0: os._exit(9)\n    real(a, b)\nos.replace = replace\n"
        "sys.argv = ['mmetl', 'run']\nfrom mmetl.__main__ import main\nmain()\n",
    )
    assert pages.project.command("python", "dies.py", str(after)).code == 9
    assert len(pages.files()) == after
    pages.write([n for n in NOTES if n["id"] < 3])
    pages.run()
    assert pages.files() == {n: t for n, t in EXPECTED.items() if int(t.split()[1]) < 3}
    assert not pages.replaced.exists()
    assert pages.run()["outcome"] == "fresh"


def test_a_damaged_ledger(pages):
    """Then nothing is known for ours; what lies where it should is left there."""
    pages.run()
    before = {name: os.stat(pages.folder / name).st_ino for name in EXPECTED}
    (pages.folder / ".mmetl-files/names.sqlite").write_bytes(b"x" * 5000)
    assert pages.run()["items"] == {"unchanged": 6}
    assert {name: os.stat(pages.folder / name).st_ino for name in EXPECTED} == before
    assert not pages.replaced.exists()


def test_drift_is_seen_without_an_engine(pages):
    """Nothing heavy is imported for a look at the folder."""
    grow_old()
    pages.run()
    (pages.folder / "foreign.md").write_text("x")
    heavy = "{'pyarrow', 'numpy', 'duckdb', 'doit', 'pydantic', 'rich'}"
    pages.project.write(
        "looks.py",
        "import sys\nfrom mmetl.__main__ import main\n"
        "sys.argv = ['mmetl', 'dry-run', '--exit-code']\ntry: main()\n"
        f"finally: print('heavy:', sorted({heavy} & set(sys.modules)))\n",
    )
    done = pages.project.command("python", "looks.py")
    assert "run  pages  output pages/ was changed by something else" in done.out
    assert "heavy: []" in done.out


def test_who_reads_the_folder_reads_what_is_exported(pages):
    """A task downstream sees the files, and not what the folder says of itself."""
    pages.project.tasks(
        PIPELINE.replace("PARAMS", "") + "  files: {transform: document.files, params: {path: pages/}}\n"
    )
    assert set(pages.project.run().values()) == {"ran"}
    shown = pages.project.fast("show", "files", "--json").out
    assert [json.loads(line)["path"] for line in shown.splitlines()] == [f"pages/{n}.md" for n in range(6)]
