"""`document.parse`: files become texts with their structure kept."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from mmetl.contracts.items import Items
from mmetl.errors import TaskError
from mmetl.items.transform import ItemTransform
from mmetl.transforms.document.text_types import HTML, MAIL
from mmetl.utils.hashing import xxh3_hex
from mmetl.utils.text import why_not

if TYPE_CHECKING:
    import pyarrow as pa

MEGABYTE = 1_000_000
TEXT_TYPES = frozenset(
    {
        "application/json",
        "application/toml",
        "application/x-ipynb+json",
        "application/x-ndjson",
        "application/xml",
        "application/yaml",
    }
)
NOT_PLAIN = frozenset({HTML, MAIL})


class ParseParams(BaseModel):
    """Params of `document.parse`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_mb: float = Field(50.0, gt=0, description="size in megabytes above which a file is not parsed")


class Parsed(NamedTuple):
    """What a file says. `title` is its first heading, if it has one."""

    text: str
    title: str | None = None


class Unreadable(Exception):  # noqa: N818  it is told of a file, not of the program
    """Why a file has no text."""


def parse(data: bytes, media_type: str) -> Parsed:
    """Return the text of a file.

    Raises:
        Unreadable: if it is empty, or of a type that is not read.
    """
    if not data:
        raise Unreadable("it is empty")
    if media_type in NOT_PLAIN or not (media_type.startswith("text/") or media_type in TEXT_TYPES):
        raise Unreadable(f"files of the type {media_type} are not read")
    return _text(data, media_type)


def _text(data: bytes, media_type: str) -> Parsed:
    from mmetl.transforms.document.chunks import markup_of
    from mmetl.transforms.document.headings import find_headings
    from mmetl.transforms.document.media import HEAD, encoding_of

    encoding = encoding_of(data[:HEAD])
    if encoding is None:
        raise Unreadable("it is no text")
    text = data.decode(encoding, "replace").replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff")
    headings = find_headings(text, markup_of(media_type))
    return Parsed(text, headings[0].title if headings else None)


def _read(path: str, fingerprint: str, max_mb: float) -> bytes:
    """Return the bytes of a listed file.

    Raises:
        Unreadable: if it is too large, or may not be read.
        TaskError: if it changed since it was listed.
    """
    try:
        if os.stat(path).st_size > max_mb * MEGABYTE:
            raise Unreadable(f"it is larger than {max_mb:g} MB")
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        raise TaskError(f"'{path}' vanished while the run was under way", help="run again") from None
    except OSError as reason:
        raise Unreadable(f"it cannot be read: {why_not(reason)}") from reason
    if xxh3_hex(data) != fingerprint:
        raise TaskError(f"'{path}' changed while the run was under way", help="run again")
    return data


def parsed(batch: pa.RecordBatch, params: ParseParams) -> dict[str, Any]:
    """Return the texts of a batch of files. Raises TaskError for a file that changed since it was listed."""
    import pyarrow as pa

    texts: list[str] = []
    titles: list[str | None] = []
    errors: list[str | None] = []
    paths, kinds, listed = (batch.column(n).to_pylist() for n in ("path", "media_type", "fingerprint"))
    for path, kind, fingerprint in zip(paths, kinds, listed, strict=True):
        found, error = Parsed(""), None
        try:
            found = parse(_read(path, fingerprint, params.max_mb), kind)
        except Unreadable as reason:
            error = str(reason)
        texts.append(found.text)
        titles.append(found.title)
        errors.append(error)
    return {
        "title": pa.array(titles, pa.string()),
        "text": pa.array(texts, pa.string()),
        "_error": pa.array(errors, pa.string()),
    }


PARSE = ItemTransform(
    "document.parse",
    parsed,
    Items(
        reads=("fingerprint", "media_type"),
        sees=("path",),
        makes={"title": "string", "text": "string"},
        batch_rows=256,
    ),
    ParseParams,
    version=1,
)
