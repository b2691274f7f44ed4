"""What `expect:` of a task may say: one check an item."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from mmetl.contracts.entry import entry_of

Filled = Annotated[str, StringConstraints(min_length=1)]
Value = bool | int | float | str
Bound = int | float | Filled
Count = Annotated[int, Field(ge=0, strict=True)]


OPTIONS = frozenset({"severity", "max_fraction", "columns", "args"})
"""The keys of a check that do not name its kind."""


TOLERANCE = 0.001
"""How far from 1 the length of a vector may be: numbers of 16 bits are no more exact."""

MIN_CONFIDENCE = 0.5
"""How sure the language of a text has to be; that of a few words seldom is."""

LANGUAGE_PATTERN = "^[a-z]{2,3}$"


def _columns(value: object) -> object:
    return [value] if isinstance(value, str) else value


Columns = Annotated[
    tuple[Filled, ...], Field(min_length=1), BeforeValidator(_columns, json_schema_input_type=Filled | list[Filled])
]


class _Strict(BaseModel):
    """A frozen model that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class AcceptedValues(_Strict):
    """The values that a column may have.

    Attributes:
        column: the column; null is no value.
        values: what it may be.
    """

    column: Filled
    values: Annotated[tuple[Value, ...], Field(min_length=1)]


class _Bounded(_Strict):
    @model_validator(mode="after")
    def _some_bound(self) -> Self:
        low, high = getattr(self, "min", None), getattr(self, "max", None)
        if low is None and high is None:
            raise ValueError("it needs 'min' or 'max'")
        if isinstance(low, int | float) and isinstance(high, int | float) and low > high:
            raise ValueError(f"'min' is {low}, above 'max', which is {high}")
        return self


class Range(_Bounded):
    """The least and the greatest value of a column, both allowed.

    Attributes:
        column: the column; nulls pass.
        min: a number, or text such as a date.
        max: a number, or text such as a date.
    """

    column: Filled
    min: Bound | None = None
    max: Bound | None = None


class Regex(_Strict):
    """A pattern that the text of a column has in it.

    Attributes:
        column: the column; nulls pass.
        pattern: a regular expression as RE2 reads it; `^...$` for the whole text.
    """

    column: Filled
    pattern: Filled


class RowCount(_Bounded):
    """How many rows the table may have, both limits allowed.

    Attributes:
        min: the fewest.
        max: the most.
    """

    min: Count | None = None
    max: Count | None = None


class Relationship(_Strict):
    """A column whose values are all in a column of another task.

    Attributes:
        column: the column; nulls pass.
        to: `task.column`.
    """

    column: Filled
    to: Annotated[str, StringConstraints(pattern=r"^[^.]+\..+$")]


class Freshness(_Strict):
    """How old the newest time in a column may be, at the moment when the check is evaluated.

    Attributes:
        column: dates or times; those without a zone are UTC.
        max_age: a duration such as `12h`.
    """

    column: Filled
    max_age: Annotated[str, StringConstraints(pattern=r"^\d+(\.\d+)?[smhdw]$")]


class Dimension(_Strict):
    """How many numbers the vectors of a column have.

    Attributes:
        column: a list of numbers; nulls pass.
        size: how many.
    """

    column: Filled
    size: Annotated[int, Field(ge=1, strict=True)]


class Normalized(_Strict):
    """A column whose vectors have the length 1, by the sum of squares.

    Attributes:
        column: a list of numbers; nulls pass.
        tolerance: how far from 1 the length may be.
    """

    column: Filled
    tolerance: Annotated[float, Field(gt=0, lt=1)] = TOLERANCE


class TextLength(_Bounded):
    """How many characters the texts of a column have, both limits allowed.

    Attributes:
        column: the column; nulls pass.
        min: the fewest.
        max: the most.
    """

    column: Filled
    min: Count | None = None
    max: Count | None = None


class Language(_Strict):
    """The languages that the texts of a column may be in.

    Attributes:
        column: the column; nulls pass, and texts of which it cannot be told.
        languages: codes of ISO 639, of two letters where there are such.
        min_confidence: below it, the language of a text counts as not known.
    """

    column: Filled
    languages: Annotated[
        tuple[Annotated[str, StringConstraints(pattern=LANGUAGE_PATTERN)], ...],
        Field(min_length=1),
        BeforeValidator(_columns, json_schema_input_type=Filled | list[Filled]),
    ]
    min_confidence: Annotated[float, Field(ge=0, le=1)] = MIN_CONFIDENCE


