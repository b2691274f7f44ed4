"""Loading a pipeline YAML or `mmetl.yml`: files -> tree -> interpolated tree -> frozen model, all problems at once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from yaml import ScalarNode, YAMLError

from mmetl.config.documents import Document, Documents
from mmetl.config.positions import Source
from mmetl.config.problems import problems_from_validation
from mmetl.config.project_file import ProjectFile
from mmetl.config.resolver import Trace, interpolate
from mmetl.config.schema import Pipeline
from mmetl.config.values import Values, plain, reason
from mmetl.errors import ConfigError, Problem, Where
from mmetl.utils.env import Env
from mmetl.utils.garbage import collection_paused
from mmetl.utils.text import near

Model = TypeVar("Model", bound=BaseModel)

NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Loaded:
    """A pipeline and what it was made from.

    Attributes:
        pipeline: includes and interpolation done; `${secret:NAME}` is still text.
        files: every YAML file that went in, the pipeline's own first.
        env: every environment variable that was looked up, with the value that was found, or None.
        source: finds positions in the files.
    """

    pipeline: Pipeline
    files: tuple[Path, ...]
    env: Mapping[str, str | None] = field(repr=False)
    source: Source = field(repr=False)


def load_pipeline(
    path: Path, *, root: Path, variables: Mapping[str, str] = NOTHING, env: Mapping[str, str] = os.environ
) -> Loaded:
    """Load a pipeline.

    Args:
        path: the YAML file.
        root: the project's folder, which no include may leave.
        variables: values as on the command line, read as YAML scalars, in place of the file's `vars`.
        env: where `${NAME}` is looked up.

    Raises:
        ConfigError: with everything that is wrong, in the order of the text.
    """
    seen = Env(env)
    given = {name: _scalar(text) for name, text in variables.items()}
    pipeline, source = _load(path, root, (Pipeline, "a pipeline"), given, seen)
    return Loaded(pipeline, source.documents.paths, seen.seen, source)


def load_project(path: Path, *, env: Mapping[str, str] = os.environ) -> ProjectFile:
    """Load `mmetl.yml`; it may use `${NAME}` and `!include`, and has no vars. Raises ConfigError."""
    project, _ = _load(path, path.parent, (ProjectFile, "a project file"), {}, Env(env))
    return project


def _load(
    path: Path, root: Path, wanted: tuple[type[Model], str], variables: Mapping[str, Any], env: Env
) -> tuple[Model, Source]:
    model, owner = wanted
    documents = Documents(root)
    document = _open(path, documents)
    values = Values(documents)
    with collection_paused():
        tree = values.document(document)
        _check_top(tree, document, owner, values.problems)
        trace = interpolate(tree, variables, env)
        source = Source(documents, document, trace, values.broken)
        try:
            made, found = model.model_validate(tree), []
        except ValidationError as error:
            made, found = None, problems_from_validation(error, source, (), model, owner)
    problems = [*values.problems, *_faults(trace, source)]
    # What only follows from a failed include or interpolation is not told.
    causes = values.broken | {source.locate(fault.path) for fault in trace.faults}
    problems += [problem for problem in found if problem.where not in causes]
    if made is None or problems:
        raise ConfigError(sorted(dict.fromkeys(problems), key=source.order))
    return made, source


def _open(path: Path, documents: Documents) -> Document:
    try:
        return documents.open(Path(os.path.abspath(path)))
    except OSError as error:
        raise ConfigError([Problem(f"cannot read '{path}': {reason(error)}")]) from None


def _check_top(tree: Any, document: Document, owner: str, problems: list[Problem]) -> None:
    if isinstance(tree, dict):
        return
    if not problems:
        kind = "a list" if isinstance(tree, list) else "one value"
        what = "the file is empty" if tree is None else f"{owner} is a mapping, not {kind}"
        problems = [Problem(what, Where(document.shown, 1, 1), "begin with 'version: 1'")]
    raise ConfigError(problems)


def _scalar(text: str) -> Any:
    """Return the value that a text has as a YAML scalar; a text that is none stands for itself."""
    try:
        node = Document(Path(), "", text.encode()).compose()
    except (ConfigError, YAMLError):
        return text
    if not isinstance(node, ScalarNode) or node.tag:
        return text
    return node.value if node.style else plain(node.value)


def _faults(trace: Trace, source: Source) -> list[Problem]:
    found = [
        Problem(fault.what, source.locate(fault.path, offset=fault.offset), fault.help)
        for fault in trace.faults
        if fault.what
    ]
    for name, known in trace.unknown:
        meant = near(name, known)
        help_ = " ".join([f"did you mean '{meant}'?"] * bool(meant) + [f"vars: {', '.join(known)}"] * bool(known))
        found.append(Problem(f"--var sets '{name}', but the pipeline has no such var", None, help_))
    return found
