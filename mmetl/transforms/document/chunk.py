"""`document.chunk`: texts become chunks that fit an embedding model, each named by its document and its content."""

from __future__ import annotations

import bisect
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mmetl.contracts.items import Items
from mmetl.items.transform import ItemTransform

if TYPE_CHECKING:
    import pyarrow as pa

MEDIA_TYPE = "media_type"


class ChunkParams(BaseModel):
    """Params of `document.chunk`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str = Field("text", description="the column of texts")
    method: Literal["recursive", "heading", "sentence", "tokens"] = Field(
        "heading",
        description="heading: sections, cut further where they are too long; sentence: whole sentences; tokens: the same,"
        " measured in tokens; recursive: behind the coarsest separator in the second half of a window",
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


def chunked(batch: pa.RecordBatch, params: ChunkParams) -> pa.Table:
    """Return the chunks of a batch of texts; none for a text that is null or blank."""
    import pyarrow as pa

    from mmetl.transforms.document.chunks import chunk, markup_of
    from mmetl.utils.hashing import xxh3_hex

    texts = batch.column(params.text).to_pylist()
    kinds = batch.column(MEDIA_TYPE).to_pylist() if params.markup == "auto" else []
    starts = batch.column(params.pages).to_pylist() if params.pages else []
    rows: dict[str, list[Any]] = {name: [] for name in ("_item", *MADE, "page")}
    for item, text in enumerate(texts):
        markup = params.markup if params.markup != "auto" else markup_of(kinds[item] or "")
        seen: dict[str, int] = {}
        for position, piece in enumerate(chunk(text or "", params.method, params.size, params.overlap, markup)):
            name = xxh3_hex(piece.text.encode())[:NAME_DIGITS]
            seen[name] = seen.get(name, 0) + 1
            rows["_item"].append(item)
            rows["chunk"].append(name if seen[name] == 1 else f"{name}-{seen[name]}")
            rows["position"].append(position)
            rows["text"].append(piece.text)
            rows["start"].append(piece.start)
            rows["end"].append(piece.end)
            rows["headings"].append(piece.headings)
            if params.pages:
                rows["page"].append(bisect.bisect_right(starts[item] or (), piece.start) or None)
    paged = {"page": pa.array(rows["page"], pa.int32())} if params.pages else {}
    return pa.table(
        {
            "_item": pa.array(rows["_item"], pa.int64()),
            "chunk": pa.array(rows["chunk"], pa.string()),
            "position": pa.array(rows["position"], pa.int32()),
            "text": pa.array(rows["text"], pa.string()),
            "start": pa.array(rows["start"], pa.int64()),
            "end": pa.array(rows["end"], pa.int64()),
            "headings": pa.array(rows["headings"], pa.list_(pa.string())),
            **paged,
        }
    )


NAME_DIGITS = 16
MADE = {
    "chunk": "string",
    "position": "int32",
    "text": "string",
    "start": "int64",
    "end": "int64",
    "headings": "list<element: string>",
}

CHUNK = ItemTransform(
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
    ),
    ChunkParams,
    version=2,
)
