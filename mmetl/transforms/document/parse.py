"""`document.parse`: files become texts with their structure kept."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mmetl.contracts.items import Items
from mmetl.contracts.transform import Declaration, Job, Scope
from mmetl.items.transform import ItemTransform

if TYPE_CHECKING:
    import pyarrow as pa

    from mmetl.transforms.document.parsed import Parsed
    from mmetl.workers.local import LocalWorkers

ENTRY = "mmetl.transforms.document.reading:read_document"


class ParseParams(BaseModel):
    """Params of `document.parse`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_mb: float = Field(50.0, gt=0, description="size in megabytes above which a file is not parsed")
    timeout_s: float = Field(60.0, gt=0, le=86_400, description="seconds after which a file is given up")
    memory_mb: float = Field(
        2000.0, ge=200, description="memory in megabytes that the parser of a file may take, in a process of its own"
    )
    main_text: bool = Field(
        False,
        description="HTML: only what is marked as the main part, without asides; a page without marks is read as it is",
    )
    ocr: Literal["none", "auto"] = Field(
        "none",
        description="auto: words in images, and in pages of PDF files that have no text, are read by tesseract (extra `ocr`)",
    )
    ocr_languages: tuple[str, ...] = Field(
        ("eng",), min_length=1, description="languages of the pictures, as tesseract names them"
    )


class Parse(ItemTransform):
    """See the module. Texts are read in this process, all other formats in workers, which a crash costs one file."""

    optional_packages = ("kreuzberg", "pillow", "pypdfium2", "selectolax")  # a folder of texts needs none of them

    def declare(self, params: Any, scope: Scope) -> Declaration:
        """Name the files of tesseract, where it is used: others may read otherwise. Raises MissingError where it is not installed."""
        declared = super().declare(params, scope)
        if params.ocr == "none":
            return declared
        from mmetl.transforms.document.parsers.ocr import ocr_files

        return declared._replace(sources=ocr_files(params.ocr_languages))

    def prepare(self, job: Job, closing: ExitStack) -> Callable[[pa.RecordBatch], dict[str, Any]]:
        """Return the function of a batch."""
        from mmetl.workers.local import LocalWorkers

        params: ParseParams = job.params
        workers = LocalWorkers(ENTRY, job.threads, timeout_s=params.timeout_s, memory_mb=params.memory_mb, log=job.log)
        closing.callback(workers.close)
        job.on_cancel(workers.close)
        return _reader(params, workers)


def _reader(params: ParseParams, workers: LocalWorkers) -> Callable[[pa.RecordBatch], dict[str, Any]]:
    """Return the function of a batch."""
    from mmetl.transforms.document.parsed import Limits
    from mmetl.transforms.document.reading import FORMATS, MEGABYTE, read_document

    languages = "+".join(params.ocr_languages) if params.ocr == "auto" else ""
    limits = Limits(max_bytes=int(params.max_mb * MEGABYTE), ocr=languages, main_text=params.main_text)

    def parsed(batch: pa.RecordBatch) -> dict[str, Any]:
        columns = (batch.column(n).to_pylist() for n in ("path", "media_type", "fingerprint"))
        calls = [(*call, limits) for call in zip(*columns, strict=True)]
        outside = [i for i, call in enumerate(calls) if call[1] in FORMATS]
        found = dict(zip(outside, workers.map([calls[i] for i in outside]), strict=True))
        return _columns([found[i] if i in found else read_document(*call) for i, call in enumerate(calls)])

    return parsed


def _columns(found: list[Any]) -> dict[str, Any]:
    """Return what was read, or why nothing was (a text, or what a worker says), as columns."""
    import json

    import pyarrow as pa

    from mmetl.transforms.document.parsed import Parsed

    nothing = Parsed("")
    read: list[Parsed] = [one if isinstance(one, Parsed) else nothing for one in found]
    errors = [None if isinstance(one, Parsed) else getattr(one, "why", one) for one in found]
    said = [json.dumps(dict(p.metadata), ensure_ascii=False, sort_keys=True) if p.metadata else None for p in read]
    return {
        "title": pa.array([p.title for p in read], pa.string()),
        "text": pa.array([p.text for p in read], pa.string()),
        "language": pa.array([p.language for p in read], pa.string()),
        "metadata": pa.array(said, pa.string()),
        "page_starts": pa.array([p.pages or None for p in read], pa.list_(pa.int64())),
        "_error": pa.array(errors, pa.string()),
    }


PARSE = Parse(
    "document.parse",
    None,
    Items(
        reads=("fingerprint", "media_type"),
        sees=("path", "size_bytes"),
        makes={
            "title": "string",
            "text": "string",
            "language": "string",
            "metadata": "string",
            "page_starts": "list<element: int64>",
        },
        weight="size_bytes",
        batch_rows=256,
    ),
    ParseParams,
    version=9,
    packages=("kreuzberg", "pillow", "pypdfium2", "selectolax"),
)
