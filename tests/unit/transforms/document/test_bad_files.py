"""A corpus of bad files, through the command line and with the limits that everybody has.

The run ends well, each bad file is set aside with a reason, and nothing else is lost.
"""

from __future__ import annotations

import bz2
import functools
import gzip
import io
import json
import lzma
import tarfile

import document_formats as formats
import pytest

PIPELINE = """\
  files: {transform: document.files, params: {path: docs/}}
  texts: {transform: document.parse, inputs: [files], params: {on_error: quarantine, max_fraction: 1, timeout_s: 600}}
  chunks: {transform: document.chunk, inputs: [texts]}
"""
# No file of these takes long; but a busy machine may need more than the minute of the default.
LINE_BYTES = 200_000_000
PEAK_BYTES = 400_000_000
"""Of the run, in some 2 s of CPU; its workers have a limit of their own. It was 190 MB: the file of one line alone is larger."""

NOISE = bytes(range(256)) * 40


def flagged(data):
    """Return a zip file whose members say that they are encrypted."""
    changed = bytearray(data)
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = changed.find(magic)
        while at >= 0:
            changed[at + offset] |= 1
            at = changed.find(magic, at + 4)
    return bytes(changed)


def locked_pdf():
    """Return a PDF file that wants a password: no empty one fits these hashes."""
    locked = f"/Encrypt << /Filter /Standard /V 1 /R 2 /O <{'41' * 32}> /U <{'42' * 32}> /P -4 >> /ID [<00> <00>] /Root"
    return formats.pdf("Secret.").replace(b"/Root", locked.encode())


def locked_office():
    """Return the container in which office programs put a file under a password."""
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(22) + (9).to_bytes(2, "little")
    head += bytes(16) + (1).to_bytes(4, "little")
    return head.ljust(1024, b"\0") + b"\0" * 512 + "EncryptedPackage".encode("utf-16-le").ljust(512, b"\0")


def damaged(data, at):
    """Return a file of which eight bytes are zeros."""
    place = data.index(at) + len(at) + 10
    return data[:place] + b"\0" * 8 + data[place + 8 :]


def tar(members):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return made.getvalue()


