"""JSON Schema of the YAML files, for editors: made from the models that check them."""

from __future__ import annotations

import inspect
import re
from typing import Any

from pydantic import BaseModel

from mmetl.config.cases import CaseFile
from mmetl.config.project_file import ProjectFile
from mmetl.config.schema import MEMBER_PATTERN, NAME_PATTERN, Pipeline, TaskSpec
from mmetl.core.registry import Registry
from mmetl.errors import MmetlError

DIALECT = "https://json-schema.org/draft/2020-12/schema"
INTERPOLATED = {"type": "string", "pattern": r"\$\{"}
"""What may stand for any value: a text with `${...}`, which becomes the value when the file is read."""

_TYPED = frozenset({"integer", "number", "boolean", "array"})
_NARROW = frozenset({"enum", "const", "pattern"})
_ATTRIBUTE = re.compile(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", re.MULTILINE)


def project_schema() -> dict[str, Any]:
    """Return the schema of `mmetl.yml`."""
    made = _schema(ProjectFile, "")
    return {"$schema": DIALECT, "title": "mmETL project file", **made}


def tests_schema() -> dict[str, Any]:
    """Return the schema of a file of tests."""
    made = _schema(CaseFile, "")
    return {"$schema": DIALECT, "title": "mmETL tests", **made}


def pipeline_schema(registry: Registry) -> dict[str, Any]:
    """Return the schema of a pipeline. What a task's `params` may be depends on its `transform`.

    A transform whose package is not installed is a known name, and its params are not checked.
    """
    made = _schema(Pipeline, "")
    task = made["$defs"][TaskSpec.__name__]
    names = registry.names()
    task["properties"]["transform"] = _transform_name(names, task["properties"]["transform"])
    task["properties"]["params"].pop("default", None)
    named = made["properties"]["tasks"]["patternProperties"]
    named[NAME_PATTERN] = named.pop(MEMBER_PATTERN)  # names with "@" are made by a matrix
    task["allOf"] = []
    for name in names:
        try:
            model = registry.get(name).params
        except MmetlError:
            continue
        params = _schema(model, f"{name}.")
        made["$defs"] |= params.pop("$defs", {})
        made["$defs"][f"params of {name}"] = params
        then: dict[str, Any] = {"properties": {"params": {"$ref": f"#/$defs/params of {name}".replace(" ", "%20")}}}
        if params.get("required"):
            then["required"] = ["params"]
        condition = {"properties": {"transform": {"const": name}}, "required": ["transform"]}
        task["allOf"].append({"if": condition, "then": then})
    return {"$schema": DIALECT, "title": "mmETL pipeline", **made}


def _transform_name(names: list[str], said: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of `transform`: a known name; or one of another family, which a module of `imports` may register."""
    families = "|".join(sorted({re.escape(n.partition(".")[0]) for n in names}))
    others = {"type": "string", "pattern": rf"^(?!({families})\.).+"}
    return {"description": said.get("description", ""), "anyOf": [{"enum": names}, others, INTERPOLATED]}


def _schema(model: type[BaseModel], prefix: str) -> dict[str, Any]:
    """Return the schema of a model; the names of its definitions begin with a prefix."""
    made = model.model_json_schema(ref_template=f"#/$defs/{prefix}{{model}}")
    definitions = {prefix + name: body for name, body in made.pop("$defs", {}).items()}
    found: dict[str, Any] = _loosened(made)
    if definitions:
        found["$defs"] = {name: _loosened(body) for name, body in definitions.items()}
    for body, owner in _models(found, model, prefix):
        _describe(body, owner)
    return found


def _loosened(schema: Any) -> Any:
    """Return a schema that also takes `${...}` for each value that is no plain text; keys are not interpolated."""
    if isinstance(schema, list):
        return [_loosened(s) for s in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {"propertyNames", "default", "required", "enum", "const", "pattern", "title", "description"}
    inner = {k: v if k in kept else _each(v) if k in _MAPS else _loosened(v) for k, v in schema.items()}
    inner.pop("title", None)
    if "patternProperties" in inner:
        inner["additionalProperties"] = False
    if schema.get("type") in _TYPED or _NARROW.intersection(schema):
        beside = {k: inner.pop(k) for k in ("default", "description") if k in inner}
        return {"anyOf": [inner, INTERPOLATED], **beside}
    return inner


_MAPS = frozenset({"properties", "patternProperties", "$defs"})


def _each(schemas: dict[str, Any]) -> dict[str, Any]:
    return {name: _loosened(schema) for name, schema in schemas.items()}


def _models(made: dict[str, Any], model: type[BaseModel], prefix: str) -> list[tuple[dict[str, Any], type[BaseModel]]]:
    """Return the schemas of a model and of the models of its module, each with its model."""
    module = inspect.getmodule(model)
    found = [(made, model)]
    for name, body in made.get("$defs", {}).items():
        owner = getattr(module, name.removeprefix(prefix), None)
        if inspect.isclass(owner) and issubclass(owner, BaseModel):
            found.append((body, owner))
    return found


def _describe(made: dict[str, Any], model: type[BaseModel]) -> None:
    """Give each property what the model's docstring says of it."""
    text = inspect.cleandoc(model.__doc__ or "")
    made["description"] = text.partition("\n\n")[0]
    for name, said in _ATTRIBUTE.findall(text):
        if name in made.get("properties", {}):
            made["properties"][name].setdefault("description", " ".join(said.split()))
