"""`document.parse` of each format, and of parsers that crash or hang."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import threading
import time
import tracemalloc
from email.message import EmailMessage
from pathlib import Path

import document_formats as formats
import pytest

from mmetl.transforms.document.parsers.texts import parse_text

PIPELINE = """\
version: 1
name: p
tasks:
  files: {transform: document.files, params: {path: docs/}}
  texts: {transform: document.parse, inputs: [files], params: {on_error: quarantine, max_fraction: 1, max_mb: 20}}
  chunks: {transform: document.chunk, inputs: [texts], params: {size: 40}}
"""


@pytest.fixture
def folder(empty):
    empty.write("pipeline.yaml", PIPELINE)

    def put(name, content):
        path = empty.root / "docs" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        return empty

    return put


def rows(project, task):
    return [json.loads(line) for line in project.fast("show", task, "--json", "--limit", "0").out.splitlines()]


def run(project, *argv):
    done = project.fast("run", "--json", *argv)
    assert done.code == 0, done.err
    return {t["task"]: t.get("items", {}) for t in done.json()["tasks"]}


def aside(project):
    shown = project.fast("quarantine", "show", "texts", "--json")
    assert shown.code == 0, shown.err
    return {row["path"].removeprefix("docs/"): row["_error"] for row in map(json.loads, shown.out.splitlines())}


EXPECTED = {
    "page.html": {
        "title": "The page",
        "language": "en",
        "metadata": {"author": "Ann"},
        "text": "# Title\n\nSome bold words and a link.\n\n## Below\n\n- one\n- two\n\n| name | size |\n| --- | --- |\n"
        "| a\\|b | 1 |\n\n```\ndef f():\n    return  1\n```",
    },
    "report.docx": {
        "title": "Report",
        "text": "## Report\n\nSome words.\n\n### Part\n\n| name | size |\n| --- | --- |\n| a | 1 |",
    },
    "talk.pptx": {"title": "First", "text": "## First\n\nHello there\n\n## Second\n\nGood bye", "page_starts": [0, 23]},
    "sizes.xlsx": {
        "title": "Sizes",
        "text": "## Sizes\n\n| name | size |\n| --- | --- |\n| a | 1 |",
        "page_starts": [0],
    },
    "book.epub": {
        "title": "The book",
        "language": "en",
        "metadata": {"author": "Ann"},
        "text": "# One\n\nFirst words.\n\n# Two\n\nLast words.",
        "page_starts": [0, 21],
    },
    "letter.eml": {
        "title": "Käse and more",
        "metadata": {
            "attachments": "data.bin",
            "date": "Tue, 24 Nov 2026 10:00:00 +0000",
            "from": "ann@example.org",
            "message-id": "<1@example.org>",
            "to": "bob@example.org",
        },
        "text": "# Käse and more\n\nDear Bob,\n\nplain words.",
    },
    "letters.mbox": {
        "metadata": {"messages": "2"},
        "text": "# Käse and more\n\nFrom: ann@example.org\nTo: bob@example.org\nDate: Tue, 24 Nov 2026 10:00:00 +0000\n"
        "Attachments: data.bin\n\nDear Bob,\n\nplain words.\n\n"
        "# (no subject)\n\nFrom: bob@example.org\nTo: ann@example.org\n\n"
        "Dear Ann,\n\nFrom here to 10:30 there.\n\nFrom now on: yours",
        "page_starts": [0, 145],
    },
    "paper.pdf": {
        "title": "A paper",
        "metadata": {"author": "Ann"},
        "text": "Page one.\n\nPage two.",
        "page_starts": [0, 11],
    },
}


SLOW = b"<html><body>" + b"<table><tr><td>" * 15_000 + b"x"


def make_all(put):
    put("page.html", formats.HTML.encode())
    put("report.docx", formats.docx())
    put("talk.pptx", formats.pptx())
    put("sizes.xlsx", formats.xlsx())
    put("book.epub", formats.epub())
    put("letter.eml", formats.mail())
    put("letters.mbox", formats.mailbox())
    return put("paper.pdf", formats.pdf("Page one.", "Page two."))


def test_every_format_becomes_text_with_its_structure(folder):
    project = make_all(folder)
    run(project)
    found = {}
    for row in rows(project, "texts"):
        told = {k: row[k] for k in ("title", "text", "language", "metadata", "page_starts") if row[k] is not None}
        if "metadata" in told:
            told["metadata"] = json.loads(told["metadata"])
        found[row["path"].removeprefix("docs/")] = told
    found["sizes.xlsx"].pop("metadata", None)
    found["report.docx"].pop("metadata", None)
    found["talk.pptx"].pop("metadata", None)
    assert found == EXPECTED


def parsed(folder, name, content):
    project = folder(name, content)
    run(project)
    return next(r for r in rows(project, "texts") if r["path"] == f"docs/{name}")


def test_the_outline_of_a_pdf_file_names_its_headings(folder):
    """Each entry marks the line that says the same, on its page; what only looks like a heading is none."""
    pages = ("Intro\nwords", "# no heading\nMethods\nIntro\nSetup here\nmore\nMethods")
    outline = (("Intro", 0, 0), ("Methods", 1, 0), ("Setup here", 1, 2), ("Elsewhere", 1, 0))
    found = parsed(folder, "paper.pdf", formats.pdf(*pages, outline=outline))
    first = "# Intro\n\nwords"
    assert found["text"] == (f"{first}\n\n\\# no heading\n\n# Methods\n\nIntro\n\n## Setup here\n\nmore\nMethods")
    assert found["page_starts"] == [0, len(first) + 2]
    headings = {tuple(r["headings"]) for r in rows(folder("x.md", b"x"), "chunks")}
    assert {("Intro",), ("Methods",), ("Methods", "Setup here")} <= headings


def test_sheets_are_pages(folder):
    xlsxwriter = pytest.importorskip("xlsxwriter")
    made = io.BytesIO()
    with xlsxwriter.Workbook(made) as book:
        for name, cells in {"First": [["a", "b"], [1, "## x"]], "Second": [["c"], ["x|y"]]}.items():
            sheet = book.add_worksheet(name)
            for number, row in enumerate(cells):
                sheet.write_row(number, 0, row)
    found = parsed(folder, "book.xlsx", made.getvalue())
    assert [found["text"][start : start + 9].split()[1] for start in found["page_starts"]] == ["First", "Second"]


def test_empty_sheets_count(folder):
    """So the number of a page is that of the sheet."""
    xlsxwriter = pytest.importorskip("xlsxwriter")
    made = io.BytesIO()
    with xlsxwriter.Workbook(made) as book:
        for name in ("None", "A_b #1 & c", "Empty", "Last", "Nothing"):
            sheet = book.add_worksheet(name)
            if name[0] in "AL":
                sheet.write(0, 0, name)
    found = parsed(folder, "book.xlsx", made.getvalue())
    last = found["text"].index("## Last")
    assert found["page_starts"] == [0, 0, last, last, len(found["text"])]


def test_slides_without_words_count_and_notes_are_read(folder):
    slides = ((), ("First", "Hello there"), (), ("Second", "Good bye"))
    found = parsed(folder, "talk.pptx", formats.pptx(slides, notes=(4, "Say &lt;why&gt;")))
    text = found["text"]
    assert text.split("\n\n")[-4:] == ["## Second", "Good bye", "Notes:", "Say <why>"]
    pages = [sum(start <= text.index(title) for start in found["page_starts"]) for title in ("## First", "## Second")]
    assert pages == [2, 4]


def test_all_that_an_e_mail_says(folder):
    """A plain text that is empty hides no other one, and what stands behind an attachment is read."""
    letter = EmailMessage()
    letter["From"], letter["Subject"] = "ann@example.org", "Two parts"
    letter.set_content(" \n")
    letter.add_alternative("<p>In HTML only.</p>", subtype="html")
    letter.add_attachment(b"x", maintype="application", subtype="pdf", filename="a.pdf")
    for text, name in (("Yours, Ann", None), ("not said", "note.txt")):
        part = EmailMessage()
        part.set_content(text)
        if name:
            part.add_header("Content-Disposition", "inline", filename=name)
        letter.attach(part)
    found = parsed(folder, "two.eml", letter.as_bytes())
    assert found["text"] == "# Two parts\n\nIn HTML only.\n\nYours, Ann"
    assert json.loads(found["metadata"])["attachments"] == "a.pdf, note.txt"


def test_notebooks_are_words_and_code(folder):
    cells = [
        {"cell_type": "markdown", "source": ["# Wheat\n", "How it grows."]},
        {
            "cell_type": "code",
            "source": "# no heading\nplot()",
            "outputs": [{"data": {"image/png": "iVBORw0KGgo" * 99}}],
        },
        {"cell_type": "code", "source": []},
    ]
    notebook = {"cells": cells, "metadata": {"language_info": {"name": "python"}}, "nbformat": 4}
    found = parsed(folder, "wheat.ipynb", json.dumps(notebook).encode())
    assert (found["title"], found["text"]) == (
        "Wheat",
        "# Wheat\nHow it grows.\n\n```python\n# no heading\nplot()\n```",
    )
    project = folder("wheat.ipynb", b'{"cells": [{"source": 1}]}')
    folder(
        "old.ipynb",
        json.dumps({"worksheets": [{"cells": [{"cell_type": "heading", "level": 2, "source": "Old"}]}]}).encode(),
    )
    run(project)
    assert aside(project).keys() == {"wheat.ipynb"}
    assert [r["text"] for r in rows(project, "texts")] == ["## Old"]


def test_form_feeds_end_pages(folder):
    found = parsed(folder, "rfc.txt", b"One\n\f\nTwo\n\fThree\n\f\n")
    assert [found["text"][start : start + 3] for start in found["page_starts"]] == ["One", "Two", "Thr"]
    assert found["text"].count("\f") == 3


def test_a_form_feed_far_in_front_of_the_end_starts_no_page(folder):
    """White space behind the last words is looked through in pieces."""
    blank = b" " * 200_000
    found = parsed(folder, "long.txt", b"One\n\fTwo" + blank + b"\f" + blank)
    assert found["page_starts"] == [0, 5]
    assert not parsed(folder, "blank.txt", b"One\n" + blank + b"\f" + blank)["page_starts"][1:]


def test_a_text_is_held_once_while_it_is_parsed():
    data = b"Some words and more. " * 200_000 + b"\f" + b"The end.\n\n"
    tracemalloc.start()
    try:
        found = parse_text(data, "text/plain")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found.pages) == 2
    assert peak < 1.2 * len(data)


TITLES = {
    b"---\ntitle: From the top\n---\n\n# Heading\n": "From the top",
    b"---\ntitle: [a\n---\n\n# Heading\n": "Heading",
    b"---\ntitle: 3\n---\n\n# Heading\n": "Heading",
    b"Heading\n=======\n\nwords\n": "Heading",
    b"words\n": None,
}


@pytest.mark.parametrize("content", TITLES)
def test_the_title_of_a_markdown_file(folder, content):
    assert parsed(folder, "note.md", content)["title"] == TITLES[content]


def test_headings_of_all_formats_reach_the_chunks(folder):
    project = make_all(folder)
    run(project)
    headings = {(r["path"].removeprefix("docs/"), tuple(r["headings"])) for r in rows(project, "chunks")}
    assert {
        ("page.html", ("Title", "Below")),
        ("report.docx", ("Report", "Part")),
        ("talk.pptx", ("Second",)),
        ("book.epub", ("Two",)),
        ("letter.eml", ("Käse and more",)),
    } <= headings


def test_pages_reach_the_chunks(folder):
    project = make_all(folder)
    project.edit("pipeline.yaml", "size: 40", "size: 40, pages: page_starts")
    run(project)
    pages = {(r["path"].removeprefix("docs/"), r["text"], r["page"]) for r in rows(project, "chunks")}
    assert {
        ("paper.pdf", "Page one.\n\nPage two.", 1),
        ("talk.pptx", "## Second\n\nGood bye", 2),
        ("book.epub", "# Two\n\nLast words.", 2),
        ("report.docx", "## Report\n\nSome words.", None),
    } <= pages


def test_one_changed_file_is_parsed(folder):
    project = make_all(folder)
    run(project)
    folder("paper.pdf", formats.pdf("Page one.", "Page 2."))
    assert run(project)["texts"] == {"changed": 1, "unchanged": len(EXPECTED) - 1, "computed": 1}


def test_the_content_decides_not_the_name(folder):
    project = folder("paper.txt", formats.pdf("Page one."))
    folder("report.pdf", formats.docx())
    run(project)
    assert {r["text"][:9] for r in rows(project, "texts")} == {"Page one.", "## Report"}


def _segfault_whoever_works(root, killed):
    """Send SIGSEGV to the worker of a project that has computed for half a second."""
    end = time.monotonic() + 60
    while not killed and time.monotonic() < end:
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                line = Path(f"/proc/{pid}/cmdline").read_bytes()
                if b"mmetl.workers.child" not in line or os.readlink(f"/proc/{pid}/cwd") != str(root):
                    continue
                ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11])
                if ticks > os.sysconf("SC_CLK_TCK") / 2:
                    os.kill(int(pid), signal.SIGSEGV)
                    killed.append(pid)
        time.sleep(0.02)


def test_a_parser_that_crashes_takes_one_file(folder):
    project = make_all(folder)
    folder("slow.html", SLOW)
    killed = []
    thread = threading.Thread(target=_segfault_whoever_works, args=(project.root, killed))
    thread.start()
    run(project)
    thread.join()
    assert len(killed) == 1
    assert aside(project) == {"slow.html": "the process that read it crashed (SIGSEGV)"}
    assert len(rows(project, "texts")) == len(EXPECTED)


def test_a_file_that_takes_too_long(folder):
    project = make_all(folder)
    folder("slow.html", SLOW)
    project.edit("pipeline.yaml", "max_mb: 20", "max_mb: 20, timeout_s: 2")
    run(project)
    assert aside(project) == {"slow.html": "it took longer than 2 s"}
    assert len(rows(project, "texts")) == len(EXPECTED)
