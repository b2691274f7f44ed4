"""PDF: the text of each page, and the headings that the outline names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from mmetl.engines.packages import require
from mmetl.transforms.document.parsed import Limits, Parsed, Unreadable, join_pages

_PASSWORD = "Incorrect password"  # noqa: S105  words of PDFium's message
_NAMES = {"author": "author", "subject": "subject", "keywords": "keywords", "creationdate": "created"}


DPI = 200
"""At which a scanned page is drawn: tesseract wants letters of some 20 pixels, and that is print of 8 points."""

_TIME = re.compile(r"D:(\d{4})(\d\d)(\d\d)(?:(\d\d)(\d\d)(\d\d)?)?([-+]\d\d'?\d\d'?|Z.*)?$")
_LIKE_HEADING = re.compile(r"^#{1,6}(?=[ \t]|$)", re.MULTILINE)
_POINTS = 72  # of an inch


def parse_pdf(data: bytes, limits: Limits) -> Parsed:
    """Parse a PDF file. A page that was only scanned has no text, but for that which OCR reads."""
    require("documents", "pypdfium2")
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if _PASSWORD in str(error):
            raise Unreadable("it needs a password") from None
        raise Unreadable("the PDF file is damaged or cut off") from None
    try:
        if len(document) > limits.max_pages:
            raise Unreadable(f"it has {len(document)} pages, more than {limits.max_pages}")
        pages = [_page(document, number) for number in range(len(document))]
        if limits.ocr:
            pages = _scanned(document, pages, limits)
        pages = _with_headings(pages, list(_outline(document)))
        said = {key.lower(): value.strip() for key, value in document.get_metadata_dict().items() if value.strip()}
    except pypdfium2.PdfiumError:
        raise Unreadable("a page of the PDF file is damaged") from None
    finally:
        document.close()
    if not any(pages):
        raise Unreadable(f"none of its pages has text; {'OCR found none' if limits.ocr else 'scanned pages need OCR'}")
    text, starts = join_pages(pages)
    metadata = {name: said[key] for key, name in _NAMES.items() if key in said}
    if "created" in metadata:
        metadata["created"] = _time(metadata["created"])
    return Parsed(text, said.get("title"), None, metadata, starts)


def _time(text: str) -> str:
    """Return a time of PDF as others write it.

    >>> _time("D:20240203040506+01'00'"), _time("D:20240203040506Z"), _time("D:20240203"), _time("long ago")
    ('2024-02-03T04:05:06+01:00', '2024-02-03T04:05:06Z', '2024-02-03', 'long ago')
    """
    found = _TIME.match(text)
    if found is None:
        return text
    year, month, day, hour, minute, second, zone = found.groups()
    date = f"{year}-{month}-{day}"
    ahead = re.sub(r"'?(\d\d)'?$", r":\1", zone or "") if zone and zone[0] in "+-" else (zone or "")[:1]
    return f"{date}T{hour}:{minute}:{second or '00'}{ahead}" if hour else date


def _outline(document: Any) -> Iterator[tuple[int, int, str]]:
    """Yield (page, depth, title) of each entry of the outline that leads to a page."""
    for entry in document.get_toc():
        place = entry.get_dest()
        page = None if place is None else place.get_index()
        title = " ".join(entry.get_title().split())
        if page is not None and title:
            yield page, entry.level, title


def _with_headings(pages: list[str], outline: list[tuple[int, int, str]]) -> list[str]:
    """Return the pages with those lines marked as headings that the outline names; the others must not look like one."""
    wanted: dict[int, dict[str, int]] = {}
    for page, depth, title in outline:
        wanted.setdefault(page, {}).setdefault(title, depth)
    return [_marked(text, wanted.get(number, {})) for number, text in enumerate(pages)]


def _marked(text: str, titles: dict[str, int]) -> str:
    text = _LIKE_HEADING.sub(r"\\\g<0>", text)
    if not titles:
        return text
    left = dict(titles)
    lines = text.split("\n")
    for number, line in enumerate(lines):
        depth = left.pop(" ".join(line.split()), None)
        if depth is not None:
            lines[number] = f"\n{'#' * min(6, depth + 1)} {line.strip()}\n"
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _scanned(document: Any, pages: list[str], limits: Limits) -> list[str]:
    """Return the texts of all pages, those without one as OCR reads them."""
    if all(pages):
        return pages
    from mmetl.transforms.document.parsers.ocr import words_of

    return [text or words_of(_drawn(document, number, limits), limits.ocr, DPI) for number, text in enumerate(pages)]


def _drawn(document: Any, number: int, limits: Limits) -> Any:
    """Return a page as a picture."""
    page = document.get_page(number)
    try:
        width, height = page.get_size()
        most = (limits.max_pixels / max(1.0, width * height)) ** 0.5
        return page.render(scale=min(DPI / _POINTS, most), grayscale=True).to_pil()
    finally:
        page.close()


def _page(document: Any, number: int) -> str:
    page = document.get_page(number)
    try:
        text: str = page.get_textpage().get_text_bounded()
    finally:
        page.close()
    # PDFium writes U+FFFE, and U+0002 of old, for a hyphen at the end of a line.
    text = re.sub("[\ufffe\x02](?:\r?\n)?", "", text)
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "").strip()
