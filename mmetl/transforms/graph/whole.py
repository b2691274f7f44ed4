"""What the transforms that look at a whole graph share: their params."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from mmetl.contracts.transform import Scope
from mmetl.errors import ParamError
from mmetl.transforms.graph.mapping import Word


class NetworkParams(BaseModel):
    """Params of every transform that looks at a whole graph."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    labels: tuple[Word, ...] = Field(
        (), description="only nodes with these labels, and edges between them; default: all"
    )
    types: tuple[Word, ...] = Field((), description="only edges of these types; default: all")
    engine: Literal["local", "gds"] = Field(
        "local",
        description="local: mmETL computes; gds: Neo4j does what is costly, by its plugin Graph Data Science: the input is then a `graph.load` task with `target: neo4j`",
    )
    weight: Word | None = Field(
        None, description="a property of the edges, a number above 0, that says how much they count; default: 1 each"
    )


def check_input(name: str, scope: Scope) -> None:
    """Raise ParamError unless a task has one input."""
    if len(scope.inputs) != 1:
        raise ParamError(f"'{name}' needs one input: a graph", help="name a task of `graph.build` in `inputs:`")


def notes_of(params: NetworkParams) -> tuple[str, ...]:
    """Return what `dry-run` says of where numbers come from."""
    if params.engine == "local":
        return ()
    return ("runs in neo4j (gds)", "last digits, and which of several good divisions is found, are up to the database")
