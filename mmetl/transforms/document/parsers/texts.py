"""Plain text, Markdown, reStructuredText, code: decoded, with one sort of line end, else as they are."""

from __future__ import annotations

import re

from mmetl.transforms.document.chunks import markup_of
from mmetl.transforms.document.headings import find_headings
from mmetl.transforms.document.media import HEAD, encoding_of
from mmetl.transforms.document.parsed import Parsed, Unreadable

TAIL = 65_536  # characters of a text that are looked at together


def decoded(data: bytes) -> tuple[str, str]:
    """Return a text and its encoding. Bytes that are none in it become U+FFFD.

    Raises:
        Unreadable: it is no text.
    """
    encoding = encoding_of(data[:HEAD])
    if encoding is None:
        raise Unreadable("it is no text")
    text = data.decode(encoding, "replace").replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff")
    return text, encoding


def parse_text(data: bytes, media_type: str) -> Parsed:
    """Parse a file of text. Form feeds are kept; they end pages."""
    text, _ = decoded(data)
    markup = markup_of(media_type)
    headings = find_headings(text, markup)
    title = _front_title(text) if markup == "markdown" else None
    feeds = [found.end() for found in re.finditer(r"\f\n?", text)]
    last = _end(text) if feeds else 0
    pages = tuple(start for start in (0, *feeds) if start < last)
    return Parsed(text, title or (headings[0].title if headings else None), pages=pages)


def _end(text: str) -> int:
    """Return the offset behind the last character that is no white space, without a copy of the text: it may be half a gigabyte."""
    end = len(text)
    while end:
        tail = text[max(0, end - TAIL) : end]
        left = len(tail.rstrip())
        end -= len(tail) - left
        if left:
            break
    return end


def _front_title(text: str) -> str | None:
    """Return the title that the front matter gives, if there is one that can be read."""
    if not text.startswith("---"):
        return None
    from mmetl.transforms.document.extract import front_matter

    try:
        title = front_matter(text).get("title")
    except ValueError:
        return None  # `document.extract` tells of it, where somebody wants it
    return title if isinstance(title, str) else None
