"""The media type goes by content; the name decides only between kinds of text."""

import io
import zipfile

import pytest

from mmetl.transforms.document import media
from mmetl.transforms.document.media import encoding_of, media_type_of_bytes, media_type_of_file

MAIL = b"Received: from a by b\r\n\tid 1\r\nFrom: Ada <ada@example.org>\r\nTo: b@example.org\r\nSubject: Hi\r\n\r\nHello\r\n"
PREAMBLE = b"PEP: 8\nTitle: Style\nAuthor: Guido\n  <g@example.org>\nStatus: Active\n\nIntroduction\n============\n"


def zipped(**members):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, text in members.items():
            archive.writestr(name.replace("__", "/").replace("0", "."), text)
    return out.getvalue()


def ole(*streams):
    header = bytearray(512)
    header[:8] = bytes.fromhex("d0cf11e0a1b11ae1")
    header[30:32] = (9).to_bytes(2, "little")
    header[48:52] = (200).to_bytes(4, "little")  # the directory lies far behind the head
    entries = b"".join(name.encode("utf-16-le").ljust(128, b"\0") for name in ("Root Entry", *streams))
    return bytes(header) + b"\1" * (200 * 512) + entries


DOCX = zipped(word__document0xml="<w/>", docProps__app0xml="<a/>")


@pytest.mark.parametrize(
    ("data", "name", "expected"),
    [
        (b"", "a.pdf", "inode/x-empty"),
        (b"%PDF-1.7\n%\xe2\xe3", "a.txt", "application/pdf"),
        (b"\xef\xbb\xbf\n%PDF-1.4", "", "application/pdf"),
        (DOCX, "a.zip", media.DOCX),
        (DOCX[:200], "a.docx", media.DOCX),
        (zipped(ppt__presentation0xml=""), "a", media.PPTX),
        (zipped(xl__workbook0xml=""), "a", media.XLSX),
        (zipped(mimetype="application/epub+zip"), "a.zip", media.EPUB),
        (zipped(mimetype="application/vnd.oasis.opendocument.text"), "", "application/vnd.oasis.opendocument.text"),
        (zipped(readme0txt="x"), "a.docx", "application/zip"),
        (zipped(), "a.zip", "application/zip"),
        (ole("WordDocument"), "a", "application/msword"),
        (ole("EncryptionInfo", "EncryptedPackage"), "a.docx", media.ENCRYPTED_OFFICE),
        (ole("Something"), "a.doc", media.OLE),
        (b"\x1f\x8b\x08\x00", "a.md", "application/gzip"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "", "image/webp"),
        (b"\x89PNG\r\n\x1a\n\x00", "a.jpg", "image/png"),
        (b"\x00\x01\x02\x03" * 9, "a.txt", "application/octet-stream"),
        (bytes(range(256)), "a.md", "application/octet-stream"),
        (b"<!-- x --> <!DOCTYPE html><p>", "a.txt", "text/html"),
        (b"<p>Hello <b>there</b></p>", "a.html", "text/html"),
        (b"<p>Hello <b>there</b></p>", "a.txt", "text/plain"),
        (b"1 < 2, and so on", "a.html", "text/plain"),
        (b"<?xml version='1.0'?><html xmlns=''>", "a.xml", "text/html"),
        (b"<?xml version='1.0'?><feed/>", "a", "application/xml"),
        (b"<svg width='1'/>", "a.svg", "image/svg+xml"),
        (b"<html>\nin Markdown", "a.md", "text/markdown"),
        (b"# Title\n", "a.MD", "text/markdown"),
        (b"# Title\n", "a.txt", "text/plain"),
        (b"Title\n=====\n", "dir.md/a.rst", "text/x-rst"),
        (b"import os\n", "a.py", "text/x-python"),
        (b"#!/usr/bin/env python3\n", "tool", "text/x-python"),
        (b"#!/bin/sh\n", "tool", "text/x-shellscript"),
        (b"{}", "a.json", "application/json"),
        (MAIL, "", "message/rfc822"),
        (MAIL, "a.txt", "message/rfc822"),
        (b"From a@b Sat Jan  3 01:05:34 1996\r\n" + MAIL, "", "application/mbox"),
        (b"From - Sat Jan  3 01:05:34 1996\nFrom: a@b\nDate: x\n\nHi", "Inbox", "application/mbox"),
        (b"From here it is 12:30 to go.\nThe end: we hope", "a.mbox", "text/plain"),
        (b"From: a@b\nSubject: x\n\nHi", "a.eml", "message/rfc822"),
        (b"From: a@b\nSubject: x\n\nHi", "a.txt", "text/plain"),
        (b"nothing of the kind", "a.eml", "text/plain"),
        (PREAMBLE, "pep-0008.rst", "text/x-rst"),
        (PREAMBLE, "pep-0008.txt", "text/plain"),
        ("Grüße".encode("utf-16"), "a.md", "text/markdown"),
        ("Hello, world".encode("utf-16-be"), "a", "text/plain"),
        ("Grüße".encode("latin-1"), "a.rst", "text/x-rst"),
        (b"a\0b", "a.txt", "application/octet-stream"),
    ],
)
def test_media_type(data, name, expected):
    assert media_type_of_bytes(data, name) == expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"plain", "utf-8"),
        ("é".encode()[:1], "utf-8"),  # the head may end within a character
        (b"\xef\xbb\xbfx", "utf-8-sig"),
        ("é".encode("utf-16"), "utf-16"),
        ("é".encode("utf-32"), "utf-32"),
        ("abcdef".encode("utf-16-le"), "utf-16-le"),
        (b"caf\xe9 au lait", "latin-1"),
        (b"end of file \x1a" + b"x" * 200, "utf-8"),
        (b"\x01\x02\x03\x04abc", None),
    ],
)
def test_encoding_by_the_head(data, expected):
    assert encoding_of(data) == expected


def test_a_file_is_told_by_its_head(tmp_path):
    path = tmp_path / "a.md"
    with path.open("wb") as file:
        file.write(b"a line\n" * 20_000)
        file.truncate(2**32)  # sparse: to read it whole would be noticed
    assert media_type_of_file(path) == "text/markdown"
    path.write_bytes(DOCX)
    assert media_type_of_file(path) == media.DOCX
