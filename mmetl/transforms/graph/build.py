"""`graph.build`: rows of tables become the nodes and edges of a property graph."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from mmetl.contracts.graph import KEY, KIND, LABEL, NAME, OWN, SOURCE, SOURCE_LABEL, TARGET, TARGET_LABEL
from mmetl.contracts.lineage import Trace
from mmetl.contracts.transform import Declaration, Job, Made, Scope
from mmetl.engines.packages import require
from mmetl.errors import ParamError, TaskError
from mmetl.transforms.graph.mapping import BuildParams, Edges, End, Nodes
from mmetl.transforms.graph.traces import build_traces, edge_name_sql, ends_sql, name_sql, no_null_sql
from mmetl.utils.text import near, quote

if TYPE_CHECKING:
    from mmetl.engines.duckdb import Session

GRAPH = "__mmetl_graph"
SHOWN = 5  # dangling edges that a message names
_INEXACT = ("FLOAT", "DOUBLE")
_Spec = Nodes | Edges


class Build:
    """See the module. The table is described in contracts.graph."""

    name = "graph.build"
    version = 1
    grain = "task: one query; a row that was edited changes its own node and edges, and the parts that they are in"
    params = BuildParams
    packages: tuple[str, ...] = ("duckdb", "pyarrow")
    code: tuple[str, ...] = ()

    def declare(self, params: BuildParams, scope: Scope) -> Declaration:
        """Find the tables that are read. Raises ParamError for one that is no task, and a label that no node has."""
        known = scope.inputs or {task: task for task in scope.tasks - {scope.task}}
        for place, spec in _specs(params):
            if spec.from_ not in known:
                close = near(spec.from_, known)
                raise ParamError(
                    f"there is no task '{spec.from_}'"
                    if not scope.inputs
                    else f"'{spec.from_}' is not among the inputs",
                    help=f"did you mean '{close}'?" if close else f"there are: {', '.join(sorted(known))}",
                    param=(*place, "from"),
                )
        _refuse_unknown_labels(params)
        read = list(dict.fromkeys(spec.from_ for _, spec in _specs(params)))
        unused = [alias for alias in scope.inputs if alias not in read]
        if unused:
            raise ParamError(
                f"the input '{unused[0]}' makes no node and no edge", help="name it in a `from`, or leave it out"
            )
        return Declaration(tables={} if scope.inputs else {task: known[task] for task in read})

    def lineage(self, params: BuildParams, _inputs: object, _key: object) -> Iterator[Trace]:
        """Yield where nodes and edges come from: see contracts.lineage."""
        return build_traces(params)

    def run(self, job: Job) -> Made:
        """Make the graph. Raises TaskError for columns that are not there, keys that are null or repeated, dangling edges."""
        return make_graph(job, job.params, {})


def make_graph(job: Job, params: BuildParams, views: Mapping[str, str]) -> Made:
    """Make a graph of tables.

    Args:
        job: the running task, whose inputs are the tables.
        params: which rows are nodes and edges.
        views: further tables, by the queries that give them.

    Raises:
        TaskError: for columns that are not there, keys that are null or repeated, properties of two types, and dangling edges.
    """
    require("tabular", "duckdb", "pyarrow")
    from mmetl.engines.duckdb import session
    from mmetl.transforms.tabular.results import buckets_of, store_query

    with session(
        job.scratch,
        tables=job.inputs,
        threads=job.threads,
        memory_limit=job.memory_limit,
        on_cancel=job.on_cancel,
    ) as db:
        for name, query in views.items():
            db.rows(f"create temp view {quote(name)} as {query}")
        for _, spec in _specs(params):
            _check_columns(spec, {*job.inputs, *views}, db)
        _check_properties(params, db)
        _check_nulls(params.nodes, db)
        db.rows(f"create temp table {GRAPH} as\n{graph_query(params)}")
        _merge_repeated(db)
        _note_dangling(params, db, job)
        named = replace(job, key=KEY)
        names = [name for name, _ in db.columns(f"from {GRAPH}")]
        made = store_query(named, db, _settled(params), names, ordered=False, buckets=buckets_of(named))
        return replace(made, key=KEY)


def graph_query(params: BuildParams) -> str:
    """Return the query that gives all nodes and edges, dangling ones too. Pure."""
    wanted = [*map(_nodes, params.nodes), *map(_edges, params.edges)]
    return "\nunion all by name\n".join(wanted)


def _specs(params: BuildParams) -> Iterator[tuple[tuple[str | int, ...], _Spec]]:
    """Yield what makes nodes and edges, with its place below `params`."""
    for n, nodes in enumerate(params.nodes):
        yield ("nodes", n), nodes
    for n, edges in enumerate(params.edges):
        yield ("edges", n), edges


def _refuse_unknown_labels(params: BuildParams) -> None:
    labels = {nodes.label for nodes in params.nodes}
    for n, edges in enumerate(params.edges):
        for word, end in (("source", edges.source), ("target", edges.target)):
            if end.label not in labels and params.dangling != "create":
                close = near(end.label, labels)
                raise ParamError(
                    f"no node has the label '{end.label}'",
                    help=(f"did you mean '{close}'? " if close else f"labels: {', '.join(sorted(labels))}; ")
                    + "`dangling: create` makes such nodes",
                    param=("edges", n, word, "label"),
                )


# --- the query


def _nodes(spec: Nodes) -> str:
    own = ["'node'", f"'{spec.label}'", name_sql(spec.key), *["null::varchar"] * (len(OWN) - len(KEY))]
    return _select(spec, own)


def _edges(spec: Edges) -> str:
    ends = ends_sql(spec.source, spec.target)
    own = ["'edge'", f"'{spec.type}'", edge_name_sql(ends, spec.key), *ends]
    return f"{_select(spec, own)} where {no_null_sql([*spec.source.key, *spec.target.key])}"


def _select(spec: _Spec, own: Sequence[str]) -> str:
    columns = [f"{value} as {quote(name)}" for name, value in zip(OWN, own, strict=True)]
    columns += [f"{quote(column)} as {quote(name)}" for name, column in spec.properties.items()]
    return f"select distinct {', '.join(columns)} from {quote(spec.from_)}"


def _settled(params: BuildParams) -> str:
    """Return the query of the graph in which no edge dangles."""
    if params.dangling == "error" or not params.edges:
        return f"from {GRAPH}"
    if params.dangling == "drop":
        lost = f"select {NAME}, {LABEL} from ({_dangling()})"
        return f"select * from {GRAPH} where {KIND} = 'node' or ({NAME}, {LABEL}) not in ({lost})"
    made = f"select distinct 'node' as {KIND}, label as {LABEL}, name as {NAME} from ({_dangling()})"
    return f"select * from {GRAPH} union all by name {made}"


def _dangling() -> str:
    """Return the query of edges without a node at one end: the edge, and label and name of the node that is missing."""
    ends = " union all ".join(
        f"select {LABEL}, {NAME}, {label} as label, {name} as name from {GRAPH} where {KIND} = 'edge'"
        for label, name in ((SOURCE_LABEL, SOURCE), (TARGET_LABEL, TARGET))
    )
    nodes = f"select {LABEL} as label, {NAME} as name from {GRAPH} where {KIND} = 'node'"
    return f"select * from ({ends}) anti join ({nodes}) using (label, name)"


# --- what may be wrong


def _ends(spec: _Spec) -> Sequence[End]:
    return (spec.source, spec.target) if isinstance(spec, Edges) else ()


def _check_columns(spec: _Spec, tables: Collection[str], db: Session) -> None:
    """Raise TaskError for a column that a table does not have, and for a key that has no exact text."""
    if spec.from_ not in tables:
        raise TaskError(f"'{spec.from_}' makes files, and no table", help="read the files by `tabular.read` first")
    types = dict(db.columns(f"from {quote(spec.from_)}"))
    known = {name.lower(): kind for name, kind in types.items()}
    keys = [*spec.key, *(k for end in _ends(spec) for k in end.key)]
    for column in (*keys, *spec.properties.values()):
        if column.lower() not in known:
            close = near(column, types)
            raise TaskError(
                f"'{spec.from_}' has no column '{column}'",
                help=(f"did you mean '{close}'? " if close else "") + f"the columns are: {', '.join(types)}",
            )
    for column in keys:
        if known[column.lower()] in _INEXACT:
            raise TaskError(
                f"the column '{column}' of '{spec.from_}' names nodes, and holds numbers with fractions",
                help="cast it to an integer, a decimal or text",
            )


def _check_properties(params: BuildParams, db: Session) -> None:
    """Raise TaskError for a property that is of two types: a graph has one column for it."""
    found: dict[str, tuple[str, str, str]] = {}
    for _, spec in _specs(params):
        types = {name.lower(): kind for name, kind in db.columns(f"from {quote(spec.from_)}")}
        label = spec.label if isinstance(spec, Nodes) else spec.type
        for name, column in spec.properties.items():
            kind = types[column.lower()]
            written, other, where = found.setdefault(name.lower(), (name, kind, label))
            if (written, other) != (name, kind):
                raise TaskError(
                    f"the property '{name}' is {other} of {where} and {kind} of {label}"
                    if written == name
                    else f"the properties '{written}' of {where} and '{name}' of {label} differ in case only",
                    help=f"give one another name: {{{name}_2: {column}}}, or cast it in a query before",
                )


def _check_nulls(nodes: Sequence[Nodes], db: Session) -> None:
    for spec in nodes:
        for column in spec.key:
            ((nulls,),) = db.rows(f"select count(*) from {quote(spec.from_)} where {quote(column)} is null")
            if nulls:
                rows = "row has" if nulls == 1 else "rows have"
                raise TaskError(
                    f"{nulls:,} {rows} no '{column}' in '{spec.from_}', the key of {spec.label}",
                    help=f"leave them out before: tabular.filter, where: {column} is not null",
                )


def _merge_repeated(db: Session) -> None:
    """Make one row of those that several tables, or rows, give to a node or an edge: each property has the one value that is there.

    Raises:
        TaskError: if there are two.
    """
    key = ", ".join(KEY)
    repeated = f"select {key} from {GRAPH} group by all having count(*) > 1"
    if not db.rows(f"{repeated} limit 1"):
        return
    properties = [column for column, _ in db.columns(f"from {GRAPH}") if column not in OWN]
    if properties:
        values = [f"count(distinct {quote(column)})" for column in properties]
        counts = f"select {key}, count(*), {', '.join(values)} from {GRAPH} semi join ({repeated}) using ({key})"
        two = " or ".join(f"{value} > 1" for value in values)
        for kind, label, name, count, *found in db.rows(f"{counts} group by {key} having {two} order by all limit 1"):
            differ = [column for column, n in zip(properties, found, strict=True) if n > 1]
            raise TaskError(
                f"{count} rows make the {kind} {label} {name}, and differ in {', '.join(differ)}",
                help="keep one row of each before, by tabular.deduplicate"
                + ("; or tell the edges apart by `key`" if kind == "edge" else ""),
            )
    merged = ", ".join(f"any_value({quote(column)}) as {quote(column)}" for column in (*OWN[len(KEY) :], *properties))
    db.rows(f"create or replace temp table {GRAPH} as select {key}, {merged} from {GRAPH} group by {key}")


def _note_dangling(params: BuildParams, db: Session, job: Job) -> None:
    """Raise TaskError for edges to nodes that are not there; or note what becomes of them."""
    ((count,),) = db.rows(f"select count(distinct ({LABEL}, {NAME})) from ({_dangling()})") if params.edges else ((0,),)
    if not count:
        return
    edges = "1 edge" if count == 1 else f"{count:,} edges"
    if params.dangling != "error":
        job.log.write(f"{edges} to nodes that are not there: {params.dangling}\n")
        return
    missing = db.rows(f"select distinct label, name from ({_dangling()}) order by all limit {SHOWN}")
    shown = ", ".join(f"{label} {name}" for label, name in missing)
    raise TaskError(
        f"{edges} to nodes that are not there: {shown}",
        help="add the nodes, or set `dangling: drop` or `dangling: create`",
    )


BUILD = Build()
