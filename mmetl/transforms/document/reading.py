"""Read a file as a document, whatever its type."""

from __future__ import annotations

import os

from mmetl.errors import TaskError
from mmetl.transforms.document.media import BINARY, DOCX, EMPTY, ENCRYPTED_OFFICE, EPUB, PDF, PPTX, XLSX, ZIP
from mmetl.transforms.document.parsed import Limits, Parsed, Unreadable
from mmetl.transforms.document.text_types import HTML, MAIL, MAILBOX, NOTEBOOK
from mmetl.utils.hashing import xxh3_hex
from mmetl.utils.text import why_not

MEGABYTE = 1_000_000
OFFICE = frozenset({DOCX, PPTX, XLSX})
IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/tiff", "image/webp"})
FORMATS = frozenset({HTML, MAIL, MAILBOX, PDF, EPUB, *OFFICE, *IMAGES})
"""Types that are read by parsers of foreign bytes, which may crash or hang: they are called in a worker process."""

_TEXTS = frozenset(
    {
        "application/json",
        "application/toml",
        NOTEBOOK,
        "application/x-ndjson",
        "application/xml",
        "application/yaml",
    }
)
_ARCHIVES = frozenset(
    {
        ZIP,
        "application/gzip",
        "application/x-bzip2",
        "application/x-xz",
        "application/zstd",
        "application/x-7z-compressed",
        "application/vnd.rar",
        "application/x-tar",
    }
)


def read_document(path: str, media_type: str, fingerprint: str, limits: Limits) -> Parsed | str:
    """Return what a listed file says, or why it says nothing.

    Args:
        path: of the file.
        media_type: as `document.files` found it.
        fingerprint: as `document.files` found it.
        limits: beyond them it is not read.

    Raises:
        TaskError: if it changed since it was listed.
        MissingError: if its type needs an extra that is not installed.
    """
    try:
        _refuse(media_type)
        return parse(_bytes(path, fingerprint, limits), media_type, limits)
    except Unreadable as reason:
        return str(reason)


def parse(data: bytes, media_type: str, limits: Limits) -> Parsed:
    """Return what the content of a file says. Raises Unreadable if that is nothing."""
    parsed = _parse(data, media_type, limits)
    if not parsed.text and media_type in FORMATS - IMAGES:
        raise Unreadable("it has no text")
    return parsed


def _parse(data: bytes, media_type: str, limits: Limits) -> Parsed:
    if not data:
        raise Unreadable("it is empty")
    if media_type in OFFICE or media_type == EPUB:
        from mmetl.transforms.document.parsers import zipped

        return zipped.parse_epub(data, limits) if media_type == EPUB else zipped.parse_office(data, media_type, limits)
    if media_type in {PDF, *IMAGES}:
        return _parse_pages(data, media_type, limits)
    if media_type == HTML:
        from mmetl.transforms.document.parsers.html import parse_html

        return parse_html(data, main_text=limits.main_text)
    if media_type in {MAIL, MAILBOX}:
        from mmetl.transforms.document.parsers.mail import parse_mail, parse_mailbox

        return parse_mail(data) if media_type == MAIL else parse_mailbox(data)
    if media_type == NOTEBOOK:
        from mmetl.transforms.document.parsers.notebooks import parse_notebook

        return parse_notebook(data)
    from mmetl.transforms.document.parsers.texts import parse_text

    return parse_text(data, media_type)


def _parse_pages(data: bytes, media_type: str, limits: Limits) -> Parsed:
    """Parse what OCR may be needed for."""
    if media_type == PDF:
        from mmetl.transforms.document.parsers.pdf import parse_pdf

        return parse_pdf(data, limits)
    from mmetl.transforms.document.parsers.images import parse_image

    return parse_image(data, limits)


def _refuse(media_type: str) -> None:
    """Say why a type is not read."""
    if media_type == EMPTY:
        raise Unreadable("it is empty")
    if media_type == BINARY:
        raise Unreadable("it is neither text nor of a known format")
    if media_type == ENCRYPTED_OFFICE:
        raise Unreadable("it needs a password")
    if media_type in _ARCHIVES:
        raise Unreadable(f"it is an archive ({media_type}): unpack it, and list what is in it")
    if media_type not in FORMATS and media_type not in _TEXTS and not media_type.startswith("text/"):
        raise Unreadable(f"files of the type {media_type} are not read")


def _bytes(path: str, fingerprint: str, limits: Limits) -> bytes:
    """Return the bytes of a listed file.

    Raises:
        Unreadable: if it is too large, or may not be read.
        TaskError: if it changed since it was listed.
    """
    try:
        if os.stat(path).st_size > limits.max_bytes:
            raise Unreadable(f"it is larger than {limits.max_bytes / MEGABYTE:g} MB")
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        raise TaskError(f"'{path}' vanished while the run was under way", help="run again") from None
    except OSError as reason:
        raise Unreadable(f"it cannot be read: {why_not(reason)}") from reason
    if xxh3_hex(data) != fingerprint:
        raise TaskError(f"'{path}' changed while the run was under way", help="run again")
    return data
