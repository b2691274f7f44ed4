"""A query taken apart: of each SELECT its sources, its columns, and what must hold of rows that meet in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlglot import exp

SUBQUERY = (exp.Subquery, exp.Exists, exp.Query)
OTHER_ROWS = (exp.AggFunc, exp.Window)
"""What looks at more rows than one."""

_KINDS = {"", "INNER", "CROSS", "OUTER", "SEMI", "ANTI"}
_SIDES = {"", "LEFT", "RIGHT", "FULL"}


class NotFollowedError(Exception):
    """A query of which it is not known where its rows come from; the message says why."""


class OtherRowsError(NotFollowedError):
    """A column that names another one of its SELECT, which looks at more rows than one."""


class Pair(NamedTuple):
    """Equal in rows that belong together: an expression over the columns above, and one over those below."""

    above: Any
    below: Any


@dataclass(frozen=True)
class Leaf:
    """How the rows of a relation come from those of one table.

    Attributes:
        table: its name in the query.
        pairs: over the relation's columns, and over the table's.
        where: conditions on the table's rows.
        exact: whether all rows that the pairs leave have a part.
        must: whether each row of the relation surely has one.
        every: whether each of the table's rows, for which the conditions hold, has a part in some row.
        whys: what else has a part.
        key: of the table.
        through: the table whose rows the pairs are over, and how these come into the relation; None: they are over the relation's.
    """

    table: str
    pairs: tuple[Pair, ...]
    where: tuple[Any, ...] = ()
    exact: bool = True
    must: bool = True
    every: bool = True
    whys: tuple[str, ...] = ()
    key: frozenset[str] = frozenset()
    through: Leaf | None = None


@dataclass(frozen=True)
class Relation:
    """A table, or what a query gives. Names of columns are in lower case.

    Attributes:
        names: of its columns.
        leaves: the tables that its rows come from.
        key: columns that name a row; empty: not known.
    """

    names: tuple[str, ...]
    leaves: tuple[Leaf, ...]
    key: frozenset[str] = frozenset()


class Known(NamedTuple):
    """What holds of rows that meet.

    Attributes:
        that: the condition; columns are `source.column`.
        of: the sources whose rows have it; others may lack it, such as the left side of a LEFT JOIN.
    """

    that: Any
    of: frozenset[str]


@dataclass
class Block:
    """One SELECT.

    Attributes:
        sources: alias -> relation, in order.
        inner: the sources of subqueries: rows of these are looked at, and are no rows of the result.
        optional: sources of which a row of the result may have none, as in a LEFT JOIN.
        columns: name -> expression; None for one that looks at other rows.
        aggregated: of these, those that surely are made of a group.
        merged: column of USING -> what it stands for.
        known: what holds of rows that meet.
        loose: sources of which something is asked that is not among `known`.
        multiplied: whether a row of the sources may make several.
        grouped: whether a row stands for all rows that agree in `groups`.
        groups: expressions; None: all columns.
        whys: what else has a part in the rows.
        outside: leaves of subqueries that cannot be followed.
    """

    sources: dict[str, Relation] = field(default_factory=dict)
    inner: set[str] = field(default_factory=set)
    optional: set[str] = field(default_factory=set)
    columns: dict[str, Any] = field(default_factory=dict)
    aggregated: set[str] = field(default_factory=set)
    merged: dict[str, list[exp.Column]] = field(default_factory=dict)
    known: list[Known] = field(default_factory=list)
    loose: set[str] = field(default_factory=set)
    multiplied: bool = False
    grouped: bool = False
    groups: list[Any] | None = None
    whys: list[str] = field(default_factory=list)
    outside: list[Leaf] = field(default_factory=list)


def column(source: str, name: str) -> exp.Column:
    """Return a column of a source."""
    return exp.column(name, source, quoted=True)


def sources_of(node: Any) -> set[str]:
    """Return the sources that an expression names."""
    return {c.table for c in node.find_all(exp.Column)}


def conjuncts(node: Any) -> Iterator[Any]:
    """Yield the conditions that an AND joins."""
    while isinstance(node, exp.Paren):
        node = node.this
    if isinstance(node, exp.And):
        yield from conjuncts(node.left)
        yield from conjuncts(node.right)
    elif node is not None:
        yield node


class Resolver:
    """Says of each column of a SELECT which source it is of.

    Args:
        block: whose sources are known.
        outer: the resolver of the query around a subquery.
    """

    def __init__(self, block: Block, outer: Resolver | None = None) -> None:
        self.block, self.outer = block, outer

    def resolve(self, node: Any, aliases: Mapping[str, Any] | None = None) -> Any:
        """Return an expression in which each column is `source.column`. Raises NotFollowedError for one that is not known."""

        def place(found: Any) -> Any:
            return self._placed(found, aliases or {}) if isinstance(found, exp.Column) else found

        return node.copy().transform(place)

    def _placed(self, found: exp.Column, aliases: Mapping[str, Any]) -> Any:
        name, table = found.name.lower(), found.table.lower()
        if len(found.parts) > 2 or isinstance(found.this, exp.Star):
            raise NotFollowedError("it looks into a struct")
        if table:
            return self._of(table, name)
        if name in self.block.merged:
            return self.block.merged[name][0].copy()
        owners = [a for a, r in self.block.sources.items() if name in r.names]
        own = [a for a in owners if a not in self.block.inner] or owners
        if len(own) == 1:
            return column(own[0], name)
        if not own and name in aliases:
            if aliases[name] is None:
                raise OtherRowsError(f"it names '{name}' again, which looks at other rows")
            return aliases[name].copy()
        if not own and self.outer:
            return self.outer._placed(found, {})  # noqa: SLF001 - one resolver to another
        raise NotFollowedError(f"it is not known which table '{found.name}' is of")

    def _of(self, table: str, name: str) -> exp.Column:
        if table in self.block.sources and name in self.block.sources[table].names:
            return column(table, name)
        if self.outer:
            return self.outer._of(table, name)  # noqa: SLF001
        raise NotFollowedError(f"it is not known what '{table}.{name}' is")


def expanded(block: Block, resolver: Resolver, selected: Sequence[Any]) -> dict[str, Any]:
    """Return name -> expression of the columns of a SELECT, stars written out; None where one looks at other rows."""
    columns: dict[str, Any] = {}
    for number, node in enumerate(selected):
        star = node.this if isinstance(node, exp.Column) else node
        if isinstance(star, exp.Star):
            columns |= _star(block, resolver, star, node.table.lower() if isinstance(node, exp.Column) else "")
            continue
        if any(True for _ in node.find_all(exp.Columns)):
            raise NotFollowedError("it takes columns by a pattern")
        name = (node.alias_or_name or f"\0{number}").lower()
        aggregated = any(True for _ in node.find_all(exp.AggFunc))
        try:
            columns[name] = None if _opaque(node) else resolver.resolve(node.unalias(), columns)
        except OtherRowsError:
            columns[name] = None
            aggregated = not block.aggregated.isdisjoint(c.name.lower() for c in node.find_all(exp.Column))
        block.aggregated |= {name} if aggregated else set()
    return columns


def _opaque(node: Any) -> bool:
    return any(True for _ in node.find_all(*OTHER_ROWS, *SUBQUERY, exp.Unnest, exp.Explode, exp.Anonymous, exp.Lambda))


def _star(block: Block, resolver: Resolver, star: exp.Star, only: str) -> dict[str, Any]:
    left_out = {_name(c) for c in star.args.get("except_") or ()}
    renamed = {_name(a.this): a.alias.lower() for a in star.args.get("rename") or ()}
    replaced = {a.alias.lower(): a.this for a in star.args.get("replace") or ()}
    columns: dict[str, Any] = {}
    for alias, relation in block.sources.items():
        if alias in block.inner or (only and alias != only):
            continue
        for name in relation.names:
            if name in left_out or (not only and name in columns and name in block.merged):
                continue
            found = replaced.get(name)
            value = column(alias, name) if found is None else None if _opaque(found) else resolver.resolve(found)
            merged = not only and name in block.merged and found is None
            columns[renamed.get(name, name)] = block.merged[name][0] if merged else value
    return columns


def _name(node: Any) -> str:
    return str(node.name).lower()


def joined(block: Block, join: exp.Join, alias: str) -> None:
    """Note what holds of the rows of a source that is joined to those before it. Raises NotFollowedError for other joins."""
    side, kind = str(join.side or "").upper(), str(join.kind or "").upper()
    method = str(join.args.get("method") or "").upper()
    if side not in _SIDES or kind not in _KINDS or method:
        raise NotFollowedError(f"it has a {' '.join(filter(None, (method, side, kind)))} join")
    before = [a for a in block.sources if a != alias and a not in block.inner]
    reach = {"": {*before, alias}, "LEFT": {alias}, "RIGHT": set(before), "FULL": set()}[side]
    block.optional |= {"": set(), "LEFT": {alias}, "RIGHT": set(before), "FULL": {*before, alias}}[side]
    resolver = Resolver(block)
    if kind in {"SEMI", "ANTI"}:
        block.inner.add(alias)
        reach = {alias}
    for word in join.args.get("using") or ():
        name = word.name.lower()
        owner = next((a for a in before if name in block.sources[a].names), None)
        if owner is None or name not in block.sources[alias].names:
            raise NotFollowedError(f"it is not known which tables are joined by '{name}'")
        pair = [*block.merged.get(name, [column(owner, name)]), column(alias, name)]
        if kind not in {"SEMI", "ANTI"}:
            block.merged[name] = pair[::-1] if side == "RIGHT" else pair
        block.known.append(Known(exp.EQ(this=pair[0].copy(), expression=pair[-1].copy()), frozenset(reach)))
    for condition in conjuncts(join.args.get("on")):
        note(block, resolver.resolve(condition), reach)


def note(block: Block, condition: Any, of: Iterable[str]) -> None:
    """Note a condition; one with a subquery in it says nothing that can be used."""
    if any(True for _ in condition.find_all(*SUBQUERY)):
        block.loose |= sources_of(condition)
    else:
        block.known.append(Known(condition, frozenset(of)))
