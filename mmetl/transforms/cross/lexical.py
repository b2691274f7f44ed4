"""`cross.lexical_graph`: documents, their chunks and what these mention, as a graph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pydantic import BaseModel, ConfigDict, Field

from mmetl.contracts.artifact import Manifest
from mmetl.contracts.graph import KIND, LABEL, SOURCE, TARGET
from mmetl.contracts.lineage import Trace
from mmetl.contracts.transform import Declaration, Input, Job, Made, Scope
from mmetl.errors import ParamError, TaskError
from mmetl.transforms.graph.build import make_graph
from mmetl.transforms.graph.mapping import BuildParams, Edges, End, Nodes, Properties, Word
from mmetl.transforms.graph.traces import edge_trace, ends_sql, name_sql, node_trace
from mmetl.utils.text import near, quote

DOCUMENTS, CHUNKS, MENTIONS = "documents", "chunks", "mentions"
NEXT, COUNTED = "__mmetl_next", "__mmetl_counted"
ENTITY = ("label", "entity")
"""The columns that name what is mentioned, as `document.entities` makes them."""


class LexicalParams(BaseModel):
    """Params of `cross.lexical_graph`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    documents: Properties = Field(
        default_factory=dict, description="columns that documents have as properties, or property: column"
    )
    chunks: Properties = Field(
        default_factory=dict, description="columns that chunks have as properties, or property: column"
    )
    position: str = Field(
        "position", description="the column of `chunks` that says in which order they follow each other"
    )
    document_label: Word = Field("Document", description="the label of documents")
    chunk_label: Word = Field("Chunk", description="the label of chunks")
    entity_label: Word = Field("Entity", description="the label of what is mentioned")


class LexicalGraph:
    """See the module."""

    name = "cross.lexical_graph"
    version = 1
    grain = "task: one query; an edited document changes its own node, chunks and edges, and the parts that they are in"
    params = LexicalParams
    packages: tuple[str, ...] = ("duckdb", "pyarrow")
    code: tuple[str, ...] = ()

    def declare(self, params: LexicalParams, scope: Scope) -> Declaration:  # noqa: ARG002  the inputs tell all
        """Raise ParamError unless the inputs are documents, chunks and, maybe, mentions."""
        for alias in (DOCUMENTS, CHUNKS):
            if alias not in scope.inputs:
                raise ParamError(
                    f"it needs an input '{alias}'",
                    help="write `inputs: {documents: TASK, chunks: TASK}`, and maybe `mentions: TASK`",
                )
        for alias in scope.inputs:
            if alias not in {DOCUMENTS, CHUNKS, MENTIONS}:
                close = near(alias, (DOCUMENTS, CHUNKS, MENTIONS))
                raise ParamError(
                    f"an input is called '{alias}'",
                    help=f"did you mean '{close}'?" if close else "they are called documents, chunks and mentions",
                )
        return Declaration()

    def lineage(self, params: LexicalParams, inputs: Mapping[str, Manifest], _key: object) -> Iterator[Trace]:
        """Yield that documents, chunks and mentions are nodes and edges: see contracts.lineage."""
        document, chunk = inputs[DOCUMENTS].key, inputs[CHUNKS].key
        has, of = End(label=params.document_label, key=document), End(label=params.chunk_label, key=chunk)
        yield node_trace(DOCUMENTS, has.label, name_sql(document))
        yield node_trace(CHUNKS, of.label, name_sql(chunk))
        yield edge_trace(CHUNKS, "HAS_CHUNK", ends_sql(has, of))
        for end in (SOURCE, TARGET):
            own = (quote(end), name_sql(chunk))
            yield Trace(CHUNKS, ((quote(KIND), "'edge'"), (quote(LABEL), "'NEXT'"), own))
        if MENTIONS in inputs:
            what = End(label=params.entity_label, key=ENTITY)
            yield node_trace(MENTIONS, what.label, name_sql(what.key))
            yield edge_trace(MENTIONS, "MENTIONS", ends_sql(of, what))

    def run(self, job: Job) -> Made:
        """Make the graph. Raises TaskError for inputs without keys that lead to each other."""
        params: LexicalParams = job.params
        document, chunk = (_key(job.inputs, alias) for alias in (DOCUMENTS, CHUNKS))
        _refuse_unrelated(CHUNKS, job.inputs[CHUNKS], [*document, params.position])
        follows = [f"__mmetl_next_{n}" for n in range(len(chunk))]
        views = {NEXT: _following(document, chunk, params.position, follows)}
        nodes = [
            Nodes.model_validate(
                {"label": params.document_label, "from": DOCUMENTS, "key": document, "properties": params.documents}
            ),
            Nodes.model_validate(
                {"label": params.chunk_label, "from": CHUNKS, "key": chunk, "properties": params.chunks}
            ),
        ]
        has, of = End(label=params.document_label, key=tuple(document)), End(label=params.chunk_label, key=tuple(chunk))
        edges = [
            _edges("HAS_CHUNK", CHUNKS, has, of),
            _edges("NEXT", NEXT, of, End(label=params.chunk_label, key=tuple(follows))),
        ]
        if MENTIONS in job.inputs:
            _refuse_unrelated(MENTIONS, job.inputs[MENTIONS], [*chunk, *ENTITY])
            views[COUNTED] = (
                f"select {_list([*chunk, *ENTITY])}, count(*)::bigint as mentions from {MENTIONS} group by all"
            )
            known = {"label": params.entity_label, "from": COUNTED, "key": ENTITY}
            nodes.append(Nodes.model_validate({**known, "properties": {"kind": "label", "name": "entity"}}))
            what = End(label=params.entity_label, key=ENTITY)
            edges.append(_edges("MENTIONS", COUNTED, of, what, {"mentions": "mentions"}))
        return make_graph(job, BuildParams(nodes=tuple(nodes), edges=tuple(edges)), views)


def _edges(kind: str, table: str, source: End, target: End, properties: dict[str, str] | None = None) -> Edges:
    return Edges.model_validate(
        {"type": kind, "from": table, "source": source, "target": target, "properties": properties or {}}
    )


def _key(inputs: dict[str, Input] | object, alias: str) -> list[str]:
    assert isinstance(inputs, dict)
    key = list(inputs[alias].manifest.key)
    if not key:
        raise TaskError(f"'{alias}' has no key", help="name a task whose rows have a key, and no view")
    return key


def _refuse_unrelated(alias: str, table: Input, columns: Sequence[str]) -> None:
    known = [c.name for c in table.manifest.columns]
    for column in columns:
        if column not in known:
            raise TaskError(
                f"'{alias}' has no column '{column}'",
                help=f"keep it in the task before; the columns are: {', '.join(known)}",
            )


def _following(document: Sequence[str], chunk: Sequence[str], position: str, names: Sequence[str]) -> str:
    """Return the query of each chunk with the key of the one behind it in its document."""
    behind = ", ".join(f"lead({quote(k)}) over following as {name}" for k, name in zip(chunk, names, strict=True))
    order = _list([position, *chunk])
    return f"select {_list(chunk)}, {behind} from {CHUNKS} window following as (partition by {_list(document)} order by {order})"


def _list(columns: Sequence[str]) -> str:
    return ", ".join(map(quote, columns))


LEXICAL = LexicalGraph()
