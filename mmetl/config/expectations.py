"""What a field of a pydantic model takes, in plain words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from mmetl.config.checks import LANGUAGE_PATTERN
from mmetl.config.resolver import Path
from mmetl.config.schema import MEMBER_PATTERN, NAME_PATTERN, VARIABLE_PATTERN
from mmetl.utils.memory import MEMORY

PATTERNS = {
    MEMORY: "an amount of memory such as 8GB",
    LANGUAGE_PATTERN: "the code of a language such as en",
    NAME_PATTERN: "a name: a lower-case letter, then up to 62 lower-case letters, digits or '_'",
    MEMBER_PATTERN: "a name: a lower-case letter, then up to 62 lower-case letters, digits or '_'",
    VARIABLE_PATTERN: "a name: a letter or '_', then letters, digits or '_'",
}
KINDS: tuple[tuple[str, str], ...] = (
    # the start of pydantic's error type, what it wants
    ("string_", "text"),
    ("int_", "a whole number"),
    ("float_", "a number"),
    ("finite_number", "a finite number"),
    ("decimal_", "a number"),
    ("bool_", "true or false"),
    ("list_", "a list"),
    ("tuple_", "a list"),
    ("set_", "a list"),
    ("frozen_set_", "a list"),
    ("dict_", "a mapping"),
    ("mapping_", "a mapping"),
    ("model_", "a mapping"),
    ("dataclass_type", "a mapping"),
    ("date_", "a date such as 2024-01-31"),
    ("datetime_", "a time such as 2024-01-31T12:00:00"),
)
BOUNDS = (("ge", "of at least"), ("gt", "above"), ("le", "of at most"), ("lt", "below"))
LENGTHS = {"too_short": ("min_length", "at least"), "too_long": ("max_length", "at most")}


def is_kind(details: ErrorDetails) -> bool:
    """Return whether an error says that a value is of another type altogether."""
    return any(details["type"].startswith(start) for start, _ in KINDS) or details["type"] == "literal_error"


def wanted(details: ErrorDetails, model: type[BaseModel], path: Path) -> str:
    """Return what an error at `path` of a model wanted, as the end of "expected ..."."""
    kind, context = details["type"], details.get("ctx", {})
    if kind in ("expected", "literal_error"):
        return {"True": "true", "False": "false"}.get(context["expected"], str(context["expected"]))  # as YAML has it
    if kind == "string_pattern_mismatch":
        pattern = context["pattern"]
        return PATTERNS.get(pattern, f"text that matches {pattern}")
    if kind.startswith(("greater_than", "less_than")):
        return _number("a number", model, path)
    for end, (limit, word) in LENGTHS.items():
        if kind.endswith(end):
            return _length("text" if kind.startswith("string_") else "a list", word, context[limit])
    for start, words in KINDS:
        if kind.startswith(start):
            return _number(words, model, path) if words in ("a whole number", "a number") else words
    said = re.sub(r"^input should be ", "", details["msg"][:1].lower() + details["msg"][1:])
    return said.rstrip(".")


def _length(what: str, word: str, count: int) -> str:
    unit = "character" if what == "text" else "item"
    return f"{what} of {word} {count} {unit}{'s' if count != 1 else ''}"


def _number(words: str, model: type[BaseModel], path: Path) -> str:
    """Return "a whole number of at least 0", with the limits that the field or the list's items have."""
    field = field_at(model, path)
    members = [(kind, inner) for kind, inner in _flat(annotation_at(model, path)) if kind in (int, float)]
    metadata = [*(field.metadata if field is not None else ()), *(one for _, inner in members for one in inner)]
    if {kind for kind, _ in members} == {int}:
        words = "a whole number"
    limits = [f"{word} {limit}" for name, word in BOUNDS if (limit := _limit(metadata, name)) is not None]
    return f"{words} {' and '.join(limits)}" if limits else words


def _limit(metadata: Iterable[Any], name: str) -> Any:
    for item in metadata:
        for one in item.metadata if isinstance(item, FieldInfo) else [item]:
            if (limit := getattr(one, name, None)) is not None:
                return limit
    return None


def _flat(annotation: Any, metadata: tuple[Any, ...] = ()) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Yield the members of a union, each with the metadata that was annotated to it."""
    if get_origin(annotation) is Annotated:
        inner, *more = get_args(annotation)
        yield from _flat(inner, (*metadata, *more))
    elif get_origin(annotation) in (Union, UnionType):
        for member in get_args(annotation):
            yield from _flat(member, metadata)
    else:
        yield annotation, metadata


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """Return the models among the types that an annotation allows."""
    return [kind for kind, _ in _flat(annotation) if isinstance(kind, type) and issubclass(kind, BaseModel)]


def field_at(model: type[BaseModel], path: Path) -> FieldInfo | None:
    """Return the field that a path leads to; None for the items of lists and mappings."""
    if not path or not isinstance(path[-1], str):
        return None
    for owner in models_in(annotation_at(model, path[:-1])):
        for name, info in owner.model_fields.items():
            if path[-1] in (name, info.alias):
                return info
    return None


def annotation_at(model: Any, path: Path) -> Any:
    """Return the type of what a path leads to; Any when it cannot be told."""
    current: Any = model
    for depth, part in enumerate(path):
        field = field_at(model, path[: depth + 1]) if isinstance(part, str) and models_in(current) else None
        current = field.annotation if field is not None else _item(current)
    return current


def _item(annotation: Any) -> Any:
    """Return the type of the items of a list or of the values of a mapping."""
    for kind, _ in _flat(annotation):
        arguments = get_args(kind)
        if arguments:
            return arguments[-1] if arguments[-1] is not Ellipsis else arguments[0]
    return Any
