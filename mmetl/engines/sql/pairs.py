"""What a SELECT tells of each of its sources: which expressions are equal in a row and the rows that it came from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from sqlglot import exp

from mmetl.engines.sql.blocks import OTHER_ROWS, Block, Leaf, Pair, Relation, sources_of


class _Told(NamedTuple):
    """What is known of one source: pairs over the result and the source, conditions on its rows, whether nothing else is asked."""

    pairs: tuple[Pair, ...]
    where: tuple[Any, ...]
    exact: bool


def block_leaves(block: Block) -> Relation:
    """Return what a SELECT gives, and where its rows come from."""
    shown = {name: value for name, value in block.columns.items() if value is not None}
    if block.groups is not None:
        groups = {_text(g) for g in block.groups}
        shown = {n: v for n, v in shown.items() if _text(v) in groups}
    names = tuple(block.columns)
    equal = _equal(block, shown)
    told = {alias: _pairs_of(block, alias, equal) for alias in block.sources}
    pinned = {alias for alias in told if _is_pinned(block.sources[alias], told[alias])}
    leaves_of: dict[str, list[Leaf]] = {}
    for alias, relation in block.sources.items():
        settled = told[alias].exact and (alias in pinned or _is_settled(block, alias, shown, pinned))
        must = alias not in block.optional | block.inner  # then the row has one of it
        found = told[alias]._replace(exact=settled or (must and alias in pinned))
        leaves_of[alias] = [_below(block, leaf, found, must=must) for leaf in relation.leaves]
    _reach_others(block, leaves_of)
    leaves = [*block.outside, *(leaf for found in leaves_of.values() for leaf in found)]
    return Relation(names, tuple(leaves), _key(block, shown))


def _reach_others(block: Block, leaves_of: dict[str, list[Leaf]]) -> None:
    """Give tables of which the result shows nothing the rows that they are joined to: these lead to theirs."""
    reached = [a for a in leaves_of if _is_table(block, a) and leaves_of[a][0].pairs]
    for near in reached:
        for far in leaves_of:
            if far in reached or not _is_table(block, far) or leaves_of[far][0].exact:
                continue
            pairs = tuple(Pair(_bare(a), _bare(b)) for a, b in _joined_by(block, near, far))
            if pairs:
                leaves_of[far] = [replace(leaves_of[far][0], pairs=pairs, through=leaves_of[near][0])]
                reached.append(far)  # the loop comes to it, too


def _is_table(block: Block, alias: str) -> bool:
    """Tell whether a source is a table, or some rows of one, with its columns as they are."""
    leaves = block.sources[alias].leaves
    return len(leaves) == 1 and not leaves[0].through and all(p.above == p.below for p in leaves[0].pairs)


def _joined_by(block: Block, near: str, far: str) -> Iterator[tuple[Any, Any]]:
    """Yield what is equal in rows of two sources that meet."""
    for that, of in block.known:
        if isinstance(that, exp.EQ) and far in of:
            for a, b in ((that.left, that.right), (that.right, that.left)):
                if sources_of(a) == {near} and sources_of(b) == {far}:
                    yield a, b


def _text(node: Any) -> str:
    return str(node.sql(dialect="duckdb"))


def _equal(block: Block, shown: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the expressions of which it is known what they are in the result, by their text: (there, here)."""
    found: dict[str, tuple[Any, Any]] = {}
    for name, value in shown.items():
        there: Any = exp.column(name, quoted=True)
        found.setdefault(_text(value), (there, value))
        for merged in block.merged.values():
            if _text(value) == _text(merged[0]):
                for other in merged:
                    found.setdefault(_text(other), (there, other))
    changed = True
    while changed:
        changed = False
        for that, of in block.known:
            if not isinstance(that, exp.EQ):
                continue
            sides: tuple[tuple[Any, Any], ...] = ((that.left, that.right), (that.right, that.left))
            for here, other in sides:
                sources = sources_of(here)
                if _text(here) in found or len(sources) != 1 or not sources <= of or sources == sources_of(other):
                    continue
                told = _there(other, found)
                if told is not None:
                    found[_text(here)] = (told, here)
                    changed = True
    return found


def _there(node: Any, found: Mapping[str, tuple[Any, Any]]) -> Any:
    """Return an expression over the result that is equal to one over the sources; None if there is none."""
    known = found.get(_text(node))
    if known:
        return known[0].copy()
    if isinstance(node, exp.Literal):
        return node.copy()
    columns = {_text(c) for c in node.find_all(exp.Column)}
    if not columns or not columns <= set(found) or any(True for _ in node.find_all(*OTHER_ROWS)):
        return None
    return node.copy().transform(lambda n: found[_text(n)][0].copy() if isinstance(n, exp.Column) else n)


def _pairs_of(block: Block, alias: str, equal: Mapping[str, tuple[Any, Any]]) -> _Told:
    pairs, where = [], []
    exact = alias not in block.loose
    for there, here in equal.values():
        if sources_of(here) <= {alias}:
            pairs.append(Pair(there, _bare(here)))
    for that, of in block.known:
        mentioned = sources_of(that)
        if alias not in mentioned:
            continue
        if mentioned == {alias}:
            if alias in of:
                where.append(_bare(that))
        elif not (isinstance(that, exp.EQ) and _is_used(that, alias, equal)):
            exact = False
    return _Told(tuple(pairs), tuple(where), exact)


