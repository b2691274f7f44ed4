"""What a large item takes: rows that come piece by piece, files in the place of pipes, and the peak of a run over one."""

from __future__ import annotations

import os

import pyarrow as pa
import pytest

from mmetl.cache import tables
from mmetl.core.looking.find import find_task
from mmetl.core.project import Project as Opened
from mmetl.errors import TaskError
from mmetl.items import pieces
from mmetl.items.texts import texts_of

YIELDED = '''\
"""The words of each text, a few at a time."""
from own import note
from mmetl import Items, register_transform


@register_transform("own.yielded", items=Items(reads="text", makes={"word": "string", "n": "int64"}, many=True, key=["word"]))
def yielded(batch):
    note(batch)
    for i, text in enumerate(batch.column("text").to_pylist()):
        if "bad" in text:
            raise ValueError("a bad text")
        for word in dict.fromkeys(text.split()):
            yield {"_item": [i], "word": [word], "n": [text.split().count(word)]}
'''


@pytest.fixture
def yielded(texts):
    """The project, with a transform that yields what `own.words` returns."""
    texts.write("yielded.py", YIELDED)
    texts.edit("pipeline.yaml", "imports: [./own.py]", "imports: [./own.py, ./yielded.py]")
    task = "  yielded: {transform: own.yielded, inputs: [texts], params: {keep: [place], on_error: quarantine}}\n"
    texts.write("pipeline.yaml", texts.read("pipeline.yaml") + task)
    return texts


@pytest.mark.parametrize("held", [64 << 20, 100])
def test_what_is_yielded_is_what_would_be_returned(yielded, monkeypatch, held):
    """Also where the pieces are too many to be held: then they go through a file, which is gone afterwards."""
    monkeypatch.setattr(pieces, "HELD_BYTES", held)
    done = yielded.go()
    assert done["yielded"]["items"] == {"added": 200, "computed": 200}
    assert yielded.table("yielded") == yielded.table("words") != []
    assert not list((yielded.root / ".mmetl").glob("scratch/*"))


def test_an_item_that_fails_behind_others_costs_only_itself(yielded, monkeypatch):
    monkeypatch.setattr(pieces, "HELD_BYTES", 100)
    yielded.rows[150] = (1, "a bad text")
    yielded.save()
    done = yielded.go("--select", "+yielded")
    assert done["yielded"]["items"] == {"added": 200, "computed": 200, "failed": 1}
    assert {row["id"] for row in yielded.table("yielded")} == set(range(200)) - {150}


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ('{"_item": [i], ', "{", "'yielded' did not return the column '_item'; it returned: word, n"),
        ('"_item": [i]', '"_item": ["x"]', "'yielded' returned a _item that is no number"),
        ("yield {", "yield 7 or {", "'yielded' returned int, not rows"),
    ],
)
def test_a_piece_that_does_not_fit_is_told(yielded, old, new, error):
    yielded.edit("yielded.py", old, new)
    assert error in yielded.fast("run", "--select", "+yielded").err


def test_rows_for_another_process_go_as_a_file_if_they_are_many(tmp_path, monkeypatch):
    rows = pa.table({"text": ["a", None, "ü" * 1000]})
    assert pieces.received(pieces.sent(rows, tmp_path)).equals(rows)
    monkeypatch.setattr(pieces, "SENT_BYTES", 1000)
    path = pieces.sent(rows, tmp_path)
    assert isinstance(path, str)
    assert pieces.received(path).equals(rows)
    assert not list(tmp_path.iterdir())


def test_a_scratch_folder_that_cannot_be_written_is_no_fault_of_an_item(tmp_path, monkeypatch):
    monkeypatch.setattr(pieces, "HELD_BYTES", 0)
    rows = pa.table({"text": ["a"]})
    (tmp_path / "file").touch()
    with pytest.raises(TaskError, match="rows that are on their way cannot be written"):
        pieces.gathered([rows, rows], rows.schema, tmp_path / "file" / "scratch")


@pytest.mark.parametrize("values", [["a", "", "ü漢"], ["a", None, "b"], [None, None], []])
@pytest.mark.parametrize(("start", "length"), [(0, None), (1, None), (1, 1)])
def test_texts_of_a_column(values, start, length):
    column = pa.array(values, pa.string()).slice(start, length)
    assert list(texts_of(column)) == column.to_pylist()


