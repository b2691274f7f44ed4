"""`document.extract`: what a text says of itself, in headers, in front matter or by a pattern, becomes columns."""

from __future__ import annotations

import email.parser
import email.policy
import json
import re
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from mmetl.contracts.items import Items
from mmetl.items.transform import ItemTransform

if TYPE_CHECKING:
    import pyarrow as pa

_FRONT_MATTER = re.compile(r"\A\ufeff?---[ \t]*\r?\n(.*?)^(?:---|\.\.\.)[ \t]*\r?$", re.DOTALL | re.MULTILINE)
_HEADERS = re.compile(r"\A\ufeff?\s*(?=[A-Za-z][\w-]*:)")


class ExtractParams(BaseModel):
    """Params of `document.extract`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str = Field("text", description="the column of texts")
    headers: dict[str, str] = Field(
        default_factory=dict, description="column: the name of a header as in an e-mail, at the top of the text"
    )
    front_matter: dict[str, str] = Field(
        default_factory=dict, description="column: a key of the YAML between `---` at the top of the text"
    )
    fields: dict[str, str] = Field(
        default_factory=dict,
        description="column: a regular expression; its first group, or the whole match, is the value",
    )

    @field_validator("fields")
    @classmethod
    def _patterns(cls, fields: dict[str, str]) -> dict[str, str]:
        for name, pattern in fields.items():
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"the pattern of '{name}' is no regular expression: {error}") from error
        return fields

    @property
    def columns(self) -> list[str]:
        """The columns that are made."""
        return [*self.headers, *self.front_matter, *self.fields]


def headers(text: str) -> dict[str, str]:
    """Return the headers at the top of a text, by lower-case name; a header that goes on in further lines is one line.

    The format is that of RFC 5322 and of PEPs: `Name: value` lines up to the first blank line. Where a name stands twice, its
    values are joined by a comma.
    """
    start = _HEADERS.match(text)
    if start is None:
        return {}
    parsed = email.parser.HeaderParser(policy=email.policy.compat32).parsestr(text[start.end() :])
    found: dict[str, str] = {}
    for name, value in parsed.items():
        line = " ".join(str(value).split())
        found[name.lower()] = f"{found[name.lower()]}, {line}" if name.lower() in found else line
    return found


def front_matter(text: str) -> dict[str, Any]:
    """Return the YAML mapping between `---` lines at the top of a text; nothing where there is none.

    Raises:
        ValueError: if what stands there is not YAML.
    """
    import yaml

    found = _FRONT_MATTER.match(text)
    if found is None:
        return {}
    try:
        value = yaml.load(found[1], getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506  the safe one
    except yaml.YAMLError as error:
        raise ValueError(f"the front matter is not YAML: {str(error).splitlines()[0]}") from error
    return value if isinstance(value, dict) else {}


@cache
def _compiled(pattern: str) -> Callable[[str], re.Match[str] | None]:
    return re.compile(pattern, re.MULTILINE).search


def extracted(batch: pa.RecordBatch, params: ExtractParams) -> dict[str, Any]:
    """Return the wanted values of a batch of texts, as text; null where a text does not have one."""
    import pyarrow as pa

    made: dict[str, list[str | None]] = {name: [] for name in params.columns}
    errors: list[str | None] = []
    for text in batch.column(params.text).to_pylist():
        whole = text or ""
        top = headers(whole) if params.headers else {}
        try:
            front = front_matter(whole) if params.front_matter else {}
            errors.append(None)
        except ValueError as error:
            front = {}
            errors.append(str(error))
        for name, header in params.headers.items():
            made[name].append(top.get(header.lower()))
        for name, key in params.front_matter.items():
            made[name].append(_plain(front.get(key)))
        for name, pattern in params.fields.items():
            found = _compiled(pattern)(whole)
            made[name].append((found[1] if found.re.groups else found[0]) if found else None)
    columns = {name: pa.array(values, pa.string()) for name, values in made.items()}
    return {**columns, "_error": pa.array(errors, pa.string())}


def _plain(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ", ".join(_plain(v) or "" for v in value)
    return (
        json.dumps(_with_text_keys(value), ensure_ascii=False, default=str) if isinstance(value, dict) else str(value)
    )


def _with_text_keys(value: Any) -> Any:
    """Return a value of YAML, where a date may be a key, as JSON can hold it."""
    if isinstance(value, dict):
        return {_plain(k) or "": _with_text_keys(v) for k, v in value.items()}
    return [*map(_with_text_keys, value)] if isinstance(value, list) else value


EXTRACT = ItemTransform(
    "document.extract",
    extracted,
    Items(
        reads=lambda params: (params.text,),
        makes=lambda params: dict.fromkeys(params.columns, "string"),
        batch_rows=256,
    ),
    ExtractParams,
    version=2,
)
