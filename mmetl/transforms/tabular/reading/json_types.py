"""Types of JSON columns that hold every value as the file has it, and no wider ones.

DuckDB types integers beside fractions as DOUBLE, and rounds them without a word; negative integers beside positive ones are HUGEINT to
it, however small they are. Of times with a zone it drops the zone, days and identifiers it writes in another way, and texts beside
numbers keep their quotes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmetl.engines.duckdb import Session, literal
from mmetl.transforms.tabular.reading.digits import keeps
from mmetl.transforms.tabular.times import is_day, is_time, is_zoned
from mmetl.utils.text import quote

_TESTED = 200  # values looked at by one query
_Path = tuple[str, ...]  # of a value inside of a column; an item of a list or a map is called ""
_Kind = tuple[_Path, str]

_TEXT = "VARCHAR"
# What DuckDB guesses -> the types that it may be, each with the SQL that tells whether it would lose something of {c}; the first that
# loses nothing is taken, else text.
_CHOICES: Mapping[str, Sequence[tuple[str, str]]] = {
    "double": (("DOUBLE", f"not ({keeps('{c}')})"),),
    "hugeint": (("BIGINT", f"{{c}} not between {-(2**63)} and {2**63 - 1}"), ("HUGEINT", "false")),
    "date": (("DATE", f"not ({is_day('{c}')})"),),
    "time": (("TIME", "try_cast({c} as time)::varchar is distinct from {c}"),),
    "timestamp": (
        ("TIMESTAMP", f"not ({is_day('{c}')} or {is_time('{c}')})"),
        ("TIMESTAMP WITH TIME ZONE", f"not ({is_zoned('{c}')})"),
    ),
    "uuid": (),
    "json": (),
}
_DOUBTED = ("DOUBLE", "HUGEINT", "DATE", "TIME", "UUID", "JSON")


def columns_sql(columns: Sequence[tuple[str, str]]) -> str:
    """Return columns and their types as `read_json` takes them."""
    return "{" + ", ".join(f"{literal(name)}: {literal(kind)}" for name, kind in columns) + "}"


def true_types(db: Session, source: str, columns: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the columns with a type in the place of each that DuckDB guessed, however deep, that keeps all values; else with text.

    Args:
        db: the session.
        source: what `read_json` reads, and how.
        columns: name and DuckDB's type of each.
    """
    kinds = {name: db.type_of(kind) for name, kind in columns if any(word in kind for word in _DOUBTED)}
    tests = [
        ((name, *path), choice, sql)
        for name, kind in kinds.items()
        for path, choice, sql in _tests(kind, quote(name), ())
    ]
    lossy: set[_Kind] = set()
    for at in range(0, len(tests), _TESTED):
        some = tests[at : at + _TESTED]
        names = dict.fromkeys(path[0] for path, _, _ in some)
        texts = columns_sql([(name, _typed(kinds[name], None, (name,))) for name in names])
        tested = ", ".join(f"bool_or({sql})" for _, _, sql in some)
        (found,) = db.rows(f"select {tested} from read_json({source}, columns={texts})")
        lossy |= {(path, choice) for (path, choice, _), lost in zip(some, found, strict=True) if lost}
    return [(name, _typed(kinds[name], lossy, (name,)) if name in kinds else kind) for name, kind in columns]


def _leaf(kind: Any) -> str:
    """Return what DuckDB guessed; to it, JSON is a name for text."""
    return "json" if str(kind) == "JSON" else str(kind.id)


def _tests(kind: Any, value: str, path: _Path) -> Iterator[tuple[_Path, str, str]]:
    """Yield the path of each type in doubt, what it might be, and the SQL that tells of a row whether that would lose something."""
    for choice, lost in _CHOICES.get(_leaf(kind), ()):
        if lost != "false":
            yield path, choice, f"coalesce({lost.replace('{c}', value)}, false)"
    if kind.id == "struct":
        for name, child in kind.children:
            yield from _tests(child, f"struct_extract({value}, {literal(name)})", (*path, name))
    elif kind.id in {"list", "map"}:
        item, items = f"x{len(path)}", value if kind.id == "list" else f"map_values({value})"
        for below, choice, sql in _tests(kind.children[-1][1], item, (*path, "")):
            yield below, choice, f"coalesce(list_bool_or([{sql} for {item} in {items}]), false)"


def _typed(kind: Any, lossy: set[_Kind] | None, path: _Path) -> str:
    """Return a type with those in it that lose nothing; None: with the types of their tests."""
    leaf = _leaf(kind)
    if leaf in _CHOICES:
        if lossy is None:
            return "HUGEINT" if leaf == "hugeint" else _TEXT
        return next((choice for choice, _ in _CHOICES[leaf] if (path, choice) not in lossy), _TEXT)
    if leaf == "struct":
        return f"STRUCT({', '.join(f'{quote(n)} {_typed(child, lossy, (*path, n))}' for n, child in kind.children)})"
    if leaf == "list":
        return f"{_typed(kind.children[0][1], lossy, (*path, ''))}[]"
    if leaf == "map":
        return f"MAP({kind.children[0][1]}, {_typed(kind.children[1][1], lossy, (*path, ''))})"
    return str(kind)
