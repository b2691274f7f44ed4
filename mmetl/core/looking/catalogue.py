"""What a project may name as `transform:`, described from the code: params with types and defaults, promise, example."""

from __future__ import annotations

import inspect
import sys
import types
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from mmetl.config.loader import load_pipeline
from mmetl.contracts.transform import Transform
from mmetl.core.examples import example
from mmetl.core.project import Project
from mmetl.core.registry import Registry
from mmetl.errors import MmetlError

WORDS = {str: "text", bool: "true or false", int: "whole number", float: "number", Any: "any value"}
GRAIN = "task: skipped, restored or computed as a whole"
PURE = "pure: the same inputs and params give the same output"
PROMISES = {
    "tabular.read": f"{PURE}; with `watermark`: rows that were deleted at the source before the lookback, or without a value in its column, stay",
    "shell.run": "pure as far as the command is: what it reads beside its inputs is not seen",
    "python.run": "pure as far as the function is: what it reads beside its inputs is not seen",
}


class Param(NamedTuple):
    """One param; that of a nested mapping has a dotted name."""

    name: str
    type: str
    default: str
    meaning: str


class Described(NamedTuple):
    """One transform. `example` is path -> text of a small project that runs."""

    name: str
    summary: str
    params: tuple[Param, ...]
    grain: str
    promise: str
    example: Mapping[str, str]


def registry_of(project: Project) -> Registry:
    """Return every transform that the project may name, those that its pipelines import included.

    A pipeline that cannot be loaded, or whose imports fail, is passed over: `mmetl validate` tells why.
    """
    registry = Registry(project.root)
    for path in project.pipeline_files():
        try:
            registry.add_modules(load_pipeline(path, root=project.root, env=project.env).pipeline.imports)
        except MmetlError:
            continue
    return registry


def describe(transform: Transform) -> Described:
    """Return what the code of a transform says about it."""
    promise = PROMISES.get(transform.name, PURE)
    params = tuple(fields(transform.params))
    files = example(transform.name)
    return Described(transform.name, summary(transform), params, getattr(transform, "grain", GRAIN), promise, files)


def summary(transform: Transform) -> str:
    """Return the first sentence of a transform's docstring, or of its module's."""
    target = getattr(transform, "function", None) or type(transform)
    text = inspect.getdoc(target) or ""
    if not text or text.startswith("See the module"):
        text = sys.modules[target.__module__].__doc__ or ""
    first = " ".join(text.strip().partition("\n\n")[0].split())
    told = first.removeprefix(f"`{transform.name}`: ").rstrip(".")
    return told[:1].lower() + told[1:] if told[1:2].islower() else told


def fields(model: type[BaseModel], above: str = "") -> Iterator[Param]:
    """Yield every param of a model, those of nested models after their owner."""
    for name, field in model.model_fields.items():
        path = f"{above}{field.alias or name}"
        meaning = " ".join((field.description or "").split())
        yield Param(path, type_words(field.annotation), default_words(field), meaning)
        for nested in _models(field.annotation):
            yield from fields(nested, f"{path}.")


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)


def type_words(annotation: Any) -> str:
    """Return a type in words.

    >>> type_words(list[str] | None), type_words(dict[str, int]), type_words(list[Literal["a", "b"]])
    ('list of texts', 'mapping', 'list, each `a` or `b`')
    """
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f"`{v}`" for v in inner)
    if origin in {Annotated, Union, types.UnionType}:
        kinds = inner[:1] if origin is Annotated else inner
        return " or ".join(dict.fromkeys(type_words(t) for t in kinds if t is not type(None)))
    if origin in {list, tuple}:
        words = type_words(inner[0])
        return f"list, each {words}" if " or " in words else f"list of {words}s"
    return WORDS.get(annotation, "mapping")


def default_words(field: FieldInfo) -> str:
    """Return a default in words."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None or value is PydanticUndefined or value in ([], {}, (), ""):
        return "none"
    if isinstance(value, list | tuple):
        return f"`[{', '.join(map(str, value))}]`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"
