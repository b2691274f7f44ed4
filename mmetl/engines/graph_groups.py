"""The rows of a graph by what a database keeps apart: nodes by label, edges by type and the labels of their ends."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmetl.contracts.graph import KIND, LABEL, NAME, OWN, SOURCE, SOURCE_LABEL, TARGET, TARGET_LABEL, is_word
from mmetl.errors import TaskError

SHOWN = 5  # edges that a message names

RUNS = 64
"""In a table of more runs of equal labels the rows are sorted first: slices without end would cost more than that."""


GATHERED_ROWS = 16_384
"""Rows that are cut at once, where tables are smaller: the difference of a graph comes as a few rows of each part."""


class Group(NamedTuple):
    """Nodes of one label, or edges of one type between nodes of two labels.

    Attributes:
        label: the label, or the type.
        source, target: labels of the two ends; empty for nodes.
    """

    label: str
    source: str = ""
    target: str = ""

    @property
    def is_edge(self) -> bool:
        """Whether it is one of edges."""
        return bool(self.source)


Groups = Mapping[Group, pa.Table]
"""Their rows: `_key`, of edges `_source` and `_target` before it, then all properties."""


def grouped(tables: Iterable[pa.Table]) -> dict[Group, pa.Table]:
    """Return the rows of a graph by group, nodes first.

    Raises:
        TaskError: for rows that are neither nodes nor edges, labels that are no words, edges without ends.
    """
    found: dict[Group, list[pa.Table]] = {}
    for table in _gathered(tables):
        for group, rows in _cut(table):
            found.setdefault(group, []).append(_own_rows(group, rows))
    joined = {group: pa.concat_tables(found[group]) for group in found}
    return dict(sorted(joined.items(), key=lambda item: (item[0].is_edge, item[0])))


def _gathered(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Yield tables joined until they are of some size."""
    held: list[pa.Table] = []
    rows = 0
    for table in tables:
        held.append(table)
        rows += table.num_rows
        if rows >= GATHERED_ROWS:
            yield pa.concat_tables(held)
            held, rows = [], 0
    if held:
        yield pa.concat_tables(held)


def _cut(table: pa.Table) -> Iterator[tuple[Group, pa.Table]]:
    """Yield the rows of each group. Where those of a group follow each other, as in a part, nothing is copied."""
    labels = [pc.fill_null(table[n], "").combine_chunks() for n in (KIND, LABEL, SOURCE_LABEL, TARGET_LABEL)]
    starts = _starts(labels)
    if len(starts) > RUNS:
        order = pc.sort_indices(pa.table(labels, names=list("abcd")), [(n, "ascending") for n in "abcd"])
        table, labels = table.take(order), [column.take(order) for column in labels]
        starts = _starts(labels)
    for start, end in itertools.pairwise([*starts, table.num_rows]):
        yield _group(*(column[start].as_py() for column in labels)), table.slice(start, end - start)


def _starts(columns: Sequence[pa.Array]) -> list[int]:
    """Return where another combination of values begins."""
    size = len(columns[0])
    if size == 0:
        return []
    differs = np.zeros(size, bool)
    differs[0] = True
    for column in columns:
        differs[1:] |= pc.not_equal(column.slice(1), column.slice(0, size - 1)).to_numpy(zero_copy_only=False)
    return [int(n) for n in np.flatnonzero(differs)]


def _group(kind: str, label: str, source: str, target: str) -> Group:
    if kind not in {"node", "edge"}:
        raise TaskError(f"'{KIND}' is '{kind}'", help="a row of a graph is a `node` or an `edge`")
    words = [label] if kind == "node" else [label, source, target]
    for word in words:
        if not is_word(word):
            what = (
                "an edge has no label of its ends"
                if not word and kind == "edge"
                else f"'{word}' cannot be a label or a type"
            )
            raise TaskError(what, help="labels and types are letters, digits and underscores, and begin with a letter")
    return Group(label, source, target) if kind == "edge" else Group(label)


def _own_rows(group: Group, rows: pa.Table) -> pa.Table:
    for end in (SOURCE, TARGET) if group.is_edge else ():
        if rows[end].null_count:
            raise TaskError(f"{group.label}: an edge has no '{end}'", help="leave such rows out before")
    own = [SOURCE, TARGET, NAME] if group.is_edge else [NAME]
    return rows.select([*own, *(n for n in rows.column_names if n not in OWN and n != "_id")])


