"""`document.redact`: what must not be passed on gives way to placeholders."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from mmetl.contracts.items import Items
from mmetl.items.transform import ItemTransform
from mmetl.transforms.document.sensitive import FINDERS, Finder, Span, find_spans, own_finder

if TYPE_CHECKING:
    import pyarrow as pa

Kind = Literal["email", "phone", "key", "card", "iban"]
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


class RedactParams(BaseModel):
    """Params of `document.redact`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str = Field("text", description="the column of texts")
    into: str | None = Field(None, description="the column of redacted texts; default: they take the place of `text`")
    kinds: tuple[Kind, ...] = Field(
        get_args(Kind), description="what is looked for; key: tokens of services, private keys, passwords"
    )
    patterns: dict[str, str] = Field(
        default_factory=dict,
        description="name of a kind of your own: a regular expression; its first group, or the whole match, is taken out",
    )
    allow: tuple[str, ...] = Field((), description="regular expressions: what one matches as a whole stays")
    placeholder: str = Field(
        "[{KIND}]",
        description="what stands instead; {KIND} or {kind}: its name; {n}: a number, the same for the same words of one text",
    )

    @field_validator("patterns")
    @classmethod
    def _named(cls, patterns: dict[str, str]) -> dict[str, str]:
        for name, pattern in patterns.items():
            if not _NAME.fullmatch(name) or name in FINDERS:
                raise ValueError(
                    f"'{name}' cannot be the name of a kind: take small letters, digits and _, none of {', '.join(FINDERS)}"
                )
            _compiled(pattern, f"the pattern of '{name}'")
        return patterns

    @field_validator("allow")
    @classmethod
    def _allowed(cls, allow: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in allow:
            _compiled(pattern, f"'{pattern}'")
        return allow

    @field_validator("placeholder")
    @classmethod
    def _filled(cls, placeholder: str) -> str:
        try:
            placeholder.format(KIND="", kind="", n=1)
        except (KeyError, IndexError, ValueError, AttributeError) as error:
            raise ValueError("a placeholder may name {KIND}, {kind} and {n}; write other braces twice") from error
        return placeholder

    @model_validator(mode="after")
    def _something(self) -> RedactParams:
        if not self.names:
            raise ValueError("it looks for nothing: name `kinds` or `patterns`")
        return self

    @property
    def names(self) -> list[str]:
        """The kinds that are looked for, those of the project first."""
        return [*self.patterns, *(kind for kind in FINDERS if kind in self.kinds)]

    @property
    def made(self) -> str:
        """The column of redacted texts."""
        return self.into or self.text


def _compiled(pattern: str, what: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{what} is no regular expression: {error}") from error


def redacted(batch: pa.RecordBatch, params: RedactParams) -> dict[str, Any]:
    """Return the redacted texts of a batch, how often each kind stood in them, and where."""
    finders = [(n, own_finder(params.patterns[n]) if n in params.patterns else FINDERS[n]) for n in params.names]
    allowed = [re.compile(p).fullmatch for p in params.allow]
    return _redacted(batch.column(params.text).to_pylist(), params, finders, allowed)


def _redacted(
    texts: Sequence[str | None],
    params: RedactParams,
    finders: Sequence[tuple[str, Finder]],
    allowed: Sequence[Callable[[str], Any]],
) -> dict[str, Any]:
    """Return redacted texts, how often each kind stood in them, and where; a null stays one."""
    import pyarrow as pa

    may_stay: Callable[[str], bool] = lambda found: any(match(found) for match in allowed)  # noqa: E731
    found = [find_spans(text or "", finders, may_stay) for text in texts]
    made = [replaced(t, s, params.placeholder) if t is not None else None for t, s in zip(texts, found, strict=True)]
    counts = [{kind: sum(s.kind == kind for s in spans) for kind in params.names} for spans in found]
    types = _types(params)
    return {
        params.made: pa.array(made, pa.string()),
        "redacted": pa.array(counts, types["redacted"]),
        "redactions": pa.array([[s._asdict() for s in spans] for spans in found], types["redactions"]),
    }


def replaced(text: str, spans: Sequence[Span], placeholder: str) -> str:
    """Return a text with a placeholder at each of some places.

    >>> replaced("ann and bob and ann", [Span(0, 3, "name"), Span(8, 11, "name"), Span(16, 19, "name")], "<{kind} {n}>")
    '<name 1> and <name 2> and <name 1>'
    """
    numbers: dict[tuple[str, str], int] = {}
    last: dict[str, int] = {}
    pieces, at = [], 0
    for start, end, kind in spans:
        named = (kind, text[start:end])
        if named not in numbers:
            last[kind] = numbers[named] = last.get(kind, 0) + 1
        pieces += [text[at:start], placeholder.format(KIND=kind.upper(), kind=kind, n=numbers[named])]
        at = end
    return "".join([*pieces, text[at:]])


def _types(params: RedactParams) -> Mapping[str, Any]:
    import pyarrow as pa

    span = pa.struct([("start", pa.int64()), ("end", pa.int64()), ("kind", pa.string())])
    return {
        params.made: pa.string(),
        "redacted": pa.struct([(name, pa.int32()) for name in params.names]),
        "redactions": pa.list_(pa.field("element", span)),
    }


REDACT = ItemTransform(
    "document.redact",
    redacted,
    Items(reads=lambda params: (params.text,), makes=_types, batch_rows=256, parallel=True),
    RedactParams,
    version=1,
)
