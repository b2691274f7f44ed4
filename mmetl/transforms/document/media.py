"""What a file is, by its content: magic bytes, the members of a zip file, the look of a text. The name decides only between kinds of text."""

from __future__ import annotations

import codecs
import io
import os
import re
import zipfile
from typing import BinaryIO

from mmetl.transforms.document.text_types import text_type

HEAD = 65_536  # the signs of all formats show within it
EMPTY = "inode/x-empty"
BINARY = "application/octet-stream"
ZIP = "application/zip"
PDF = "application/pdf"
EPUB = "application/epub+zip"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
OLE = "application/x-ole-storage"
ENCRYPTED_OFFICE = "application/x-encrypted-office"
"""An office file under a password: an OLE container around the encrypted package."""

_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x1f\x8b", "application/gzip"),
    (0, b"BZh", "application/x-bzip2"),
    (0, b"\xfd7zXZ\x00", "application/x-xz"),
    (0, b"\x28\xb5\x2f\xfd", "application/zstd"),
    (0, b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (0, b"Rar!\x1a\x07", "application/vnd.rar"),
    (257, b"ustar", "application/x-tar"),
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (0, b"II*\x00", "image/tiff"),
    (0, b"MM\x00*", "image/tiff"),
    (0, b"SQLite format 3\x00", "application/vnd.sqlite3"),
    (0, b"PAR1", "application/vnd.apache.parquet"),
    (0, b"ARROW1", "application/vnd.apache.arrow.file"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"OggS", "audio/ogg"),
    (0, b"fLaC", "audio/flac"),
    (0, b"\x1aE\xdf\xa3", "video/x-matroska"),
    (4, b"ftyp", "video/mp4"),
    (0, b"\x7fELF", "application/x-executable"),
    (0, b"{\\rtf", "application/rtf"),
    (0, b"%!PS", "application/postscript"),
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}
_OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_OLE_STREAMS: tuple[tuple[str, str], ...] = (
    ("EncryptedPackage", ENCRYPTED_OFFICE),
    ("WordDocument", "application/msword"),
    ("Workbook", "application/vnd.ms-excel"),
    ("PowerPoint Document", "application/vnd.ms-powerpoint"),
    ("__properties_version1.0", "application/vnd.ms-outlook"),
)
_OFFICE_PARTS: tuple[tuple[str, str], ...] = (
    ("word/document.xml", DOCX),
    ("ppt/presentation.xml", PPTX),
    ("xl/workbook.xml", XLSX),
)
_LOCAL_HEADER = re.compile(rb"PK\x03\x04.{22}(..)..", re.DOTALL)
_BOMS: tuple[tuple[bytes, str], ...] = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROLS = bytes(sorted(frozenset(range(32)) - set(b"\t\n\r\f\x1b")))
_MAX_CONTROLS = 0.01  # old texts hold a stray form feed, backspace or end-of-file mark; binaries hold many


def media_type_of_file(path: str | os.PathLike[str]) -> str:
    """Return the media type of a file. Reads its head and, for containers, their directory."""
    with open(path, "rb") as file:
        return media_type(file, os.fspath(path))


def media_type_of_bytes(data: bytes, name: str = "") -> str:
    """Return the media type of a file that is in memory."""
    return media_type(io.BytesIO(data), name)


def media_type(file: BinaryIO, name: str = "") -> str:
    """Return the media type of an open file that can seek.

    Args:
        file: the content.
        name: the file's name; its extension decides between kinds of text, never more.
    """
    head = file.read(HEAD)
    if not head:
        return EMPTY
    return _container(file, head) or _by_magic(head) or _text(head, name) or BINARY


def encoding_of(head: bytes) -> str | None:
    """Return the encoding of a text that starts so, or None where it is none.

    A byte order mark decides, then zeros in every second byte, then whether it is UTF-8. What is left is latin-1, if it has no
    more control characters than texts have.
    """
    for bom, encoding in _BOMS:
        if head.startswith(bom):
            return encoding
    if b"\x00" in head:
        return _without_bom(head)
    controls = len(head) - len(head.translate(None, _CONTROLS))
    if controls > len(head) * _MAX_CONTROLS:
        return None
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"


def _without_bom(head: bytes) -> str | None:
    even, odd = head[0::2], head[1::2]
    for zeros, others, encoding in ((odd, even, "utf-16-le"), (even, odd, "utf-16-be")):
        if (
            len(zeros) >= 2
            and zeros.count(0) > len(zeros) * 0.7
            and 0 not in others
            and others.translate(None, _CONTROLS) == others
        ):
            return encoding
    return None


def _text(head: bytes, name: str) -> str | None:
    encoding = encoding_of(head)
    if encoding is None:
        return None
    return text_type(codecs.getincrementaldecoder(encoding)("replace").decode(head), name)


def _by_magic(head: bytes) -> str | None:
    for offset, magic, kind in _MAGIC:
        if head.startswith(magic, offset):
            return kind
    if head.startswith(b"RIFF"):
        return _RIFF.get(head[8:12])
    if b"%PDF-" in head[:1024]:  # readers allow for what stands before it
        return PDF
    return None


def _container(file: BinaryIO, head: bytes) -> str | None:
    if head.startswith(_OLE_MAGIC):
        return _ole(file, head)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip(file, head)
    return None


def _ole(file: BinaryIO, head: bytes) -> str:
    sector = 1 << min(int.from_bytes(head[30:32], "little"), 12)
    file.seek((int.from_bytes(head[48:52], "little") + 1) * sector)
    directory = file.read(8 * sector) + head
    for stream, kind in _OLE_STREAMS:
        if stream.encode("utf-16-le") in directory:
            return kind
    return OLE


def _zip(file: BinaryIO, head: bytes) -> str:
    try:
        with zipfile.ZipFile(file) as archive:
            names = frozenset(archive.namelist())
            declared = _declared(archive) if "mimetype" in names else None
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, EOFError, OSError, ValueError):
        names, declared = _names_in(head), None
        if b"mimetypeapplication/epub+zip" in head[:100]:
            declared = EPUB
    return declared or next((kind for part, kind in _OFFICE_PARTS if part in names), ZIP)


def _declared(archive: zipfile.ZipFile) -> str | None:
    """Return what an EPUB or OpenDocument file says that it is; of a book under a password it can be told all the same."""
    try:
        with archive.open("mimetype") as member:
            said = member.read(100).decode("ascii", "replace").strip()
    except RuntimeError:  # zipfile's word for a password
        return EPUB if "META-INF/container.xml" in archive.namelist() else None
    return said if re.fullmatch(r"application/[\w.+-]+", said) else None


def _names_in(head: bytes) -> frozenset[str]:
    """Return the names in the head of a zip file whose directory, at its end, is lost."""
    found = (head[m.end() : m.end() + int.from_bytes(m[1], "little")] for m in _LOCAL_HEADER.finditer(head))
    return frozenset(name.decode("utf-8", "replace") for name in found)
