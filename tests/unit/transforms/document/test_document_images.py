"""`document.parse` of images: what they say of themselves, and the words in them."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
from pathlib import Path

import document_formats as formats
import pytest
from harness import BIN, grow_old

PIL = pytest.importorskip("PIL.Image")

PIPELINE = """\
  files: {{transform: document.files, params: {{path: docs/}}}}
  texts: {{transform: document.parse, inputs: [files], params: {{on_error: quarantine, max_fraction: 1{0}}}}}
"""
SENTENCE = "The quick brown fox jumps over the lazy dog"


def drawn(text, size=(1100, 120)):
    """Return a white picture with a line of text."""
    from PIL import ImageDraw, ImageFont

    picture = PIL.new("RGB", size, "white")
    ImageDraw.Draw(picture).text((20, 30), text, fill="black", font=ImageFont.load_default(44))
    return picture


def encoded(picture, kind, **how):
    made = io.BytesIO()
    picture.save(made, kind, **how)
    return made.getvalue()


def exif():
    found = PIL.Exif()
    found[0x010F], found[0x0110], found[0x0112], found[0x0132] = "Nikon", "Nikon D90", 6, "2024:02:03 04:05:06"
    found[0x010E], found[0x8298] = "A fox\x00", "(c) Ann"
    found.get_ifd(0x8769)[0x9003], found.get_ifd(0x8769)[0x9011] = "2023:01:02 03:04:05", "+02:00"
    return found


@pytest.fixture
def folder(empty):
    empty.tasks(PIPELINE.format(""))
    (empty.root / "docs").mkdir()

    def put(name, content):
        (empty.root / "docs" / name).write_bytes(content)
        return empty

    return put


def parsed(project):
    done = project.fast("run", "--json")
    assert done.code == 0, done.err
    shown = project.fast("show", "texts", "--json", "--limit", "0").out
    rows = map(json.loads, shown.splitlines())
    return {r["path"].removeprefix("docs/"): r for r in rows}


def aside(project):
    shown = project.fast("quarantine", "show", "texts", "--json").out
    return {row["path"].removeprefix("docs/"): row["_error"] for row in map(json.loads, shown.splitlines())}


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_what_an_image_says_of_itself(folder, kind):
    found = parsed(folder("fox.bin", encoded(PIL.new("RGB", (64, 48)), kind, exif=exif())))["fox.bin"]
    assert found["media_type"] == f"image/{kind.lower()}"
    assert (found["text"], found["title"]) == ("", "A fox")
    written = {} if kind == "TIFF" else {"created": "2023-01-02T03:04:05+02:00"}  # Pillow writes none into TIFF files
    assert json.loads(found["metadata"]) == written | {
        "format": kind,
        "width": "64",
        "height": "48",
        "mode": "RGB",
        "camera": "Nikon D90",
        "orientation": "6",
        "modified": "2024-02-03T04:05:06",
        "copyright": "(c) Ann",
    }


def test_an_image_without_anything_to_say(folder):
    found = parsed(folder("dot.gif", encoded(PIL.new("P", (1, 2)), "GIF")))["dot.gif"]
    assert json.loads(found["metadata"]) == {"format": "GIF", "width": "1", "height": "2", "mode": "P"}


def test_bad_images_are_set_aside(folder):
    whole = encoded(drawn("x"), "PNG")
    folder("cut.png", whole[: len(whole) // 2])
    folder("cut.jpeg", encoded(drawn("x"), "JPEG")[:500])
    folder("head.webp", encoded(drawn("x"), "WEBP")[:30])
    folder("huge.png", encoded(PIL.new("1", (20_000, 20_000)), "PNG"))
    project = folder("good.png", whole)
    assert set(parsed(project)) == {"good.png"}
    damaged = "the image is damaged or cut off"
    huge = "it has 20000 x 20000 pixels, more than 200 million"
    assert aside(project) == dict.fromkeys(("cut.png", "cut.jpeg", "head.webp"), damaged) | {"huge.png": huge}


@pytest.fixture
def reading(folder, empty, tesseract):
    """A project whose pictures are read."""
    empty.tasks(PIPELINE.format(", ocr: auto"))
    return folder


def scanned(*pictures):
    """Return a PDF file of pictures, as a scanner makes it."""
    first, *others = pictures
    return encoded(first, "PDF", save_all=True, append_images=others, resolution=150)


def test_words_in_images_are_read(reading):
    reading("fox.png", encoded(drawn(SENTENCE), "PNG"))
    turned = PIL.Exif()
    turned[0x0112] = 6
    reading("turned.jpg", encoded(drawn(SENTENCE).rotate(90, expand=True), "JPEG", exif=turned, quality=95))
    reading("blank.png", encoded(PIL.new("RGB", (300, 200), "white"), "PNG"))
    pages = [drawn("First page"), drawn("Second page")]
    project = reading("pages.tiff", encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:]))
    found = parsed(project)
    assert {name: row["text"] for name, row in found.items()} == {
        "fox.png": SENTENCE,
        "turned.jpg": SENTENCE,
        "blank.png": "",
        "pages.tiff": "First page\n\nSecond page",
    }
    assert found["pages.tiff"]["page_starts"] == [0, 12]
    assert json.loads(found["pages.tiff"]["metadata"])["frames"] == "2"


def test_scanned_pages_are_read_and_others_are_not(reading):
    """The text of a PDF file is taken where there is some."""
    reading("scan.pdf", scanned(drawn(SENTENCE), drawn("And so to bed")))
    reading("text.pdf", formats.pdf("Page one."))
    project = reading("blank.pdf", formats.pdf(""))
    found = parsed(project)
    assert {name: row["text"] for name, row in found.items()} == {
        "scan.pdf": f"{SENTENCE}\n\nAnd so to bed",
        "text.pdf": "Page one.",
    }
    assert found["scan.pdf"]["page_starts"] == [0, len(SENTENCE) + 2]
    assert aside(project) == {"blank.pdf": "none of its pages has text; OCR found none"}


def test_ocr_takes_no_longer_than_a_file_may(reading):
    """Many pages in two seconds are too many; no tesseract is left behind."""
    page = drawn("\n".join([SENTENCE] * 12), (1200, 1000))
    project = reading("scan.pdf", scanned(*[page] * 40))
    project.edit("pipeline.yaml", "ocr: auto", "ocr: auto, timeout_s: 2")
    assert parsed(project) == {}
    assert aside(project) == {"scan.pdf": "it took longer than 2 s"}
    left = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            line, here = Path(f"/proc/{pid}/cmdline").read_bytes(), os.readlink(f"/proc/{pid}/cwd")
            left += [pid] if b"tesseract" in line and here == str(project.root) else []
    assert left == []


def test_another_tesseract_reads_again(reading, tmp_path_factory):
    """The program and the data of its languages are files that the task reads: a change of either is told."""
    tools = tmp_path_factory.mktemp("tools")
    said = subprocess.run(["tesseract", "--list-langs"], capture_output=True, text=True, check=True).stdout
    shutil.copy(Path(said.split('"')[1]) / "eng.traineddata", tools)
    program = tools / "tesseract"
    program.write_text(f'#!/bin/sh\nexec {shutil.which("tesseract")} "$@"\n')
    program.chmod(0o755)
    env = {"PATH": f"{tools}:{os.environ['PATH']}", "TESSDATA_PREFIX": str(tools)}
    project = reading("fox.png", encoded(drawn(SENTENCE), "PNG"))
    reading("note.md", b"words")
    grow_old()
    assert project.run(env=env)["texts"] == "ran"
    assert project.run(env=env)["texts"] == "fresh"
    program.write_text(program.read_text() + "# another\n")
    reasons = project.fast("dry-run", "--json", env=env).json()["tasks"][1]["reasons"]
    assert reasons == [f"{program} changed"]
    done = project.fast("run", "--json", env=env).json()["tasks"][1]
    assert (done["outcome"], done["items"]["computed"]) == ("ran", 2)


def test_what_is_not_installed_is_told(folder, empty, tesseract):
    """Before anything is done, with the command that mends it, and exit code 5."""
    empty.tasks(PIPELINE.format(", ocr: auto, ocr_languages: [eng, xyz]"))
    done = empty.fast("run")
    assert done.code == 5
    assert "tesseract has no data for the language 'xyz'" in done.err
    assert "apt-get install tesseract-ocr-xyz; it has: eng" in done.err
    empty.tasks(PIPELINE.format(", ocr: auto"))
    done = empty.fast("run", env={"PATH": str(BIN)})
    assert (done.code, "apt-get install tesseract-ocr" in done.err) == (5, True)
    assert "'tesseract' is not installed" in done.err
