"""From which rows of its tables the rows of a query come, as far as its text tells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from mmetl.contracts.artifact import Manifest
from mmetl.contracts.lineage import Trace, whole
from mmetl.engines.sql.blocks import (
    Block,
    Leaf,
    NotFollowedError,
    Pair,
    Relation,
    Resolver,
    column,
    conjuncts,
    expanded,
    joined,
    note,
    sources_of,
)
from mmetl.engines.sql.pairs import block_leaves

WINDOW = "a window function looks at several of its rows"
CHOSEN = "which rows are kept is decided among several"
ABSENT = "what is not in it decides"
UNTOLD = "the columns of the query do not tell its rows apart"
ALL_ROWS = "a value is made of all its rows"

_PLAIN_TABLE = {"this", "alias"}


def sql_traces(sql: str, tables: Mapping[str, Manifest]) -> list[Trace]:
    """Return from which rows of its tables the rows of a query come.

    Args:
        sql: one query in DuckDB's dialect.
        tables: name in the query -> the table, of which columns and key are looked at.
    """
    try:
        return [*map(_trace, _relation(sql, tables).leaves)]
    except NotFollowedError as why:
        return [whole(name, f"its query cannot be followed to the row: {why}") for name in tables]


def sql_key(sql: str, tables: Mapping[str, Manifest]) -> tuple[str, ...]:
    """Return the columns that name a row of a query, in lower case; empty where its text does not tell."""
    try:
        return tuple(sorted(_relation(sql, tables).key))
    except NotFollowedError:
        return ()


def _relation(sql: str, tables: Mapping[str, Manifest]) -> Relation:
    known = {}
    for name, manifest in tables.items():
        names, key = [c.name.lower() for c in manifest.columns], frozenset(k.lower() for k in manifest.key)
        known[name.lower()] = Relation(tuple(names), (Leaf(name, tuple(map(_same, names)), key=key),), key)
    try:
        return relation_of(sqlglot.parse_one(sql, dialect="duckdb"), known)
    except (SqlglotError, RecursionError) as error:
        raise NotFollowedError("it is not understood") from error


def _same(name: str) -> Pair:
    return Pair(_named(name), _named(name))


def _named(name: str) -> exp.Column:
    return exp.column(name, quoted=True)


def _trace(leaf: Leaf) -> Trace:
    pairs = tuple(dict.fromkeys((_text(p.above), _text(p.below)) for p in leaf.pairs))
    where = " and ".join(dict.fromkeys(f"({_text(c)})" for c in leaf.where))
    whys = leaf.whys or (() if pairs or leaf.exact else (UNTOLD,))
    through = _trace(leaf.through) if leaf.through else None
    return Trace(leaf.table, pairs, where, leaf.exact, leaf.must, why="; ".join(dict.fromkeys(whys)), through=through)


def _text(node: Any) -> str:
    return str(node.sql(dialect="duckdb"))


def relation_of(node: Any, known: Mapping[str, Relation], outer: Resolver | None = None) -> Relation:
    """Return what a query gives. Raises NotFollowedError for one that is not understood.

    Args:
        node: the query.
        known: name in lower case -> what can be named in it.
        outer: the query around it, where it is a subquery.
    """
    with_ = node.args.get("with_")
    if with_ is not None:
        if with_.args.get("recursive"):
            raise NotFollowedError("it is recursive")
        for cte in with_.expressions:
            if cte.args["alias"].columns:
                raise NotFollowedError("it renames the columns of a CTE")
            known = {**known, cte.alias.lower(): relation_of(cte.this, known)}
    if isinstance(node, exp.Subquery):
        if set(filter(node.args.get, node.args)) - {"this", "alias", "with_"}:
            raise NotFollowedError("a query in parentheses has more to it")
        return relation_of(node.this, known, outer)
    if isinstance(node, exp.SetOperation):
        return _set_operation(node, known)
    if not isinstance(node, exp.Select):
        raise NotFollowedError(f"it is a {type(node).__name__.upper()}")
    return _select(node, known, outer)


def _set_operation(node: Any, known: Mapping[str, Relation]) -> Relation:
    sides = [relation_of(node.this, known), relation_of(node.expression, known)]
    by_name = bool(node.args.get("by_name"))
    names = list(dict.fromkeys((*sides[0].names, *sides[1].names))) if by_name else list(sides[0].names)
    leaves: list[Leaf] = []
    for number, side in enumerate(sides):
        if number and isinstance(node, exp.Except):
            leaves += [Leaf(leaf.table, (), exact=False, whys=(ABSENT,)) for leaf in side.leaves]
            continue
        called = dict(zip(side.names, side.names if by_name else names, strict=False))
        lacking = [Pair(_named(n), exp.Null()) for n in names if by_name and n not in side.names]
        leaves += [_called(leaf, called, lacking) for leaf in side.leaves]
    return Relation(tuple(names), tuple(leaves))


def _called(leaf: Leaf, called: Mapping[str, str], lacking: Sequence[Pair]) -> Leaf:
    """Return how rows of a set operation come from a table, given that of one side, whose columns are called otherwise there."""
    if leaf.through:
        return replace(leaf, through=_called(leaf.through, called, lacking), must=False)
    renamed = (Pair(_renamed(p.above, called), p.below) for p in leaf.pairs)
    return replace(leaf, pairs=(*renamed, *lacking), must=False)


def _renamed(node: Any, called: Mapping[str, str]) -> Any:
    return node.copy().transform(lambda n: _named(called.get(n.name, n.name)) if isinstance(n, exp.Column) else n)


def _select(node: exp.Select, known: Mapping[str, Relation], outer: Resolver | None) -> Relation:
    block = Block()
    for part in ("laterals", "pivots", "sample", "connect", "match"):
        if node.args.get(part):
            raise NotFollowedError(f"it has {part}")
    source = node.args.get("from_")
    if source is not None:
        _add(block, source.this, known)
    for join in node.args.get("joins") or ():
        alias = _add(block, join.this, known)
        if str(join.kind or "").upper() == "ANTI":
            relation = block.sources.pop(alias)
            block.outside += _absent(relation)
            block.loose |= set(block.sources)
            continue
        joined(block, join, alias)
    resolver = Resolver(block, outer)
    block.columns = expanded(block, resolver, node.expressions)
    where = node.args.get("where")
    for condition in conjuncts(where.this if where else None):
        _condition(block, resolver, condition, known)
    _groups(block, resolver, node)
    for selected in node.expressions:
        _subqueries_of(block, resolver, selected, known)
    for part in ("having", "qualify", "order", "group"):
        if node.args.get(part):
            _lose(block, node.args[part], known)
    block.multiplied = any(True for e in node.expressions for _ in e.find_all(exp.Unnest, exp.Explode))
    windows = any(True for e in node.expressions for _ in e.find_all(exp.Window))
    if windows:
        leaves = (leaf for relation in block.sources.values() for leaf in relation.leaves)
        block.outside += [Leaf(leaf.table, (), exact=False, whys=(WINDOW,)) for leaf in leaves]
    elif node.args.get("qualify") or node.args.get("limit"):
        block.whys.append(CHOSEN)
    return block_leaves(block)


def _add(block: Block, node: Any, known: Mapping[str, Relation]) -> str:
    """Add a source; return its alias."""
    alias = str(node.alias_or_name).lower()
    if not alias:
        alias = f"\0{len(block.sources)}"
    there = {name for name, found in node.args.items() if found}
    if isinstance(node, exp.Table) and isinstance(node.this, exp.Identifier) and there <= _PLAIN_TABLE:
        relation = known.get(node.name.lower())
    elif isinstance(node, exp.Subquery) and there <= {"this", "alias"}:
        relation = relation_of(node.this, known)
    else:
        raise NotFollowedError("it reads what is not a table")
    if relation is None or alias in block.sources or (node.args.get("alias") and node.args["alias"].columns):
        raise NotFollowedError(f"it is not known what '{alias}' is")
    block.sources[alias] = relation
    return alias


def _absent(relation: Relation) -> list[Leaf]:
    return [Leaf(leaf.table, (), exact=False, whys=(ABSENT,)) for leaf in relation.leaves]


def _groups(block: Block, resolver: Resolver, node: exp.Select) -> None:
    group, distinct = node.args.get("group"), node.args.get("distinct")
    if distinct is not None:
        block.grouped = True
        if None in block.columns.values() and group is None:
            block.loose |= set(block.sources)
        if distinct.args.get("on"):
            block.whys.append(CHOSEN)
    aggregated = any(
        True for e in node.expressions for a in e.find_all(exp.AggFunc) if not a.find_ancestor(exp.Window, exp.Subquery)
    )
    if group is None:
        if aggregated:
            block.grouped, block.groups = True, []
            block.whys.append(ALL_ROWS)
        return
    if set(filter(group.args.get, group.args)) - {"expressions", "all"}:
        raise NotFollowedError("it groups several ways")
    block.grouped = True
    if group.args.get("all"):
        unknown = [n for n, value in block.columns.items() if value is None and n not in block.aggregated]
        block.loose |= set(block.sources) if unknown else set()
    else:
        names = list(block.columns)
        block.groups = []
        for given in group.expressions:
            found = block.columns[names[int(given.name) - 1]] if isinstance(given, exp.Literal) else None
            block.groups.append(found if found is not None else resolver.resolve(given, block.columns))


# --- subqueries


def _condition(block: Block, resolver: Resolver, condition: Any, known: Mapping[str, Relation]) -> None:
    """Note a condition of WHERE; rows that `in (select …)` and `exists (select …)` find are sources of their own."""
    if isinstance(condition, exp.In) and condition.args.get("query"):
        asked, query = resolver.resolve(condition.this, block.columns), _unwrapped(condition.args["query"])
        columns = _inner(block, resolver, query, known)
        if columns and len(columns) == 1 and columns[0] is not None:
            note(block, exp.EQ(this=asked, expression=columns[0]), sources_of(columns[0]))
        return
    if isinstance(condition, exp.Exists):
        _inner(block, resolver, _unwrapped(condition.this), known)
        return
    if any(True for _ in _queries(condition)):
        _lose(block, condition, known)
        block.loose |= set(block.sources)
        return
    note(block, resolver.resolve(condition, block.columns), set(block.sources))


def _subqueries_of(block: Block, resolver: Resolver, selected: Any, known: Mapping[str, Relation]) -> None:
    """Add what a column looks up by subqueries."""
    value = selected.unalias()
    if isinstance(value, exp.Subquery) and isinstance(value.this, exp.Select):
        _inner(block, resolver, value.this, known)
        return
    for query in _queries(value):
        block.outside += _beside(query, known)


def _inner(block: Block, resolver: Resolver, query: Any, known: Mapping[str, Relation]) -> list[Any] | None:
    """Add the sources of a plain subquery to those of the query around it; return its columns, None if it is not plain."""
    plain = {"expressions", "from_", "joins", "where"}
    if not isinstance(query, exp.Select) or set(filter(query.args.get, query.args)) - plain:
        block.outside += _beside(query, known)
        return None
    inside = Block()
    try:
        _add(inside, query.args["from_"].this, known)
        for join in query.args.get("joins") or ():
            joined(inside, join, _add(inside, join.this, known))
        called = {alias: f"\0{len(block.sources)}{alias}" for alias in inside.sources}
        own = Resolver(inside, resolver)
        where = query.args.get("where")
        conditions = [own.resolve(c) for c in conjuncts(where.this if where else None)]
        columns = [None if any(s.find_all(exp.Star)) else own.resolve(s.unalias()) for s in query.expressions]
    except (NotFollowedError, KeyError):
        block.outside += _beside(query, known)
        return None
    if set(inside.sources) & set(block.sources):
        # A name inside hides that outside, so it is told apart only where it is resolved anew.
        block.outside += _beside(query, known)
        return None
    block.sources |= {called[a]: r for a, r in inside.sources.items()}
    block.inner |= set(called.values())
    for found in inside.known:
        note(block, _moved(found.that, called), {called[a] for a in found.of})
    for condition in conditions:
        note(block, _moved(condition, called), set(called.values()))
    return [c if c is None else _moved(c, called) for c in columns]


def _moved(node: Any, called: Mapping[str, str]) -> Any:
    return node.copy().transform(
        lambda n: column(called[n.table], n.name) if isinstance(n, exp.Column) and n.table in called else n
    )


def _unwrapped(node: Any) -> Any:
    while isinstance(node, exp.Subquery):
        node = node.this
    return node


def _queries(node: Any) -> Iterator[Any]:
    """Yield the queries in an expression, the outermost ones."""
    return (q for q in node.find_all(exp.Query) if not isinstance(q, exp.Subquery) or isinstance(q.this, exp.Query))


def _lose(block: Block, node: Any, known: Mapping[str, Relation]) -> None:
    """Take what the queries in an expression read as a whole."""
    for query in _queries(node):
        block.outside += _beside(query, known)


def _beside(query: Any, known: Mapping[str, Relation]) -> list[Leaf]:
    """Return the tables that a subquery reads, each as a whole."""
    found: dict[str, Leaf] = {}
    for table in query.find_all(exp.Table):
        relation = known.get(table.name.lower())
        for leaf in relation.leaves if relation else ():
            found[leaf.table] = Leaf(leaf.table, (), exact=False, whys=("a subquery looks at it",))
    return list(found.values())