def _is_used(that: exp.EQ, alias: str, equal: Mapping[str, tuple[Any, Any]]) -> bool:
    """Tell whether an equality with another source says no more than a pair does."""
    sides = (that.left, that.right)
    return all(_there(side, equal) is not None for side in sides) and any(sources_of(s) == {alias} for s in sides)


def _bare(node: Any) -> Any:
    """Return an expression over one source with the names of its columns alone."""
    return node.copy().transform(lambda n: exp.column(n.name, quoted=True) if isinstance(n, exp.Column) else n)


def _is_pinned(relation: Relation, told: _Told) -> bool:
    """Tell whether the result names one row of the source."""
    return bool(relation.key) and relation.key <= _named(told.pairs)


def _named(pairs: Iterable[Pair]) -> set[str]:
    """Return the columns below that pairs give, as they are or as texts: two values of a key have two texts."""
    found = set()
    for pair in pairs:
        node = pair.below
        if isinstance(node, exp.Cast) and node.to.this in exp.DataType.TEXT_TYPES:
            node = node.this
        if isinstance(node, exp.Column):
            found.add(node.name)
    return found


def _is_settled(block: Block, alias: str, shown: Mapping[str, Any], pinned: set[str]) -> bool:
    """Tell whether all rows of a source that the pairs leave have a part in the row of the result."""
    others = {a for a in block.sources if a != alias and a not in block.inner and a not in pinned}
    if others:
        return False
    if alias in block.inner:
        return not [a for a in block.inner if a != alias and a not in pinned]
    if block.grouped:
        wanted = {_text(g) for g in block.groups} if block.groups is not None else set()
        return wanted <= {_text(v) for v in shown.values()}
    # Each row makes a row of its own: those that agree in all that is shown cannot be told apart, unless all is shown.
    plain = {v.name for v in shown.values() if isinstance(v, exp.Column) and v.table == alias}
    return plain.issuperset(block.sources[alias].names)


def _below(block: Block, leaf: Leaf, told: _Told, *, must: bool) -> Leaf:
    """Return how rows of the result come from a table, by way of one source."""
    if leaf.through:
        nearer = _below(block, leaf.through, told, must=must)
        if not nearer.pairs:
            return Leaf(leaf.table, (), exact=False, whys=(*leaf.whys, *block.whys))
        return replace(leaf, through=nearer, must=leaf.must and must, every=False, whys=(*leaf.whys, *block.whys))
    plain_above = {p.below.name: p.above for p in told.pairs if isinstance(p.below, exp.Column)}
    plain_below = {p.above.name: p.below for p in leaf.pairs if isinstance(p.above, exp.Column)}
    pairs = []
    for pair in told.pairs:
        made = _put(pair.below, plain_below)
        if made is not None:
            pairs.append(Pair(pair.above, made))
    for pair in leaf.pairs:
        made = None if isinstance(pair.above, exp.Column) else _put(pair.above, plain_above)
        if made is not None:
            pairs.append(Pair(made, pair.below))
    conditions = [_put(c, plain_below) for c in told.where]
    lost = len(pairs) < len(told.pairs) or None in conditions
    # Either all is known of a row of the source by which that row's own rows are found, or each of these is in the source.
    needed = {p.above.name for p in leaf.pairs if isinstance(p.above, exp.Column)}
    followed = needed <= set(plain_above) or (leaf.every and not lost)
    named = bool(leaf.key) and leaf.key <= _named(pairs)
    alone = len(block.sources) == 1 and not (block.loose or block.outside or block.whys)
    return Leaf(
        leaf.table,
        tuple(pairs),
        (*leaf.where, *(c for c in conditions if c is not None)),
        leaf.exact and ((told.exact and followed) or (named and (must or told.exact))),
        leaf.must and must,
        leaf.every and alone and None not in conditions,
        (*leaf.whys, *block.whys),
        leaf.key,
    )


def _put(node: Any, known: Mapping[str, Any]) -> Any:
    """Return an expression with other ones in the place of its columns; None if one of them is not known."""
    if not all(c.name in known for c in node.find_all(exp.Column)):
        return None
    return node.copy().transform(lambda n: known[n.name].copy() if isinstance(n, exp.Column) else n)


def _key(block: Block, shown: Mapping[str, Any]) -> frozenset[str]:
    """Return columns of the result that name a row of it; empty where it is not known."""
    if block.multiplied:
        return frozenset()
    if block.grouped:
        complete = block.groups is None or {_text(g) for g in block.groups} <= {_text(v) for v in shown.values()}
        return frozenset(shown) if (complete and len(shown) == len(block.columns)) or block.groups else frozenset()
    outer = [a for a in block.sources if a not in block.inner]
    names: dict[tuple[str, str], str] = {}
    for name, value in shown.items():
        if isinstance(value, exp.Column):
            names.setdefault((value.table, value.name), name)
    wanted = [(a, k) for a in outer for k in block.sources[a].key]
    if all(block.sources[a].key for a in outer) and all(w in names for w in wanted):
        return frozenset(names[w] for w in wanted)
    return frozenset()
