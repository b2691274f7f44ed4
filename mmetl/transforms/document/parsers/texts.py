"""Plain text, Markdown, reStructuredText, code: decoded, with one sort of line end, else as they are."""

from __future__ import annotations

from mmetl.transforms.document.chunks import markup_of
from mmetl.transforms.document.headings import find_headings
from mmetl.transforms.document.media import HEAD, encoding_of
from mmetl.transforms.document.parsed import Parsed, Unreadable


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
    """Parse a file of text."""
    text, _ = decoded(data)
    headings = find_headings(text, markup_of(media_type))
    return Parsed(text, headings[0].title if headings else None)
