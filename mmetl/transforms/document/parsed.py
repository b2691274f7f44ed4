"""What reading a document gives, and how far it may go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

_NOTHING: Mapping[str, str] = MappingProxyType({})


class Unreadable(Exception):  # noqa: N818  it is told of a file, not of the program
    """Why a file has no text."""


class Parsed(NamedTuple):
    """What a document says.

    Attributes:
        text: Markdown; reStructuredText, plain text and code as they are.
        title: as the document says, or its first heading.
        language: as the document says.
        metadata: what else the document says of itself: author, dates, subject; `encoding` of a page that is not UTF-8.
        pages: offset in `text` at which each page, slide, sheet or chapter starts; empty where there are none.
    """

    text: str
    title: str | None = None
    language: str | None = None
    metadata: Mapping[str, str] = _NOTHING
    pages: tuple[int, ...] = ()

    def __reduce__(self) -> tuple[type[Parsed], tuple[object, ...]]:
        """Let it cross the border of a worker process: a mapping proxy cannot."""
        return Parsed, (self.text, self.title, self.language, dict(self.metadata), self.pages)


class Limits(NamedTuple):
    """Beyond these a document is not read.

    Attributes:
        max_bytes: size of a file.
        max_unpacked_bytes: size of all members of a zip file (DOCX, PPTX, XLSX, EPUB), unpacked.
        max_ratio: how many times smaller packing may have made them; beyond it is what only a zip bomb needs.
        max_pages: pages of a PDF or TIFF file.
        max_pixels: of an image, or of a page that is drawn for OCR.
        main_text: whether of a web page only its main part is read.
        ocr: languages in which pictures are read, as tesseract names them (`eng+deu`); empty: they are not read.
    """

    max_bytes: int = 50_000_000
    max_unpacked_bytes: int = 500_000_000
    max_ratio: float = 200.0
    max_pages: int = 10_000
    max_pixels: int = 200_000_000
    ocr: str = ""
    main_text: bool = False


def join_pages(pages: Sequence[str]) -> tuple[str, tuple[int, ...]]:
    """Join pages with blank lines between them, and tell where each starts."""
    starts: list[int] = []
    offset = 0
    for page in pages:
        starts.append(offset)
        offset += len(page) + 2
    return "\n\n".join(pages), tuple(starts)


def first_heading(text: str) -> str | None:
    """Return the words of the first heading of a Markdown text."""
    from mmetl.transforms.document.headings import find_headings

    found = find_headings(text, "markdown")
    return found[0].title if found else None
