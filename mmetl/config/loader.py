"""Loading a pipeline YAML or `mmetl.yml`: files -> tree -> interpolated tree -> frozen model, all problems at once."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError
from yaml import CollectionNode, ScalarNode, SequenceNode, YAMLError

from mmetl.config.cases import CaseFile
from mmetl.config.documents import Document, Documents
from mmetl.config.positions import Source
from mmetl.config.problems import problems_from_validation, wrong_paths
from mmetl.config.project_file import ProjectFile
from mmetl.config.remains import remains
from mmetl.config.resolver import Path as Place
from mmetl.config.resolver import Trace, interpolate
from mmetl.config.schema import Pipeline, TaskSpec
from mmetl.config.values import Values, plain, reason
from mmetl.errors import ConfigError, Problem, UsageError, Where
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
        problems: what is wrong with it.
        wrong: the tasks that are left out of `pipeline` for that, each with what of it can be judged all the same.
    """

    pipeline: Pipeline
    files: tuple[Path, ...]
    env: Mapping[str, str | None] = field(repr=False)
    source: Source = field(repr=False)
    problems: Sequence[Problem] = ()
    wrong: Mapping[str, TaskSpec | None] = field(default_factory=dict)


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
        UsageError: for a variable that is no scalar, or that the file does not have.
    """
    loaded = read_pipeline(path, root=root, variables=variables, env=env)
    if loaded.problems:
        raise ConfigError(loaded.problems)
    return loaded


def read_pipeline(
    path: Path, *, root: Path, variables: Mapping[str, str] = NOTHING, env: Mapping[str, str] = os.environ
) -> Loaded:
    """Load a pipeline as far as it is right, for who finds out what else is wrong; otherwise as `load_pipeline`."""
    seen = Env(env)
    given = {name: _given(name, text) for name, text in variables.items()}
    read = _read(path, root, (Pipeline, "a pipeline"), given, seen)
    made: Pipeline | None = read.made
    wrong: Mapping[str, TaskSpec | None] = {}
    if read.problems:
        made, wrong = (not read.source.broken and remains(read.tree, read.wrong, read.faulty)) or (None, {})
    return Loaded(read.finished(made), read.source.documents.paths, seen.seen, read.source, read.problems, wrong)


@dataclass(frozen=True)
class LoadedProject:
    """A project file and what it was made from; see `Loaded`."""

    project: ProjectFile
    files: tuple[Path, ...]
    env: Mapping[str, str | None] = field(repr=False)


def load_project(path: Path, *, env: Mapping[str, str] | Env = os.environ) -> LoadedProject:
    """Load `mmetl.yml`; it may use `${NAME}` and `!include`, and has no vars. Raises ConfigError."""
    seen = env if isinstance(env, Env) else Env(env)
    project, source = _load(path, path.parent, (ProjectFile, "a project file"), {}, seen)
    return LoadedProject(project, source.documents.paths, seen.seen)


def load_cases(path: Path, *, root: Path, env: Mapping[str, str] = os.environ) -> tuple[CaseFile, Source]:
    """Load a file of tests, and what finds positions in it; it has no vars of its own. Raises ConfigError."""
    return _load(path, root, (CaseFile, "a file of tests"), {}, Env(env))


@dataclass(frozen=True)
class _Read(Generic[Model]):
    """A file as far as it could be read.

    Attributes:
        tree: includes and interpolation done.
        made: the model of it; None if it does not fit.
        problems: what is wrong, in the order of the text.
        unknown: variables of the command line that the file does not have.
        wrong: where the schema found something wrong.
        faulty: where interpolation failed.
    """

    tree: Any
    made: Model | None
    source: Source
    problems: Sequence[Problem]
    unknown: Sequence[Problem]
    wrong: Sequence[Place]
    faulty: Sequence[Place]

    def finished(self, made: Model | None) -> Model:
        """Return the model. Raises ConfigError if there is none, UsageError for unknown variables where all else is right."""
        if made is None:
            raise ConfigError(self.problems)
        if self.unknown and not self.problems:
            raise UsageError(self.unknown[0].what, help=self.unknown[0].help)
        return made


def _load(
    path: Path, root: Path, wanted: tuple[type[Model], str], variables: Mapping[str, Any], env: Env
) -> tuple[Model, Source]:
    read = _read(path, root, wanted, variables, env)
    if read.problems:
        raise ConfigError(read.problems)
    return read.finished(read.made), read.source


def _read(
    path: Path, root: Path, wanted: tuple[type[Model], str], variables: Mapping[str, Any], env: Env
) -> _Read[Model]:
    model, owner = wanted
    documents = Documents(root)
    document = _open(path, documents)
    values = Values(documents)
    wrong: list[Place] = []
    with collection_paused():
        tree = values.document(document)
        _check_top(tree, document, owner, values.problems)
        trace = interpolate(tree, variables, env)
        source = Source(documents, document, trace, values.broken)
        try:
            made, found = model.model_validate(tree), []
        except ValidationError as error:
            made, found = None, problems_from_validation(error, source, (), model, owner)
            wrong = wrong_paths(error, source)
    unknown = [_unknown(name, known) for name, known in trace.unknown]
    problems = [*values.problems, *_faults(trace, source)]
    # What only follows from a failed include or interpolation is not told.
    causes = values.broken | {source.locate(fault.path) for fault in trace.faults}
    problems += [problem for problem in found if problem.where not in causes]
    if isinstance(made, Pipeline):
        false = [("tasks", name) for name in made.tasks if "@" in name and name not in trace.members]
        problems += [_false_member(place, source) for place in false]
        wrong += false
    if made is None or problems:
        problems = sorted(dict.fromkeys([*unknown, *problems]), key=source.order)
    return _Read(tree, made, source, problems, unknown, wrong, [fault.path for fault in trace.faults])


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


def _given(name: str, text: str) -> Any:
    """Return the value that a text has as a YAML scalar; a text that is no YAML stands for itself.

    Raises:
        UsageError: for what could not be a var in a file either.
    """
    try:
        node = Document(Path(), "", text.encode()).compose()
    except (ConfigError, YAMLError):
        return text
    if isinstance(node, ScalarNode):
        if node.tag:
            return text
        value = node.value if node.style else plain(node.value)
        if value is not None and not (isinstance(value, float) and not math.isfinite(value)):
            return value
        found = "empty" if value is None else "not a finite number"
    elif isinstance(node, CollectionNode) and not node.flow_style:
        return text  # such as `see: this`, or `- this`
    else:
        found = "empty" if node is None else "a list" if isinstance(node, SequenceNode) else "a mapping"
    raise UsageError(
        f"--var {name} is {found}, expected true or false, a number or text",
        help=f"a text is written --var '{name}=\"...\"'",
    )


def _faults(trace: Trace, source: Source) -> list[Problem]:
    return [
        Problem(fault.what, source.locate(fault.path, offset=fault.offset), fault.help)
        for fault in trace.faults
        if fault.what
    ]


def _false_member(place: Place, source: Source) -> Problem:
    what = f"'{place[-1]}' is called like a member of a matrix"
    return Problem(what, source.locate(place, on_key=True), "write '@' in no name; `matrix:` makes such tasks")


def _unknown(name: str, known: Sequence[str]) -> Problem:
    meant = near(name, known)
    help_ = " ".join([f"did you mean '{meant}'?"] * bool(meant) + [f"vars: {', '.join(known)}"] * bool(known))
    return Problem(f"--var sets '{name}', but the pipeline has no such var", None, help_)
