"""`cross.graph_features`: what a graph says of its nodes, as the columns of a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mmetl.contracts.artifact import Manifest
from mmetl.contracts.graph import (
    KIND,
    LABEL,
    NAME,
    SOURCE,
    SOURCE_LABEL,
    TARGET,
    TARGET_LABEL,
    is_graph,
    properties_of,
)
from mmetl.contracts.lineage import Trace, whole
from mmetl.contracts.transform import Declaration, Job, Made, Scope, Table
from mmetl.engines.packages import require
from mmetl.errors import ParamError, TaskError
from mmetl.transforms.graph.mapping import Word
from mmetl.transforms.graph.whole import check_input
from mmetl.utils.text import near, quote

GRAPH = "__mmetl_graph"


class Feature(BaseModel):
    """One column."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Word = Field(description="of the edges that are followed")
    end: Literal["source", "target"] = Field(
        description="which end of the edges the node is: source follows them, target goes against them"
    )
    label: Word | None = Field(None, description="of the nodes at the other end; default: any")
    value: str | None = Field(
        None,
        description="what is listed of the nodes at the other end: a property, or `_key`; default: they are counted",
    )


class FeaturesParams(BaseModel):
    """Params of `cross.graph_features`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    label: Word = Field(description="the label of the nodes that get a row")
    properties: tuple[Word, ...] = Field((), description="properties of the node that are columns")
    features: dict[Word, Feature] = Field(
        default_factory=dict, description="column: edges that are counted, or whose other ends are listed"
    )

    @model_validator(mode="after")
    def _different(self) -> FeaturesParams:
        for name in self.features:
            if name in self.properties:
                raise ValueError(f"'{name}' is a property and a feature; call one otherwise")
        return self


class GraphFeatures:
    """See the module."""

    name = "cross.graph_features"
    version = 1
    grain = "task: one query; a changed node or edge changes the rows of the nodes that it touches, and their parts"
    params = FeaturesParams
    packages: tuple[str, ...] = ("duckdb", "pyarrow")
    code: tuple[str, ...] = ()

    def declare(self, params: FeaturesParams, scope: Scope) -> Declaration:
        """Raise ParamError unless there is one input, and something to say of its nodes."""
        check_input(self.name, scope)
        if not params.properties and not params.features:
            raise ParamError("there is nothing to say of the nodes", help="name `properties` or `features`")
        return Declaration(named_inputs=False)

    def lineage(self, params: FeaturesParams, inputs: Mapping[str, Manifest], _key: object) -> Iterator[Trace]:
        """Yield that a row is about a node, and made of its edges: see contracts.lineage."""
        own = (quote(NAME), quote(NAME))
        for alias in inputs:
            yield Trace(alias, (("'node'", quote(KIND)), (f"'{params.label}'", quote(LABEL)), own))
            for feature in params.features.values():
                yield _edges_of(alias, params.label, feature)
            if any(f.value is not None for f in params.features.values()):
                yield whole(alias, "columns list what is said of the nodes at the other ends of edges")

    def run(self, job: Job) -> Made:
        """Make the table. Raises TaskError for an input that is no graph, and a property that it has not."""
        require("tabular", "duckdb", "pyarrow")
        from mmetl.engines.duckdb import session
        from mmetl.transforms.tabular.results import buckets_of, store_query

        params: FeaturesParams = job.params
        table = next(iter(job.inputs.values()), None)
        if not isinstance(table, Table) or not is_graph(table.manifest.key, table.manifest.columns):
            raise TaskError("its input is no graph", help="name a task of `graph.build` in `inputs:`, and no view")
        _refuse_unknown(params, table.manifest)
        keyed = replace(job, key=(NAME,))
        with session(
            job.scratch,
            tables={GRAPH: table},
            threads=job.threads,
            memory_limit=job.memory_limit,
            on_cancel=job.on_cancel,
        ) as db:
            sql = features_query(params)
            names = [name for name, _ in db.columns(sql)]
            made = store_query(keyed, db, sql, names, ordered=False, buckets=buckets_of(keyed))
        return replace(made, key=(NAME,))


def features_query(params: FeaturesParams) -> str:
    """Return the query of the nodes with their columns. Pure."""
    columns = [f"n.{NAME}", *(f"n.{quote(p)}" for p in params.properties)]
    joins = []
    for number, (name, feature) in enumerate(params.features.items()):
        table = f"f{number}"
        empty = "0" if feature.value is None else "[]"
        columns.append(f"coalesce({table}.found, {empty}) as {quote(name)}")
        joins.append(f"left join ({''.join(_feature(params.label, feature))}) {table} on {table}.node = n.{NAME}")
    nodes = f"(select * from {GRAPH} where {KIND} = 'node' and {LABEL} = '{params.label}') n"
    return f"select {', '.join(columns)} from {nodes} {' '.join(joins)}"


def _feature(label: str, feature: Feature) -> Iterator[str]:
    """Yield the query of `node` and `found`, for the nodes that have such edges."""
    near_label, near_key, far_label, far_key = (
        (SOURCE_LABEL, SOURCE, TARGET_LABEL, TARGET)
        if feature.end == "source"
        else (TARGET_LABEL, TARGET, SOURCE_LABEL, SOURCE)
    )
    found = "count(*)" if feature.value is None else _listed(feature.value)
    yield f"select e.{near_key} as node, {found} as found from {GRAPH} e"
    if feature.value is not None:
        yield (
            f" join {GRAPH} o on o.{KIND} = 'node' and o.{LABEL} = e.{far_label} and o.{NAME} = e.{far_key}"
            f" and o.{quote(feature.value)} is not null"
        )
    yield f" where e.{KIND} = 'edge' and e.{LABEL} = '{feature.type}' and e.{near_label} = '{label}'"
    if feature.label:
        yield f" and e.{far_label} = '{feature.label}'"
    yield f" group by e.{near_key}"


def _edges_of(alias: str, label: str, feature: Feature) -> Trace:
    """Say which edges a column counts, or follows to other nodes."""
    near_label, near_key, far_label = (
        (SOURCE_LABEL, SOURCE, TARGET_LABEL) if feature.end == "source" else (TARGET_LABEL, TARGET, SOURCE_LABEL)
    )
    pairs = (("'edge'", quote(KIND)), (f"'{feature.type}'", quote(LABEL)), (f"'{label}'", quote(near_label)))
    where = f"{quote(far_label)} = '{feature.label}'" if feature.label else ""
    return Trace(alias, (*pairs, (quote(NAME), quote(near_key))), where)


def _listed(value: str) -> str:
    return f"list_sort(list(distinct o.{quote(value)}))"


def _refuse_unknown(params: FeaturesParams, manifest: Manifest) -> None:
    known = [c.name for c in properties_of(manifest.columns)]
    wanted = [*params.properties, *(f.value for f in params.features.values() if f.value not in {None, NAME})]
    for name in wanted:
        if name not in known:
            close = near(str(name), known)
            raise TaskError(
                f"the graph has no property '{name}'",
                help=f"did you mean '{close}'?" if close else f"it has: {', '.join(known) or 'none'}",
            )


FEATURES = GraphFeatures()
