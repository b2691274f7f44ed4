"""`cross.link_entities`: for each mention in a text the row of a table that it means."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, model_validator

from mmetl.contracts.artifact import Manifest
from mmetl.contracts.items import Items
from mmetl.contracts.lineage import Trace, whole
from mmetl.contracts.transform import Declaration, Job, Scope, Table
from mmetl.errors import ParamError, TaskError
from mmetl.items.keeping import refuse_unknown
from mmetl.items.transform import ItemTransform, item_inputs
from mmetl.transforms.cross.names import MEASURES, Measure, Spelling
from mmetl.utils.text import quote

if TYPE_CHECKING:
    import pyarrow as pa

    from mmetl.transforms.cross.linking import Linker, Named

LINKED = "linked_"
"""What the names of the table's key columns begin with."""
MADE = {"score": "double", "how": "string", "review": "bool", "rivals": "int32"}


class LinkParams(Spelling):
    """Params of `cross.link_entities`."""

    text: str = Field("text", description="the column of mentions, of the first input")
    name: str = Field("name", description="the column of names, of the second input")
    aliases: tuple[str, ...] = Field(
        (), description="columns of the second input with other names: texts, or lists of texts"
    )
    separator: str = Field("", description="what stands between several other names in one text")
    same: dict[str, str] = Field(
        default_factory=dict,
        description="column of the first input: column of the second one; a mention means only rows that have the same value",
    )
    measure: Measure = Field("words", description=MEASURES)
    threshold: float = Field(0.92, gt=0, le=1, description="the similarity from which on a row is meant")
    review_from: float = Field(
        0.8, gt=0, le=1, description="the similarity from which on a row is linked with `review: true`"
    )
    margin: float = Field(
        0.02, ge=0, le=1, description="a row that is less alike than the best one by no more than this is a rival"
    )
    candidates: int = Field(32, ge=1, le=1000, description="names that a mention is measured against, at most")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.review_from > self.threshold:
            raise ValueError("`review_from` is above `threshold`")
        return self


class LinkEntities(ItemTransform):
    """See the module."""

    def declare(self, params: LinkParams, scope: Scope) -> Declaration:
        """Say what it reads. Raises ParamError unless there are two inputs."""
        if len(scope.inputs) != 2:
            raise ParamError(
                f"'{self.name}' needs two inputs: mentions, and a table of what they may mean",
                help="name two tasks in `inputs:`",
            )
        return super().declare(params, scope)

    def over(self, params: LinkParams, table: Table, others: Mapping[str, Table]) -> tuple[Items, Mapping[str, Table]]:
        """Name the columns. Raises TaskError for columns that are not there, or hold no texts."""
        (other,) = others.values()
        if not other.manifest.key:
            raise TaskError(f"'{other.task}' has no key", help="links name rows by their key: set `key:`")
        check_texts(table, (params.text,))
        check_texts(other, (params.name,))
        check_texts(other, params.aliases, lists=True)
        refuse_unknown(table, params.same)
        refuse_unknown(other, params.same.values())
        kinds = {c.name: c.type for c in other.manifest.columns}
        linked = {LINKED + name: kinds[name] for name in other.manifest.key}
        return replace(self.items, reads=(params.text, *params.same), makes={**linked, **MADE}), others

    def lineage(self, params: LinkParams, inputs: Mapping[str, Manifest], key: object) -> Iterator[Trace]:
        """Yield that a row came from its mention, and from what that means: see contracts.lineage."""
        mention, *_ = super().lineage(params, inputs, key)
        yield mention
        for alias, table in list(inputs.items())[1:]:
            pairs = tuple((quote(LINKED + k), quote(k)) for k in table.key)
            yield Trace(alias, pairs)
            yield whole(alias, "a mention is compared with all names")

    def prepare(self, job: Job, closing: ExitStack) -> Callable[..., Any]:  # noqa: ARG002  it has nothing to close
        """Return the function of a batch. The table is read when the first batch comes."""
        params: LinkParams = job.params
        _, others = item_inputs(job)
        known = cache(lambda: _read(next(iter(others.values())), params))

        def linked(batch: pa.RecordBatch) -> dict[str, Any]:
            linker, keys = known()
            groups = _groups([batch.column(c) for c in params.same], batch.num_rows)
            texts = batch.column(params.text).to_pylist()
            told = {
                n: (g, t) for n, (g, t) in enumerate(zip(groups, texts, strict=True)) if g is not None and t is not None
            }
            found = dict(zip(told, linker.link(list(told.values())), strict=True))
            return _columns([found.get(n) for n in range(len(texts))], keys)

        linked.__name__ = self.name  # what messages call it
        return linked


