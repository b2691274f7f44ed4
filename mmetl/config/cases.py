"""What a file of tests may say: `CaseFile`; a test is a `Case`."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from mmetl.config.schema import Name, Number, Scalar, Strict, TaskName, Text, Texts, VariableName, expected

Row = dict[Text, Any]
Rows = tuple[Row, ...]


def _given(value: object) -> object:
    """Make a list of rows a table of them."""
    if isinstance(value, list):
        return {"rows": value}
    if not isinstance(value, dict):
        raise expected("a list of rows, or a mapping with 'rows'")
    return value


class Given(Strict):
    """The table that a test gives in the place of an input.

    Attributes:
        rows: each a mapping from column to value; a column that a row does not name is null in it.
        columns: column -> type of DuckDB, of columns that no row names too.
        key: the columns that name a row; that of the task which makes the input, where it is left out.
    """

    rows: Rows = ()
    columns: dict[Text, Text] = Field(default_factory=dict)
    key: Texts | None = None


class Case(Strict):
    """One test: what a task is given, and what it must make of it.

    Attributes:
        task: the task under test; of a matrix, a member.
        description: for people.
        vars: variables of the pipeline, for this test.
        inputs: each input of the task, by the name that the task has for it -> rows, or a table with its types.
        expected: the rows of the task's table; only the columns that they name are compared.
        ordered: whether the rows must come in this order.
        checks: whether the checks of the task apply, as in a run.
        quarantined: the rows that are set aside.
        fails: a part of the error that the task must fail with; nothing is expected of its table then.
    """

    task: TaskName
    description: str = ""
    vars: dict[VariableName, Scalar] = Field(default_factory=dict)
    inputs: dict[TaskName, Annotated[Given, BeforeValidator(_given, json_schema_input_type=list[Row] | Given)]] = Field(
        default_factory=dict
    )
    expected: Rows | None = None
    ordered: bool = False
    checks: bool = True
    quarantined: Rows | None = None
    fails: Text | None = None

    @model_validator(mode="after")
    def _expects_something(self) -> Self:
        rows = self.expected is not None or self.quarantined is not None
        if self.fails is not None and rows:
            raise ValueError("it expects rows and a failure; write two tests")
        if self.fails is None and not rows:
            raise ValueError("it expects nothing: write 'expected', 'quarantined' or 'fails'")
        return self


class CaseFile(Strict):
    """A file of tests.

    Attributes:
        version: of this format.
        pipeline: the name or the path of the pipeline whose tasks are tested; the project's only one where it is left out.
        tests: name -> test.
    """

    version: Annotated[Literal[1], Number]
    pipeline: Text | None = None
    tests: Annotated[dict[Name, Case], Field(min_length=1)]