def parts_of(project):
    """Return the parts of each task: bucket and fingerprint, in order."""
    opened = Opened.open(project.root)
    tasks = ("texts", "loud", "words")
    return {n: [(p.bucket, p.fingerprint) for p in opened.artifact(*find_task(opened, n))[0].parts] for n in tasks}


STEPS = [
    ("edit", {500: (1, "edited in the middle")}, {"changed": 1, "unchanged": 149, "computed": 1}),
    ("insert at the top: every page begins elsewhere", {5: (1, "new")}, {"added": 1, "unchanged": 150, "computed": 1}),
    ("delete from the first page", {0: None, 10: None}, {"removed": 2, "unchanged": 149, "computed": 0}),
    ("move from the first page to the last", {20: None, 9990: (2, "text number 2")}, {"added": 1, "removed": 1, "unchanged": 148, "computed": 0}),
    ("a row larger than a page", {700: (3, "long " * 200)}, {"changed": 1, "unchanged": 148, "computed": 1}),
    ("it shrinks", {700: (3, "short")}, {"changed": 1, "unchanged": 148, "computed": 1}),
    ("under the limit", dict.fromkeys(range(100, 9000)), {"removed": 140, "unchanged": 9, "computed": 0}),
    ("over the limit", {i: (0, f"again {i}") for i in range(100, 160)}, {"added": 60, "unchanged": 9, "computed": 60}),
]  # fmt: skip


def test_a_bucket_over_the_limit_is_cut_into_pages(texts, tmp_path_factory, monkeypatch):
    """Every edit computes what is new, wherever pages begin then, and all bytes are as from scratch."""
    monkeypatch.setattr(tables, "ROW_GROUP_BYTES", 600)
    monkeypatch.setattr(tables, "PART_BYTES", 1)
    monkeypatch.setattr(tables, "HUGE_BYTES", 600)
    texts.save({i * 10: (i % 7, f"text number {i}") for i in range(150)})
    texts.go()
    pages = {task: len(parts) for task, parts in parts_of(texts).items()}
    assert pages["texts"] > 3
    assert pages["loud"] > pages["texts"]
    for title, edits, counts in STEPS:
        texts.save({i: row for i, row in {**texts.rows, **edits}.items() if row is not None})
        done = texts.go("--allow-shrink", "texts")
        assert (title, done["loud"]["items"]) == (title, counts)
        scratch = type(texts)(tmp_path_factory.mktemp("scratch"))
        scratch.save(texts.rows)
        scratch.go()
        ours = parts_of(texts)
        assert (title, ours) == (title, parts_of(scratch))
        pages, buckets = len(ours["texts"]), len({bucket for bucket, _ in ours["texts"]})
        assert (title, pages > buckets) == (title, title != "under the limit")


MEASURED = """\
import sys
from mmetl.__main__ import main
sys.argv = ["mmetl", *sys.argv[1:]]
try:
    main()
finally:
    status = open("/proc/self/status").read()
    print("peak", int(status.partition("VmHWM:")[2].split()[0]) * 1024)
"""
LARGE_BYTES = 50_000_000
COPIES = 3.3
"""How many times the largest document a run takes at most, besides what it takes without one."""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="the peak is read from /proc")
def test_the_peak_over_one_large_document(empty):
    empty.tasks(
        "  files: {transform: document.files, params: {path: docs/}}\n"
        "  texts: {transform: document.parse, inputs: [files], params: {max_mb: 100}}\n"
        "  chunks: {transform: document.chunk, inputs: [texts], params: {size: 8000}}\n"
    )
    empty.write("measured.py", MEASURED)
    for n in range(5):
        empty.write(f"docs/{n}.md", f"# Title {n}\n\nSome words.\n")

    def peak():
        done = empty.command("python", "measured.py", "run", timeout_s=300)
        assert done.code == 0, done.err
        return int(done.out.rpartition("peak ")[2])

    small = peak()
    large = empty.root / "docs/large.md"
    lines = "".join(f"Line {n} says {n * 7919 % 100_003} and no more.\n\n" for n in range(10_000))
    large.write_text("# Large\n\n" + lines * (LARGE_BYTES // len(lines)))
    size = large.stat().st_size
    grown = peak()
    large.unlink()  # pytest keeps the folders of three runs
    assert (grown - small) / size < COPIES