def check_texts(table: Table, columns: Sequence[str], *, lists: bool = False) -> None:
    """Raise TaskError for columns that are not there, or hold no texts.

    Args:
        table: which has them.
        columns: their names.
        lists: whether they may hold lists of texts.
    """
    refuse_unknown(table, columns)
    fits = {"string", *(["list<element: string>", "list<element: string not null>"] if lists else [])}
    for column in table.manifest.columns:
        if column.name in columns and column.type not in fits:
            raise TaskError(
                f"the column '{column.name}' of '{table.task}' holds no texts, but {column.type}",
                help="name a column of texts, or make it one: `cast(… as varchar)`",
            )


def _read(table: Table, params: LinkParams) -> tuple[Linker, pa.Table]:
    """Return what knows the names of a table, and its keys, both in the order of the key."""
    import pyarrow.compute as pc

    from mmetl.cache.tables import read_table
    from mmetl.transforms.cross.linking import Linker, Rules

    key = list(table.manifest.key)
    wanted = dict.fromkeys((*key, params.name, *params.aliases, *params.same.values()))
    rows = read_table(table, list(wanted)).read_all()
    rows = rows.take(pc.sort_indices(rows.select(key), [(k, "ascending") for k in key]))
    rules = Rules(
        params.measure, params.threshold, params.review_from, params.margin, params.candidates,
        Spelling(**{n: getattr(params, n) for n in Spelling.model_fields}),
    )  # fmt: skip
    return Linker(_named(rows, params), rules), rows.select(key).combine_chunks()


def _named(rows: pa.Table, params: LinkParams) -> Iterator[Named]:
    from mmetl.transforms.cross.linking import Named

    groups = _groups([rows.column(c) for c in params.same.values()], rows.num_rows)
    for column in (params.name, *params.aliases):
        alias = column != params.name
        for place, (group, value) in enumerate(zip(groups, rows.column(column).to_pylist(), strict=True)):
            if group is not None:
                yield from (
                    Named(group, text, alias, place) for text in _texts(value, params.separator if alias else "")
                )


def _texts(value: str | list[str | None] | None, separator: str) -> Iterator[str]:
    """Yield the names in a value."""
    for text in value if isinstance(value, list) else [value]:
        if text is not None:
            yield from text.split(separator) if separator else [text]


def _groups(columns: Sequence[Any], count: int) -> Sequence[tuple[str, ...] | None]:
    """Return the values of some columns as texts, row by row; None where one is missing."""
    texts = [[None if v is None else str(v) for v in column.to_pylist()] for column in columns]
    rows: Iterable[tuple[str | None, ...]] = zip(*texts, strict=True) if texts else [()] * count
    whole = ((row, tuple(v for v in row if v is not None)) for row in rows)
    return [values if len(values) == len(row) else None for row, values in whole]


def _columns(links: Sequence[Any], keys: pa.Table) -> dict[str, Any]:
    import pyarrow as pa

    from mmetl.transforms.cross.linking import NONE

    whole = [link or NONE for link in links]
    places = pa.array([link.place for link in whole], pa.int64())
    return {
        **{LINKED + name: keys.column(name).take(places).combine_chunks() for name in keys.column_names},
        "score": pa.array([link.score for link in whole], pa.float64()),
        "how": pa.array([link.how for link in whole], pa.string()),
        "review": pa.array([link.review for link in whole], pa.bool_()),
        "rivals": pa.array([link.rivals for link in whole], pa.int32()),
    }


LINK = LinkEntities(
    "cross.link_entities",
    None,
    Items(reads=(), makes={}, batch_rows=1024),
    LinkParams,
    version=1,
    packages=("rapidfuzz",),
    extra=("entities", "rapidfuzz"),
)
