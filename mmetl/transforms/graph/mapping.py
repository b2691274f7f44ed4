"""What the params of `graph.build` say: which rows are nodes, and which are edges."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from mmetl.contracts.graph import WORD

Word = Annotated[str, StringConstraints(pattern=WORD)]
Filled = Annotated[str, StringConstraints(min_length=1)]


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _renamed(value: object) -> object:
    """Take a list of properties for columns of the same names."""
    return (
        {name: name for name in value} if isinstance(value, list) and all(isinstance(n, str) for n in value) else value
    )


Key = Annotated[
    tuple[Filled, ...], Field(min_length=1), BeforeValidator(_listed, json_schema_input_type=Filled | list[Filled])
]
Properties = Annotated[
    dict[Word, Filled], BeforeValidator(_renamed, json_schema_input_type=list[Word] | dict[Word, Filled])
]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True)


class Nodes(_Strict):
    """Rows that are nodes: one node for each different key."""

    label: Word = Field(description="of these nodes")
    from_: Filled = Field(alias="from", description="the task whose rows they are")
    key: Key = Field(description="the column that names a node, or several of them")
    properties: Properties = Field(
        default_factory=dict, description="columns that the nodes have as properties, or property: column"
    )


class End(_Strict):
    """One end of an edge."""

    label: Word = Field(description="of the node")
    key: Key = Field(
        description="the columns of the edge's rows that name the node; where one is null, there is no edge"
    )


class Edges(_Strict):
    """Rows that are edges: one edge for each different pair of ends."""

    type: Word = Field(description="of these edges")
    from_: Filled = Field(alias="from", description="the task whose rows they are")
    source: End = Field(description="the node where they begin")
    target: End = Field(description="the node where they end")
    key: Annotated[tuple[Filled, ...], BeforeValidator(_listed, json_schema_input_type=Filled | list[Filled])] = Field(
        (), description="columns that tell edges between the same two nodes apart; default: there is one"
    )
    properties: Properties = Field(
        default_factory=dict, description="columns that the edges have as properties, or property: column"
    )


class BuildParams(_Strict):
    """Params of `graph.build`."""

    nodes: tuple[Nodes, ...] = Field(min_length=1, description="which rows are nodes")
    edges: tuple[Edges, ...] = Field((), description="which rows are edges")
    dangling: Literal["error", "drop", "create"] = Field(
        "error",
        description="an edge to a node that is not there: it fails the task, is left out, or makes a node without properties",
    )