Declared = Mapping[Group, Mapping[str, pa.DataType]]
"""Groups that are there even without rows, with properties that their label or type has even where all are null."""


# --- how many there are


class Catalogue:
    """How many rows each group has, and how many of them have each property.

    So it is known, without asking the database, which labels and properties come and go with a difference.

    Attributes:
        counts: group -> property -> rows that have it; "" counts the rows.
        declared: what is there in any case.
    """

    def __init__(
        self, counts: Mapping[Group, Mapping[str, int]] | None = None, declared: Declared | None = None
    ) -> None:
        self.declared = declared or {}
        self.counts = {group: Counter(dict(numbers)) for group, numbers in (counts or {}).items()}

    def changed(self, old: Groups, new: Groups) -> Catalogue:
        """Return what it is without some rows and with others."""
        after = Catalogue(self.counts, self.declared)
        for groups, sign in ((old, -1), (new, 1)):
            for group, rows in groups.items():
                numbers = after.counts.setdefault(group, Counter())
                numbers[""] += sign * rows.num_rows
                for name, column in zip(rows.column_names, rows.columns, strict=True):
                    if name not in OWN:
                        numbers[name] += sign * (rows.num_rows - column.null_count)
        after.counts = {group: n for group, n in after.counts.items() if n[""]}
        return after

    def properties(self, label: str) -> frozenset[str]:
        """Return the properties that nodes of a label, or edges of a type, have anywhere, or are said to have."""
        had = {p for group, n in self.counts.items() if group.label == label for p in n if p and n[p]}
        said = {p for group, kinds in self.declared.items() if group.label == label for p in kinds}
        return frozenset(had | said)

    @property
    def shape(self) -> dict[Group, frozenset[str]]:
        """Which groups there are, nodes first, and their properties: what a database has to have tables for."""
        groups = sorted({*self.counts, *self.declared}, key=lambda group: (group.is_edge, group))
        return {group: self.properties(group.label) for group in groups}

    def to_json(self) -> str:
        """Return it as text."""
        return json.dumps([[list(group), dict(numbers)] for group, numbers in sorted(self.counts.items())])

    @staticmethod
    def from_json(text: str, declared: Declared | None = None) -> Catalogue:
        """Return what `to_json` wrote: what is there, without what was declared."""
        return Catalogue({Group(*group): numbers for group, numbers in json.loads(text)}, declared)


# --- what may be wrong


def refuse_clashing_names(groups: Iterable[Group]) -> None:
    """Raise TaskError for a label and a type, or two of them, that differ in case at most: some engines cannot hold both."""
    kinds: dict[str, tuple[str, str]] = {}
    for group in groups:
        kind = "type" if group.is_edge else "label"
        name, other = kinds.setdefault(group.label.lower(), (group.label, kind))
        if (name, other) != (group.label, kind):
            raise TaskError(
                f"the {other} '{name}' and the {kind} '{group.label}' are one name to the database",
                help="rename one: case tells no names apart, and labels and types share theirs",
            )


def refuse_dangling(groups: Groups) -> None:
    """Raise TaskError for edges of a whole graph to nodes that are not there."""
    for group, rows in groups.items():
        for end, label in ((SOURCE, group.source), (TARGET, group.target)) if group.is_edge else ():
            nodes = groups.get(Group(label))
            names = pa.chunked_array([], pa.string()) if nodes is None else nodes[NAME]
            there = pc.is_in(rows[end], value_set=names.combine_chunks())
            if not pc.all(there).as_py():
                lost = pc.unique(rows[end].filter(pc.invert(there))).to_pylist()
                shown = ", ".join(f"{label} {name}" for name in sorted(lost)[:SHOWN])
                count = rows.num_rows - (pc.sum(there).as_py() or 0)
                edges = "1 edge" if count == 1 else f"{count:,} edges"
                raise TaskError(
                    f"{edges} {group.label} to nodes that are not there: {shown}",
                    help="add the nodes, or leave such edges out",
                )
