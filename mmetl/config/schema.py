"""What a pipeline YAML may say: `Pipeline` and `TaskSpec`."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError, PydanticKnownError

from mmetl.config.checks import Check
from mmetl.utils.time import seconds_of

NAME_PATTERN = r"^[a-z][a-z0-9_]{0,62}$"
"""Names of pipelines, tasks and aliases: they are also SQL tables and file names."""
MEMBER_PATTERN = r"^[a-z][a-z0-9_]{0,62}(@[a-z0-9_.-]+(,[a-z0-9_.-]+)*)?$"
"""Names of tasks, members of a matrix among them."""
VARIABLE_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*$"
"""Names of vars and of environment variables."""

_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhdw])", re.ASCII)


def expected(what: str) -> PydanticCustomError:
    """Return the error for a wrong value; the message reads "'key' is VALUE, expected WHAT"."""
    # The text is a value, not the template itself: a template must not hold what a user wrote.
    return PydanticCustomError("expected", "{expected}", {"expected": what})


def _seconds(value: object) -> object:
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        if value is None:
            return None
        raise expected("a duration such as '90s', '30m', '12h' or '7d'")
    return seconds_of(found[0])


def _not_bool(value: object) -> object:
    # pydantic reads true as 1.
    if isinstance(value, bool):
        raise PydanticKnownError("float_type")
    return value


def _inputs(value: object) -> object:
    """Make `[a, b]` the mapping {a: a, b: b}."""
    if isinstance(value, dict):
        return value
    if not isinstance(value, list) or not all(isinstance(task, str) for task in value):
        raise expected("a list of task names, or a mapping from alias to task name")
    unique(tuple(value))
    for member in (task for task in value if "@" in task):
        alias = member.partition("@")[0]
        raise expected(f"a mapping such as {{{alias}: '{member}'}}, since a member of a matrix needs an alias")
    return {task: task for task in value}


def _columns(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def unique(value: tuple[str, ...]) -> tuple[str, ...]:
    """Return texts of which none is there twice. Raises PydanticCustomError naming one that is."""
    if len(set(value)) < len(value):
        twice = next(item for item in value if value.count(item) > 1)
        raise PydanticCustomError("twice", "{item}", {"item": twice})
    return value


Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
VariableName = Annotated[str, StringConstraints(pattern=VARIABLE_PATTERN)]
Text = Annotated[str, StringConstraints(min_length=1)]
TaskName = Annotated[str, StringConstraints(pattern=MEMBER_PATTERN)]
TaskNames = Annotated[tuple[TaskName, ...], AfterValidator(unique)]
Texts = Annotated[tuple[Text, ...], AfterValidator(unique)]
Scalar = bool | int | float | str
Duration = Annotated[str, StringConstraints(pattern=rf"^{_DURATION.pattern}$")]
Number = BeforeValidator(_not_bool)
AS_WRITTEN = {
    "type": "object",
    "patternProperties": {
        VARIABLE_PATTERN: {"type": "array", "minItems": 1, "items": TypeAdapter(Scalar).json_schema()}
    },
}
"""The JSON Schema of `matrix`, which the YAML writes with lists."""


class Strict(BaseModel):
    """A frozen model that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class TaskSpec(Strict):
    """One task as the YAML says it.

    Attributes:
        transform: the registered name of what the task does.
        params: the transform's own; typed later by its params model.
        inputs: alias -> task whose artifact is read; the YAML may also list task names.
        depends_on: tasks that come first without giving data.
        matrix: of a member, the values that it stands for; the YAML has lists here, and each combination becomes a task.
        key: the columns that name a row.
        materialize: a table of rows, or a view: a query that those who read it run.
        expect: checks of the table; see `config.checks`.
        retries: how often the task is tried again after it failed.
        timeout_s: seconds after which the task fails; None: it may take for ever.
        pool: the pool that the task runs in; see `pools` of the pipeline.
        tags: words to select tasks by.
        cache: whether an earlier output may be restored.
        always: run in every run.
        max_age: seconds after which the output is stale; None: it never is.
        env: environment variables whose values count in the recipe.
        files: globs of files, relative to the project, whose content counts in the recipe.
    """

    transform: Text
    params: dict[str, Any] = {}
    inputs: Annotated[
        dict[Name, TaskName], BeforeValidator(_inputs, json_schema_input_type=TaskNames | dict[Name, TaskName])
    ] = {}
    depends_on: TaskNames = ()
    matrix: Annotated[dict[VariableName, Scalar], WithJsonSchema(AS_WRITTEN)] = {}
    key: Annotated[Texts, BeforeValidator(_columns, json_schema_input_type=Text | Texts)] = ()
    materialize: Literal["table", "view"] = "table"
    expect: tuple[Check, ...] = ()
    retries: Annotated[int, Field(ge=0), Number] = 0
    timeout_s: Annotated[Annotated[float, Field(gt=0)] | None, Number] = None
    pool: Name | None = None
    tags: Texts = ()
    description: str = ""
    cache: bool = True
    always: bool = False
    max_age: Annotated[float | None, BeforeValidator(_seconds, json_schema_input_type=Duration | None)] = None
    env: Annotated[tuple[VariableName, ...], AfterValidator(unique)] = ()
    files: Texts = ()


class Pipeline(Strict):
    """One pipeline YAML, includes and interpolation done; live `${secret:NAME}` stay as text.

    Attributes:
        version: of this format.
        name: one word; two files of a project may not have the same.
        vars: name -> value, those of the command line included.
        pools: name -> how many tasks of it may run at the same time, whatever `--jobs` says.
        imports: project-local modules that register transforms: paths relative to the project, or dotted names.
        tasks: name -> task, in the order of the YAML.
    """

    version: Annotated[Literal[1], Number]
    name: Name
    description: str = ""
    vars: dict[VariableName, Scalar | list[Scalar]] = {}
    pools: dict[Name, Annotated[int, Field(ge=1), Number]] = {}
    imports: Texts = ()
    tasks: dict[TaskName, TaskSpec]
