"""`document.clean`: texts in one Unicode form, without invisible characters, needless white space and boilerplate."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from mmetl.contracts.items import Items
from mmetl.errors import TaskError
from mmetl.items.transform import ItemTransform
from mmetl.transforms.document import boilerplate, tidying
from mmetl.transforms.document.tidying import Form, WhiteSpace

if TYPE_CHECKING:
    import pyarrow as pa

LINE = "line"
"""The column of a further input that has the lines to leave out."""


class CleanParams(BaseModel):
    """Params of `document.clean`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str = Field("text", description="the column of texts")
    into: str | None = Field(None, description="the column of clean texts; default: they take the place of `text`")
    form: Form = Field(
        "NFC",
        description="the Unicode form; NFKC also makes one of letters that only look different (ﬁ, ①, full width)",
    )
    invisible: bool = Field(True, description="whether control and invisible characters are taken out")
    white_space: WhiteSpace = Field(
        "lines",
        description="lines: none at ends of lines, one blank line at most, all kinds of spaces plain; all: also runs of"
        " spaces become one and lines are not indented; keep: as it is",
    )
    hyphens: bool = Field(False, description="whether words that are cut in two at ends of lines are joined")
    punctuation: bool = Field(False, description="whether typographic quotes, dashes and ellipses become ASCII")
    drop_lines: tuple[str, ...] = Field((), description="regular expressions: a line that one matches is left out")
    pages: str | None = Field(
        None,
        description="a column of offsets at which pages start (`page_starts`): lines that repeat at the top or the bottom of"
        " pages are left out, and the offsets are made anew",
    )
    page_share: float = Field(0.4, gt=0, le=1, description="of the pages on which such a line stands, at least")

    @field_validator("drop_lines")
    @classmethod
    def _patterns(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"'{pattern}' is no regular expression: {error}") from error
        return patterns

    @property
    def made(self) -> str:
        """The column of clean texts."""
        return self.into or self.text


def cleaned(batch: pa.RecordBatch, params: CleanParams, inputs: Mapping[str, pa.Table]) -> dict[str, Any]:
    """Return the clean texts of a batch; a null stays one."""
    import pyarrow as pa

    known = _known(inputs)
    matches = [re.compile(p).search for p in params.drop_lines]
    texts = batch.column(params.text).to_pylist()
    starts = batch.column(params.pages).to_pylist() if params.pages else [None] * len(texts)
    done = [
        clean_pages(_pages(text, at), params, known, matches) if text is not None else None
        for text, at in zip(texts, starts, strict=True)
    ]
    columns = {params.made: pa.array([None if d is None else "".join(d) for d in done], pa.string())}
    if params.pages:
        anew = [_starts(d, at) for d, at in zip(done, starts, strict=True)]
        columns[params.pages] = pa.array(anew, pa.list_(pa.int64()))
    return columns


def clean_pages(
    pages: Sequence[str], params: CleanParams, known: Collection[str], matches: Sequence[Callable[[str], Any]]
) -> list[str]:
    """Return the pages of one text, clean; all but the last written one end in a blank line.

    Args:
        pages: one for a text without pages.
        params: of the task.
        known: keys of lines to leave out (see `boilerplate.line_key`).
        matches: tells of a line whether it is to be left out.
    """
    if params.invisible:
        if params.hyphens:  # before the soft hyphens go
            pages = [tidying.with_whole_words(page.replace("\r\n", "\n")) for page in pages]
        pages = [tidying.without_invisible(page) for page in pages]
    pages = [tidying.in_form(page, params.form) for page in pages]
    if params.pages and len(pages) > 1:
        pages = boilerplate.without_running_heads(pages, params.page_share)
    pages = [boilerplate.without_lines(page, known, matches) for page in pages]
    if params.hyphens:
        pages = [tidying.with_whole_words(page) for page in pages]
    if params.punctuation:
        pages = [tidying.with_plain_punctuation(page) for page in pages]
    if params.white_space == "keep":
        return list(pages)
    tidy = [tidying.with_white_space(page, params.white_space) for page in pages]
    written = [at for at, page in enumerate(tidy) if page]
    return [page + "\n\n" if page and at != written[-1] else page for at, page in enumerate(tidy)]


def _known(inputs: Mapping[str, pa.Table]) -> set[str]:
    """Return the keys of the lines that further inputs list. Raises TaskError for one without that column."""
    found: set[str] = set()
    for alias, table in inputs.items():
        if LINE not in table.column_names:
            had = ", ".join(table.column_names)
            raise TaskError(f"'{alias}' has no column '{LINE}' of lines to leave out", help=f"it has: {had}")
        found.update(boilerplate.line_key(str(line)) for line in table.column(LINE).to_pylist() if line is not None)
    return found


def _pages(text: str, starts: Sequence[int] | None) -> list[str]:
    """Return a text cut where its pages start; what stands before the first is a piece of its own."""
    if not starts:
        return [text]
    cuts = [0, *starts, len(text)]
    return [text[a:b] for a, b in itertools.pairwise(cuts)]


def _starts(pages: Sequence[str] | None, before: Sequence[int] | None) -> list[int] | None:
    if pages is None or not before:
        return None
    ends = list(itertools.accumulate(map(len, pages)))
    return ends[:-1]


def _types(params: CleanParams) -> dict[str, str]:
    return {params.made: "string"} | ({params.pages: "list<element: int64>"} if params.pages else {})


CLEAN = ItemTransform(
    "document.clean",
    cleaned,
    Items(
        reads=lambda params: (params.text, *((params.pages,) if params.pages else ())),
        makes=_types,
        batch_rows=256,
    ),
    CleanParams,
    version=1,
)
