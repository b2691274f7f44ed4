"""`cross.verbalize`: a row becomes a text that says what it holds, ready to be embedded."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from mmetl.cache.python_rows import python_rows
from mmetl.contracts.items import Items
from mmetl.items.transform import ItemTransform

if TYPE_CHECKING:
    import pyarrow as pa

_SENTENCE = re.compile(r"\[\[(.*?)\]\]", re.DOTALL)
"""A piece of the template that is left out where one of its columns has no value."""


class VerbalizeParams(BaseModel):
    """Params of `cross.verbalize`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    template: str = Field(
        min_length=1,
        description="the text, with columns in braces: `{title} is {status}.[[ It was written by {authors}.]]`. What stands in double brackets is left out where one of its columns is null or an empty list",
    )
    into: str = Field("text", min_length=1, description="the column of texts that is made")
    between: str = Field(", ", description="what stands between the values of a list")

    @field_validator("template")
    @classmethod
    def _readable(cls, template: str) -> str:
        for _, column, _, conversion in string.Formatter().parse(_SENTENCE.sub(r"\1", template)):
            if column is not None and (not column or conversion):
                raise ValueError("each brace needs the name of a column, and no '!'; a brace itself is written '{{'")
        return template


def columns_of(template: str) -> list[str]:
    """Return the columns that a template names, each once.

    >>> columns_of("{title} is {status}.[[ By {authors}.]]")
    ['title', 'status', 'authors']
    """
    parsed = string.Formatter().parse(_SENTENCE.sub(r"\1", template))
    return list(dict.fromkeys(column for _, column, _, _ in parsed if column))


class Template:
    """A template, taken apart once.

    Args:
        text: as in the params.
        between: what stands between the values of a list.
    """

    def __init__(self, text: str, between: str) -> None:
        self._between = between
        # What was in double brackets has an odd place.
        self._pieces = [list(string.Formatter().parse(piece)) for piece in _SENTENCE.split(text)]

    def fill(self, row: Mapping[str, Any]) -> str:
        """Return the text of a row. Raises ValueError for a column without a value outside of double brackets."""
        return "".join(self._piece(piece, row, may_lack=at % 2 == 1) for at, piece in enumerate(self._pieces))

    def _piece(self, pieces: Sequence[Any], row: Mapping[str, Any], *, may_lack: bool) -> str:
        made = []
        for text, column, spec, _ in pieces:
            made.append(text)
            if not column:
                continue
            value = row[column]
            if value is None or value == []:
                if may_lack:
                    return ""
                raise ValueError(f"'{column}' has no value; put what needs it in [[double brackets]]")
            made.append(self._said(value, spec or ""))
        return "".join(made)

    def _said(self, value: Any, spec: str) -> str:
        if isinstance(value, list):
            return self._between.join(self._said(v, spec) for v in value if v is not None)
        if isinstance(value, bool):
            return "true" if value else "false"
        return format(value, spec)


def verbalized(batch: pa.RecordBatch, params: VerbalizeParams) -> dict[str, list[str | None]]:
    """Return the texts of rows, and why those that have none have none."""
    template = Template(params.template, params.between)
    texts: list[str | None] = []
    errors: list[str | None] = []
    for row in python_rows(batch.select(columns_of(params.template))):
        try:
            text, error = template.fill(row), None
        except (ValueError, TypeError) as e:
            text, error = None, str(e)
        texts.append(text)
        errors.append(error)
    return {params.into: texts, "_error": errors}


VERBALIZE = ItemTransform(
    "cross.verbalize",
    verbalized,
    Items(reads=lambda params: columns_of(params.template), makes=lambda params: {params.into: "string"}),
    VerbalizeParams,
    version=1,
)
