"""What the benchmark's pipeline calls: the splitter and the embedder of the floor scripts, in mmETL's shape."""

import mmcommon
import pyarrow as pa
from pydantic import BaseModel

from mmetl import Items, register_transform


class Split(BaseModel):
    """Params of the splitter."""

    size: int = 1000
    overlap: int = 100


@register_transform("bench.read", items=Items(reads="fingerprint", sees="path", makes={"text": "string"}))
def read(batch: pa.RecordBatch) -> dict[str, list[str]]:
    """Return the texts of files."""
    return {"text": [mmcommon.read(p) for p in batch.column("path").to_pylist()]}


@register_transform(
    "bench.chunk",
    items=Items(reads="text", makes={"no": "int32", "chunk": "string"}, many=True, key=["no"], batch_rows=256),
)
def chunk(batch: pa.RecordBatch, params: Split) -> pa.Table:
    """Return the chunks of texts."""
    item, number, text = [], [], []
    for i, whole in enumerate(batch.column("text").to_pylist()):
        found = mmcommon.split(whole, params.size, params.overlap)
        item += [i] * len(found)
        number += range(len(found))
        text += found
    return pa.table(
        {"_item": pa.array(item, pa.int64()), "no": pa.array(number, pa.int32()), "chunk": pa.array(text, pa.string())}
    )


def embed(texts):
    """Return the vectors of texts."""
    return mmcommon.scaled(mmcommon.raw_embed(texts))  # EMBED