def laughs():
    """Return a word document of which the entities of its XML unfold to a gigabyte."""
    entities = '<!ENTITY a "ha ha ha ha">' + "".join(
        f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    body = f'<?xml version="1.0"?><!DOCTYPE x [{entities}]><w:document xmlns:w="{formats.WORDS}"><w:body><w:p><w:r><w:t>&i;</w:t></w:r></w:p></w:body></w:document>'
    return formats.zipped({"[Content_Types].xml": "<Types/>", "word/document.xml": body})


CUT = "it is damaged or cut off: its directory cannot be read"
CUT_PDF = "the PDF file is damaged or cut off"
BOMB = "it looks like a zip bomb"
PASSWORD = "it needs a password"
BINARY = "it is neither text nor of a known format"
ARCHIVE = "it is an archive"


@functools.cache
def bad():
    """Return name -> bytes, and what is told of it. Made when it is needed: to make the bombs takes seconds."""
    return {
        # truncated
        "cut.pdf": (formats.pdf("One.")[:60], CUT_PDF),
        "cut.docx": (formats.docx()[:-40], CUT),
        "cut.pptx": (formats.pptx()[: len(formats.pptx()) // 2], CUT),
        "cut.xlsx": (formats.xlsx()[: len(formats.xlsx()) * 2 // 3], CUT),
        "cut.epub": (formats.epub()[:-100], ARCHIVE),  # what is left does not say that it is a book
        "cut.png": (b"\x89PNG\r\n\x1a\n" + b"\0" * 100, "the image is damaged or cut off"),
        # damaged
        "damaged.xlsx": (damaged(formats.xlsx(), b"xl/worksheets/sheet1.xml"), "damaged"),
        "noise.pdf": (b"%PDF-1.7\n" + NOISE, CUT_PDF),
        # encrypted
        "locked.docx": (flagged(formats.docx()), PASSWORD),
        "locked.epub": (flagged(formats.epub()), PASSWORD),
        "locked.pdf": (locked_pdf(), PASSWORD),
        "locked.xlsx": (locked_office(), PASSWORD),
        # with the extension of another format
        "noise.md": (NOISE, BINARY),
        "noise.html": (NOISE, BINARY),
        "film.txt": (b"\x1aE\xdf\xa3" + NOISE, "files of the type video/x-matroska are not read"),
        "zipped.md": (formats.zipped({"a.md": "# A"}), ARCHIVE),
        # nested deeply
        "deep.html": (b"<html><body>" + b"<div>" * 100_000 + b"deep" + b"</div>" * 100_000, "more than 20000 deep"),
        "deep_table.html": (b"<html><body>" + b"<table><tr><td>" * 40_000 + b"deep", "more than 20000 deep"),
        # bombs
        "bomb.docx": (formats.zipped({"word/document.xml": b"\0" * 300_000_000}), BOMB),
        "bomb.epub": (formats.zipped({"mimetype": "application/epub+zip", "a.xhtml": b" " * 300_000_000}), BOMB),
        "laughs.docx": (laughs(), ""),
        # archives, and archives in archives
        "nested.zip": (formats.zipped({"inner.zip": formats.zipped({"a.txt": "a"})}), f"{ARCHIVE} (application/zip)"),
        "nested.tar": (tar({"inner.zip": formats.zipped({"a.txt": "a"})}), f"{ARCHIVE} (application/x-tar)"),
        "nested.tar.gz": (gzip.compress(tar({"a.tar": tar({"a": b"a"})})), f"{ARCHIVE} (application/gzip)"),
        "bomb.txt.bz2": (bz2.compress(b"\0" * 50_000_000), f"{ARCHIVE} (application/x-bzip2)"),
        "bomb.txt.xz": (lzma.compress(b"\0" * 50_000_000), f"{ARCHIVE} (application/x-xz)"),
        # nothing in it
        "empty.md": (b"", "it is empty"),
        "empty.pdf": (b"", "it is empty"),
        "scanned.pdf": (formats.pdf(""), "none of its pages has text; scanned pages need OCR"),
        "blank.html": (b"<html><body> <script>x</script> </body></html>", "it has no text"),
        "empty.docx": (formats.zipped({"word/document.xml": ""}), ""),
    }


@functools.cache
def good():
    """Return name -> bytes, and the text; None: any."""
    return {
        "good.md": (b"# Good\n\nwords\n", "# Good\n\nwords\n"),
        "good.html": (b"<html><body><p>words</p></body></html>", "words"),
        "nested.html": (b"<html><body>" + b"<div>" * 10_000 + b"deep" + b"</div>" * 10_000 + b"</body></html>", "deep"),
        "nested_table.html": (b"<html><body>" + b"<table><tr><td>" * 2_000 + b"deep" + b"</table>" * 2_000, "| deep |\n| --- |"),
        "deep.json": (b"[" * 100_000 + b"]" * 100_000, "[" * 100_000 + "]" * 100_000),
        "latin.txt": (b"na\xefve caf\xe9\n", "naïve café\n"),
        "bytes.md": (b"# Some words\n\n" + "ü".encode() * 50_000 + b"\xff\xfe and more\n", "# Some words\n\n" + "ü" * 50_000 + "\ufffd\ufffd and more\n"),
        "utf16.txt": ("wörter\n".encode("utf-16"), "wörter\n"),
        "paper.docx": (formats.pdf("Page one."), "Page one."),
        "report.pdf": (formats.HTML.encode(), None),
        "long.txt": (b"x" * 5_000_000, "x" * 5_000_000),
    }  # fmt: skip


MEASURED = """\
import sys
from mmetl.__main__ import main
sys.argv = ["mmetl", "run"]
try:
    main()
finally:
    status = open("/proc/self/status").read()
    print("peak", int(status.partition("VmHWM:")[2].split()[0]) * 1024)
"""


def lines(project, *argv):
    done = project.mmetl(*argv, "--json")
    assert done.code == 0, done.err
    return [json.loads(line) for line in done.out.splitlines()]


@pytest.fixture
def corpus(empty):
    pytest.importorskip("kreuzberg")
    empty.tasks(PIPELINE)
    folder = empty.root / "docs"
    folder.mkdir()
    for name, (content, _) in (bad() | good()).items():
        (folder / name).write_bytes(content)
    with (folder / "line.txt").open("wb") as file:
        for _ in range(LINE_BYTES // 1_000_000):
            file.write(b"x" * 1_000_000)
    yield empty
    (folder / "line.txt").unlink()  # pytest keeps the folders of three runs


def test_a_corpus_of_bad_files(corpus):
    corpus.write("measured.py", MEASURED)
    done = corpus.command("python", "measured.py", timeout_s=600)
    assert done.code == 0, done.err
    told = {r["path"].removeprefix("docs/"): r["_error"] for r in lines(corpus, "quarantine", "show", "texts")}
    wanted = {name: why for name, (_, why) in bad().items()} | {"line.txt": "it is larger than 50 MB"}
    assert {name: told.get(name) for name, why in wanted.items() if not told.get(name) or why not in told[name]} == {}
    assert set(told) == set(wanted)
    texts = {r["path"].removeprefix("docs/"): r["text"] for r in lines(corpus, "show", "texts", "--limit", "0")}
    assert set(texts) == set(good())
    assert {n: texts[n][:99] for n, (_, text) in good().items() if text is not None and texts[n] != text} == {}
    assert int(done.out.rpartition("peak ")[2]) < PEAK_BYTES
    assert corpus.mmetl("run").out.startswith("p: 0 ran, 3 fresh")
