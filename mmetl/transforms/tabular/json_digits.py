"""Numbers of JSON in types that hold them, and no wider ones.

DuckDB types integers beside fractions as DOUBLE, and rounds them without a word; negative integers beside positive ones are HUGEINT to
it, however small they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mmetl.engines.duckdb import Session, literal
from mmetl.transforms.tabular.digits import keeps
from mmetl.utils.text import quote

_TESTED = 200  # numbers looked at by one query
_Path = tuple[str, ...]  # of a number inside of a column; an item of a list or a map is called ""


def columns_sql(columns: Sequence[tuple[str, str]]) -> str:
    """Return columns and their types as `read_json` takes them."""
    return "{" + ", ".join(f"{literal(name)}: {literal(kind)}" for name, kind in columns) + "}"


def with_all_digits(db: Session, source: str, columns: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the columns with text in the place of each DOUBLE, however deep, that would not keep all digits.

    And with BIGINT in the place of each HUGEINT that needs no more.

    Args:
        db: the session.
        source: what `read_json` reads, and how.
        columns: name and DuckDB's type of each.
    """
    kinds = {name: db.type_of(kind) for name, kind in columns if "DOUBLE" in kind or "HUGEINT" in kind}
    tests = [((name, *path), sql) for name, kind in kinds.items() for path, sql in _tests(kind, quote(name), ())]
    lossy: set[_Path] = set()
    for at in range(0, len(tests), _TESTED):
        some = tests[at : at + _TESTED]
        names = dict.fromkeys(path[0] for path, _ in some)
        texts = columns_sql([(name, _text(kinds[name], None, (name,))) for name in names])
        tested = ", ".join(f"bool_or({sql})" for _, sql in some)
        (found,) = db.rows(f"select {tested} from read_json({source}, columns={texts})")
        lossy |= {path for (path, _), lost in zip(some, found, strict=True) if lost}
    return [(name, _text(kinds[name], lossy, (name,)) if name in kinds else kind) for name, kind in columns]


def _tests(kind: Any, value: str, path: _Path) -> Iterator[tuple[_Path, str]]:
    """Yield the path of each DOUBLE or HUGEINT, and the SQL that tells of a row whether digits of it would be lost."""
    if kind.id == "double":
        yield path, f"coalesce(not ({keeps(value)}), false)"
    elif kind.id == "hugeint":
        yield path, f"coalesce({value} not between {-(2**63)} and {2**63 - 1}, false)"
    elif kind.id == "struct":
        for name, child in kind.children:
            yield from _tests(child, f"struct_extract({value}, {literal(name)})", (*path, name))
    elif kind.id in {"list", "map"}:
        item, items = f"x{len(path)}", value if kind.id == "list" else f"map_values({value})"
        for below, sql in _tests(kind.children[-1][1], item, (*path, "")):
            yield below, f"coalesce(list_bool_or([{sql} for {item} in {items}]), false)"


def _text(kind: Any, lossy: set[_Path] | None, path: _Path) -> str:
    """Return a type with text for the DOUBLEs of these paths, and BIGINT for the HUGEINTs of all others; None: for their test."""
    if kind.id == "double":
        return "VARCHAR" if lossy is None or path in lossy else "DOUBLE"
    if kind.id == "hugeint":
        return "HUGEINT" if lossy is None or path in lossy else "BIGINT"
    if kind.id == "struct":
        return f"STRUCT({', '.join(f'{quote(n)} {_text(child, lossy, (*path, n))}' for n, child in kind.children)})"
    if kind.id == "list":
        return f"{_text(kind.children[0][1], lossy, (*path, ''))}[]"
    if kind.id == "map":
        return f"MAP({kind.children[0][1]}, {_text(kind.children[1][1], lossy, (*path, ''))})"
    return str(kind)
