"""`document.chunk`: texts become chunks that fit an embedding model, each named by its document and its content."""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mmetl.contracts.items import Items
from mmetl.contracts.transform import Table
from mmetl.errors import TaskError
from mmetl.items.transform import ItemTransform
from mmetl.utils.hashing import xxh3_hex

if TYPE_CHECKING:
    import pyarrow as pa

    from mmetl.transforms.document.chunks import Chunk

MEDIA_TYPE = "media_type"


class ChunkParams(BaseModel):
    """Params of `document.chunk`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str = Field("text", description="the column of texts")
    method: Literal["recursive", "heading", "sentence", "tokens"] = Field(
        "heading",
        description="heading: sections, cut further where they are too long; sentence: whole sentences; tokens: the same,"
        " measured in tokens; recursive: behind blank lines, else lines, else sentences, else words",
    )
    size: int = Field(1000, ge=2, description="the most characters of a chunk; for `tokens`, the most tokens")
    overlap: int = Field(0, ge=0, description="how much a chunk may repeat of the one before it; below half of `size`")
    markup: Literal["auto", "markdown", "rst", "none"] = Field(
        "auto", description="how headings are marked; auto: as the column `media_type` says"
    )
    pages: str | None = Field(
        None,
        description="a column of offsets at which pages start (`page_starts`): it makes `page`, where a chunk starts",
    )

    @model_validator(mode="after")
    def _overlap_fits(self) -> ChunkParams:
        if 2 * self.overlap >= self.size:
            raise ValueError(f"`overlap` ({self.overlap}) must be below half of `size` ({self.size})")
        return self


PIECE_CHARACTERS = 4 << 20
"""Characters of chunks that are made at a time: as objects of Python they take several times the memory of the text."""


def chunked(batch: pa.RecordBatch, params: ChunkParams) -> Iterator[pa.Table]:
    """Yield the chunks of a batch of texts, piece by piece; none for a text that is null or blank."""
    from mmetl.items.texts import texts_of
    from mmetl.transforms.document.chunks import chunk, markup_of

    kinds = batch.column(MEDIA_TYPE).to_pylist() if params.markup == "auto" else []
    starts = batch.column(params.pages).to_pylist() if params.pages else []
    made = _Rows(paged=params.pages is not None)
    for item, text in enumerate(texts_of(batch.column(params.text))):
        markup = params.markup if params.markup != "auto" else markup_of(kinds[item] or "")
        names = _Names()
        for position, piece in enumerate(chunk(text or "", params.method, params.size, params.overlap, markup)):
            page = bisect.bisect_right(starts[item] or (), piece.start) if starts else 0
            made.add(item, names.of(piece.text), position, piece, page)
            if made.characters > PIECE_CHARACTERS:
                yield made.taken()
    yield made.taken()


class _Names:
    """The names of the chunks of one text: the hash of each, and a number behind it where that has been there before."""

    def __init__(self) -> None:
        self._seen: dict[int, int] = {}

    def of(self, text: str) -> str:
        name = xxh3_hex(text.encode())[:NAME_DIGITS]
        number = int(name, 16)  # half the size of a text
        seen = self._seen[number] = self._seen.get(number, 0) + 1
        return name if seen == 1 else f"{name}-{seen}"


class _Rows:
    """Rows on their way into a table."""

    def __init__(self, *, paged: bool) -> None:
        self._schema = {"_item": "int64", **MADE, **({"page": "int32"} if paged else {})}
        self._begin()

    def _begin(self) -> None:
        self._columns: dict[str, list[Any]] = {name: [] for name in (*self._schema, "page")}
        self.characters = 0

    def add(self, item: int, name: str, position: int, piece: Chunk, page: int) -> None:
        """Add a chunk; `page` is 0 where there is none."""
        row = (item, name, position, piece.text, piece.start, piece.end, piece.headings, page or None)
        for column, value in zip(self._columns.values(), row, strict=True):
            column.append(value)
        self.characters += len(piece.text)

    def taken(self) -> pa.Table:
        """Return the rows, and begin anew."""
        import pyarrow as pa

        from mmetl.cache.arrow_types import parse_type

        columns = {name: pa.array(self._columns[name], parse_type(kind)) for name, kind in self._schema.items()}
        self._begin()
        return pa.table(columns)


class ChunkTransform(ItemTransform):
    """See the module."""

    def over(self, params: Any, table: Table, others: Mapping[str, Table]) -> tuple[Items, Mapping[str, Table]]:
        """Refuse an input that it cannot cut. Raises TaskError."""
        types = {c.name: c.type for c in table.manifest.columns}
        if params.markup == "auto" and MEDIA_TYPE not in types and params.text in types:
            raise TaskError(
                f"'{table.task}' has no column '{MEDIA_TYPE}', by which `markup: auto` knows how headings are marked",
                help="say how they are: `markup: markdown` or `markup: rst`; or `markup: none`, where there are none",
            )
        if types.get(params.text, "string") != "string":
            raise TaskError(
                f"the column '{params.text}' of '{table.task}' is {types[params.text]}, not text",
                help="name the column of the texts: `text: COLUMN`",
            )
        return super().over(params, table, others)


NAME_DIGITS = 16
MADE = {
    "chunk": "string",
    "position": "int32",
    "text": "string",
    "start": "int64",
    "end": "int64",
    "headings": "list<element: string>",
}

CHUNK = ChunkTransform(
    "document.chunk",
    chunked,
    Items(
        reads=lambda params: (
            params.text,
            *((MEDIA_TYPE,) if params.markup == "auto" else ()),
            *((params.pages,) if params.pages else ()),
        ),
        makes=lambda params: MADE | ({"page": "int32"} if params.pages else {}),
        many=True,
        key=("chunk",),
        batch_rows=256,
        parallel=True,
    ),
    ChunkParams,
    version=3,
)
