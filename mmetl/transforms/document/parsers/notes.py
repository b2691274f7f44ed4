"""What speakers have noted below their slides: PPTX keeps it in files of its own."""

from __future__ import annotations

import posixpath
import re
import zipfile
from collections.abc import Iterator
from typing import Any

_PRESENTATION = "ppt/presentation.xml"
_CLOSED = re.compile(rb"<([\w:.-]+)([^<>]*)/>")


def xml_tree(data: bytes) -> Any:
    """Return an XML file as a tree. The parser is one for HTML, in which no tag closes itself, and names are in lower case."""
    from selectolax.lexbor import LexborHTMLParser

    return LexborHTMLParser(_CLOSED.sub(rb"<\1\2></\1>", data))


def notes_of(archive: zipfile.ZipFile) -> dict[int, str]:
    """Return the notes of a presentation, by the number of the slide, those that are empty left out."""
    files = frozenset(archive.namelist())
    slides = _targets(archive, _PRESENTATION, files)
    found = {}
    for number, slide in enumerate(xml_tree(archive.read(_PRESENTATION)).css("p\\:sldid"), 1):
        part = slides.get(slide.attributes.get("r:id") or "", "")
        for target in _targets(archive, part, files).values():
            if posixpath.basename(posixpath.dirname(target)) == "notesSlides" and target in files:
                found[number] = "\n\n".join(_paragraphs(xml_tree(archive.read(target))))
    return {number: text for number, text in found.items() if text}


def _paragraphs(notes: Any) -> Iterator[str]:
    for shape in notes.css("p\\:sp"):
        if shape.css_first('p\\:ph[type="body"]'):  # others are the slide's picture and number
            for paragraph in shape.css("a\\:p"):
                text = " ".join("".join(run.text() for run in paragraph.css("a\\:t")).split())
                if text:
                    yield text


def _targets(archive: zipfile.ZipFile, part: str, files: frozenset[str]) -> dict[str, str]:
    """Return the files that a part of a package refers to, by the names it has for them."""
    folder, name = posixpath.split(part)
    listed = f"{folder}/_rels/{name}.rels"
    if listed not in files:
        return {}
    found = {}
    for relation in xml_tree(archive.read(listed)).css("relationship"):
        target = relation.attributes.get("target") or ""
        found[relation.attributes.get("id") or ""] = posixpath.normpath(posixpath.join("/", folder, target)).lstrip("/")
    return found
