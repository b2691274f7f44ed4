"""DOCX, PPTX, XLSX and EPUB: zip files, looked at before they are unpacked."""

from __future__ import annotations

import io
import posixpath
import re
import urllib.parse
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from mmetl.engines.packages import require
from mmetl.transforms.document.media import DOCX, PPTX, XLSX
from mmetl.transforms.document.parsed import Limits, Parsed, Unreadable, first_heading, join_pages
from mmetl.transforms.document.parsers.notes import notes_of, xml_tree
from mmetl.transforms.document.parsers.word import with_lists

_SMALL = 1_000_000  # what unpacks to less is no bomb, however well it was packed
_ENCRYPTED = 0x1
_BAD = (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, EOFError, KeyError, ValueError, OSError)
_MARK = "\n\n\ue000slide {page_num}\ue000\n\n"  # of the private use area: no text has it
_SLIDE = re.compile("\ue000slide (\\d+)\ue000")
_SHEET = re.compile(r"^## (.*)", re.MULTILINE)  # all else in a workbook are the rows of tables
_ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])")


def open_zip(data: bytes, limits: Limits) -> zipfile.ZipFile:
    """Open a zip file of which every member is sound, or say why it should not be unpacked. Raises Unreadable."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except _BAD:
        raise Unreadable("it is damaged or cut off: its directory cannot be read") from None
    members = archive.infolist()
    if any(member.flag_bits & _ENCRYPTED for member in members):
        raise Unreadable("it needs a password")
    unpacked = sum(member.file_size for member in members)
    if unpacked > _SMALL and unpacked > len(data) * limits.max_ratio:
        raise Unreadable(f"unpacked it is {unpacked // len(data)} times as large: it looks like a zip bomb")
    if unpacked > limits.max_unpacked_bytes:
        raise Unreadable(f"unpacked it has {unpacked} bytes, more than {limits.max_unpacked_bytes}")
    try:
        damaged = archive.testzip()  # a parser takes what it can read of a damaged file for all of it
    except (*_BAD, zlib.error) as error:
        raise Unreadable(f"a member of it is damaged: {error}") from None
    if damaged:
        raise Unreadable(f"'{damaged}' in it is damaged")
    return archive


def parse_office(data: bytes, media_type: str, limits: Limits) -> Parsed:
    """Parse a file of a word processor, of slides or of sheets."""
    require("documents", "kreuzberg", "selectolax")
    with open_zip(data, limits) as archive:
        notes = notes_of(archive) if media_type == PPTX else {}
        data = with_lists(data, archive) if media_type == DOCX else data
    from kreuzberg import ExtractionConfig, KreuzbergError, PageConfig, extract_bytes_sync

    marked = PageConfig(insert_page_markers=True, marker_format=_MARK) if media_type == PPTX else None
    # Its cache would lie in the home directory.
    wanted = ExtractionConfig(output_format="markdown", use_cache=False, pages=marked)
    try:
        found = extract_bytes_sync(data, media_type, config=wanted)
    except (KreuzbergError, ValueError, RuntimeError) as error:
        raise Unreadable(f"it is damaged: {' '.join(str(error).split())[:200]}") from None
    text = found.content.strip()
    pages: tuple[int, ...] = ()
    if media_type == XLSX:
        pages = _sheets(text, (found.metadata or {}).get("sheet_names") or ())
    elif media_type == PPTX:
        text, pages = _slides(text, notes)
    said = _said(dict(found.metadata or {}))
    title, language = said.pop("title", None), said.pop("language", None)
    return Parsed(text, title or first_heading(text), language, said, pages)


def _slides(text: str, notes: Mapping[int, str]) -> tuple[str, tuple[int, ...]]:
    """Return slides with their notes, and where each starts: one without a word counts, so that numbers are right."""
    _, *marked = _SLIDE.split(text)
    slides = {int(number): [words.strip()] for number, words in zip(marked[::2], marked[1::2], strict=True)}
    for number, noted in notes.items():
        slides.setdefault(number, []).append(f"Notes:\n\n{noted}")
    texts = ["\n\n".join(filter(None, slides.get(number, ()))) for number in range(1, max(slides, default=0) + 1)]
    return join_pages(texts) if any(texts) else ("", ())


def _sheets(text: str, names: Sequence[str]) -> tuple[int, ...]:
    """Return where each sheet starts: an empty one, which is not in the text, where the next one does."""
    left = [(found.start(), _ESCAPED.sub(r"\1", found[1]).strip()) for found in _SHEET.finditer(text)]
    starts = [start for start, _ in left]
    found = []
    for name in names:
        found.append(left[0][0] if left else len(text))
        if left and left[0][1] == name.strip():
            left.pop(0)
    return tuple(starts) if left else tuple(found)


def _said(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Return what an office file says of itself, under one name whatever its kind."""
    core = metadata.get("core_properties") or {}
    names = {
        "title": (metadata.get("title"), core.get("title")),
        "language": (metadata.get("language"), core.get("language")),
        "author": (", ".join(map(str, metadata.get("authors") or ())), metadata.get("created_by"), core.get("creator")),
        "subject": (metadata.get("subject"), core.get("subject")),
        "created": (metadata.get("created_at"), core.get("created")),
        "modified": (metadata.get("modified_at"), core.get("modified")),
    }
    found = {name: next((str(v) for v in values if v), "") for name, values in names.items()}
    return {name: value for name, value in found.items() if value}


def parse_epub(data: bytes, limits: Limits) -> Parsed:
    """Parse a book: its chapters, in the order in which they are read."""
    from mmetl.transforms.document.parsers.html import markdown_of

    require("documents", "selectolax")
    with open_zip(data, limits) as archive:
        try:
            container = xml_tree(archive.read("META-INF/container.xml"))
            rootfile = container.css_first("rootfile")
            package_name = (rootfile.attributes.get("full-path") if rootfile else None) or ""
            package = xml_tree(archive.read(package_name))
            files = {item.attributes.get("id"): item.attributes.get("href") or "" for item in package.css("item")}
            spine = [files.get(ref.attributes.get("idref")) for ref in package.css("itemref")]
            folder = posixpath.dirname(package_name)
            names = [posixpath.normpath(posixpath.join(folder, urllib.parse.unquote(href))) for href in spine if href]
            chapters = [markdown_of(archive.read(name).decode("utf-8", "replace")).text for name in names]
        except _BAD as error:
            raise Unreadable(f"the book is damaged: {str(error)[:200]}") from None
    said = {
        name: node.text(strip=True)
        for name in ("title", "language", "creator", "date")
        for node in package.css(f"dc\\:{name}")[:1]
    }
    text, pages = join_pages([chapter for chapter in chapters if chapter])
    metadata = {name: said[key] for key, name in (("creator", "author"), ("date", "created")) if said.get(key)}
    return Parsed(text, said.get("title") or first_heading(text), said.get("language"), metadata, pages)