class Cardinality(_Bounded):
    """At how many edges of a type a node may be the one end, both limits allowed.

    Attributes:
        type: of the edges.
        label: of the nodes.
        end: whether the edges begin or end at the node.
        min: the fewest.
        max: the most.
    """

    type: Filled
    label: Filled
    end: Literal["source", "target"]
    min: Count | None = None
    max: Count | None = None


class Check(_Strict):
    """One check of a table: what is expected of it, and what happens where it is not so.

    Attributes:
        unique: columns that are different in every row, taken together; rows with a null among them are not compared.
        not_null: columns that are never null.
        accepted_values: the values that a column may have.
        range: the least and the greatest value of a column.
        regex: a pattern that the text of a column has in it.
        row_count: how many rows the table may have.
        relationship: a column whose values are in a column of another task.
        freshness: how old the newest time in a column may be.
        dimension: how many numbers the vectors of a column have.
        finite: columns of numbers or vectors without a null, a NaN and an infinite number, inside of them too.
        normalized: a column whose vectors have the length 1.
        text_length: how many characters the texts of a column have.
        language: the languages that the texts of a column may be in.
        no_dangling_edges: of a graph: every edge has a node at both ends.
        cardinality: of a graph: at how many edges of a type a node may be the one end.
        sql: a query over the table `this` that must return no row.
        schema_: column -> type of DuckDB: these columns and no others, in any order.
        function: a function of the project: it gets a pyarrow Table of `columns`, and returns a boolean for each row, true
            where the row is bad.
        columns: of `function`: the columns that it gets.
        args: of `function`: further arguments, by name.
        severity: `error` fails the task, and nothing is published; `warn` tells; `quarantine` sets the rows aside.
        max_fraction: the share of all rows that `quarantine` may set aside; more fail the task. Default 0.1.
    """

    unique: Columns = ()
    not_null: Columns = ()
    accepted_values: AcceptedValues | None = None
    range: Range | None = None
    regex: Regex | None = None
    row_count: RowCount | None = None
    relationship: Relationship | None = None
    freshness: Freshness | None = None
    dimension: Dimension | None = None
    finite: Columns = ()
    normalized: Normalized | None = None
    text_length: TextLength | None = None
    language: Language | None = None
    no_dangling_edges: Literal[True] | None = None
    cardinality: Cardinality | None = None
    sql: Filled | None = None
    schema_: Annotated[dict[Filled, Filled], Field(alias="schema", min_length=1)] = {}
    function: Filled | None = None
    columns: Columns = ()
    args: dict[Filled, Any] = {}
    severity: Literal["warn", "error", "quarantine"] = "error"
    max_fraction: Annotated[float, Field(ge=0, le=1, strict=True)] | None = None

    @model_validator(mode="after")
    def _one_check(self) -> Self:
        names = sorted(("schema" if n == "schema_" else n) for n in self.model_fields_set - OPTIONS)
        if not names:
            raise ValueError("it names no check")
        if len(names) > 1:
            raise ValueError(f"it names '{names[0]}' and '{names[1]}'; write each check as an item of its own")
        extra = sorted(self.model_fields_set & {"columns", "args"})
        if extra and names != ["function"]:
            raise ValueError(f"'{extra[0]}' is for 'function' only")
        if names == ["function"] and not self.columns:
            raise ValueError("it needs 'columns', those that the function gets")
        return self

    @property
    def kind(self) -> str:
        """The key that says what is checked."""
        (name,) = self.model_fields_set - OPTIONS
        return name.removesuffix("_")

    @property
    def packages(self) -> tuple[str, ...]:
        """The distributions whose version matters to which rows fail."""
        return ("py3langid",) if self.language else ()

    @property
    def entry(self) -> str:
        """The function that is called, as `module:qualname`; empty for checks that are none."""
        return entry_of(self.function) if self.function else ""

    def as_json(self) -> dict[str, Any]:
        """Return what was written, with names of columns as lists."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)
