"""From a check to SQL: what counts its failing rows in the scan that all checks of a task share, and what lists them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, cast

from mmetl.checks import graphs, vectors
from mmetl.checks.footers import Footers
from mmetl.config.checks import OPTIONS
from mmetl.contracts.artifact import Column, Manifest
from mmetl.contracts.entry import entry_of
from mmetl.engines.duckdb import literal
from mmetl.errors import TaskError
from mmetl.utils.text import near, quote

THIS = "this"
"""The table under check, in all SQL of checks."""

PLACED = "__mmetl_placed"
"""The same rows with their places, where they are asked for."""

REPEATED = "__mmetl_repeated"
"""The hashes that more than one row has."""

MAX_FRACTION = 0.1
"""The share of a table's rows that a check of severity `quarantine` sets aside, unless it says otherwise."""

BITS_A_ROW = 16
HASHED_ROWS = 200_000  # fewer are grouped faster than they are hashed
MOST_BITS = 900_000_000  # DuckDB takes no more than 10**9

Severity = Literal["warn", "error", "quarantine"]


class Rule(NamedTuple):
    """One check, compiled.

    Attributes:
        label: what messages call it, such as `range(n)`.
        kind: the word of the YAML.
        said: what the YAML says behind that word.
        severity: what happens where it fails.
        max_fraction: the share of the rows that `quarantine` sets aside.
        condition: SQL that holds for the rows of `this` that fail; empty where single rows are not told apart.
        measure: SQL over `this` that gives a number; empty where the manifest tells all.
        proof: SQL over `this` that is cheaper, and 0 where the check holds; empty where there is none.
        hashes: a query over `this` that gives hashes of values; where no two are equal, the check holds. Else empty.
        among: the measure, given that rows which fail have hashes that are in the table REPEATED.
        failing: SQL that gives the failing rows; empty where no row is to blame.
    """

    label: str
    kind: str
    said: Any
    severity: Severity
    max_fraction: float = MAX_FRACTION
    condition: str = ""
    measure: str = ""
    proof: str = ""
    hashes: str = ""
    among: str = ""
    failing: str = ""


def compile_check(
    check: Mapping[str, Any], manifest: Manifest, others: Mapping[str, tuple[str, str]], footers: Footers
) -> Rule:
    """Return the rule of a check.

    Args:
        check: an item of `expect`, validated.
        manifest: of the table under check.
        others: `task.column` of a relationship -> the table of that task in the session, and the column.
        footers: what is known of its columns.

    Raises:
        TaskError: if it names a column that the table has not.
    """
    kind = next(k for k in check if k not in OPTIONS)
    said = check if kind == "function" else check[kind]
    names = _columns(kind, said)
    for name in names:
        _refuse_unknown(f"{kind}({', '.join(names)})", name, manifest.columns)
    called = entry_of(said["function"]).rpartition(":")[2] if kind == "function" else kind
    about = names or ([said["type"]] if kind == "cardinality" else [])
    label = f"{called}({', '.join(about)})" if about else kind
    severity = cast("Severity", check.get("severity", "error"))
    rule = Rule(label, kind, said, severity, check.get("max_fraction", MAX_FRACTION))
    if kind == "relationship":
        rule = of_rows(rule, _orphan(said["column"], *others[said["to"]]))
    elif kind in _CONDITIONS:
        known = kind == "not_null" and footers.filled.issuperset(n.lower() for n in names)
        condition = "" if known else _CONDITIONS[kind](said, manifest)
        rule = of_rows(rule, condition) if condition else rule
    else:
        return _of_table(rule, names, manifest, footers)
    return _cheaper(rule, names, footers) if rule.condition and manifest.kind == "table" else rule


def _of_table(rule: Rule, names: list[str], manifest: Manifest, footers: Footers) -> Rule:
    """Return a rule about all rows together."""
    if rule.kind == "unique":
        return _unique(rule, names, manifest, footers)
    if rule.kind == "freshness":
        known = footers.newest.get(names[0].lower())
        return rule._replace(measure=f"epoch_us(max({quote(names[0])})::timestamp)" if known is None else str(known))
    if rule.kind == "sql":
        return _query(rule, str(rule.said).strip().rstrip(";"), manifest.key)
    return rule


def _query(rule: Rule, query: str, key: Sequence[str]) -> Rule:
    """Return a rule about the rows that a query gives; to be set aside, they are found in the table by their key."""
    if rule.severity != "quarantine":
        return rule._replace(measure=f"(select count(*) from (\n{query}\n))", failing=query)
    found = ", ".join(f"q.{quote(k)}" for k in key)
    return of_rows(rule, f"{_values(key)} in (select {found} from (\n{query}\n) q)")


def _columns(kind: str, said: Any) -> list[str]:
    if kind in {"row_count", "sql", "schema", "no_dangling_edges", "cardinality"}:
        return []
    if kind == "function":
        return list(said["columns"])
    return [said["column"]] if isinstance(said, Mapping) else list(said)


def _refuse_unknown(label: str, name: str, columns: Sequence[Column]) -> None:
    known = [c.name for c in columns]
    if name.lower() not in {k.lower() for k in known}:
        close = near(name, known)
        raise TaskError(
            f"check {label}: the table has no column '{name}'",
            help=f"did you mean '{close}'?" if close else f"columns: {', '.join(known)}",
        )


def of_rows(rule: Rule, condition: str) -> Rule:
    """Return a rule about single rows, given what holds for those that fail."""
    return rule._replace(
        condition=condition,
        measure=f"count(*) filter (where {condition})",
        failing=f"select * from {THIS} where {condition}",
    )


def _cheaper(rule: Rule, names: Sequence[str], footers: Footers) -> Rule:
    """Return the rule of a stored table, of which not all has to be read; a view is computed once for all rules."""
    if rule.kind in _SKIPS:
        rule = rule._replace(measure=f"(select count(*) from {THIS} where {rule.condition})")
    if len(names) != 1 or names[0].lower() not in footers.few:
        return rule
    # As a WHERE the condition would be moved into the scan, and look at each row again.
    texts = f"select distinct {quote(names[0])} from {THIS}"
    return rule._replace(proof=f"(select count(*) filter (where {rule.condition}) from ({texts}))")


def _values(names: Sequence[str]) -> str:
    columns = ", ".join(quote(n) for n in names)
    return columns if len(names) == 1 else f"({columns})"


def _unique(rule: Rule, names: list[str], manifest: Manifest, footers: Footers) -> Rule:
    if manifest.key and {k.lower() for k in manifest.key} <= {n.lower() for n in names}:
        return rule  # the key was checked when the parts were made
    columns = ", ".join(quote(n) for n in names)
    known = " and ".join(f"{quote(n)} is not null" for n in names)
    grouped = f"group by {columns} having count(*) > 1"
    repeated = f"from {THIS} where {known} {grouped}"
    among = f"from {THIS} where {known} and hash({columns}) in (from {quote(REPEATED)}) {grouped}"
    filled = footers.filled.issuperset(n.lower() for n in names)
    nullable = "" if filled else f" where {known}"
    hashed = manifest.kind == "table" and manifest.rows >= HASHED_ROWS
    failing = (
        f"select * from {THIS} where {known} qualify count(*) over (partition by {columns}) > 1 order by {columns}"
    )
    return rule._replace(
        condition=f"{known} and {_values(names)} in (select {columns} {repeated})",
        measure=_summed(repeated),
        proof=_different(names, manifest.rows, footers),
        hashes=f"select hash({columns}) as h from {THIS}{nullable}" if hashed else "",
        among=_summed(among),
        failing=failing,
    )


def _summed(groups: str) -> str:
    return f"(select coalesce(sum(n), 0) from (select count(*) as n {groups}))"


def _different(names: Sequence[str], rows: int, footers: Footers) -> str:
    """Return SQL that counts how many rows are too many for all to be different, where that takes a bit for each.

    A hash table of ten million rows costs ten times as much.
    """
    number, size = "0", 1
    for name in names:
        if name.lower() not in footers.bounds:
            return ""
        low, high = footers.bounds[name.lower()]
        number = f"({number} * {high - low + 1} + ({quote(name)}::bigint - ({low})))"
        size *= high - low + 1
    if size > min(rows * BITS_A_ROW, MOST_BITS):
        return ""
    return f"count({number}) - bit_count(bitstring_agg({number}, 0, {size - 1}))"


def _null(said: Sequence[str], manifest: Manifest) -> str:  # noqa: ARG001  all conditions are called alike
    return " or ".join(f"{quote(n)} is null" for n in said)


def _other_value(said: Mapping[str, Any], manifest: Manifest) -> str:
    column, kind = quote(said["column"]), _kind(said["column"], manifest)
    return f"{column} not in ({', '.join(_value(v, kind) for v in said['values'])})"


def _outside(said: Mapping[str, Any], manifest: Manifest) -> str:  # noqa: ARG001  all conditions are called alike
    column = quote(said["column"])
    limits = [(sign, said[word]) for word, sign in (("min", "<"), ("max", ">")) if said.get(word) is not None]
    return " or ".join(f"{column} {sign} {_value(limit)}" for sign, limit in limits)


def _unlike(said: Mapping[str, Any], manifest: Manifest) -> str:  # noqa: ARG001  all conditions are called alike
    return f"not regexp_matches({quote(said['column'])}::varchar, {literal(said['pattern'])})"


def _length(said: Mapping[str, Any], manifest: Manifest) -> str:  # noqa: ARG001  all conditions are called alike
    length = f"length({quote(said['column'])}::varchar)"
    limits = [(sign, said[word]) for word, sign in (("min", "<"), ("max", ">")) if said.get(word) is not None]
    return " or ".join(f"{length} {sign} {limit}" for sign, limit in limits)


_CONDITIONS: dict[str, Callable[[Any, Manifest], str]] = {
    "not_null": _null,
    "accepted_values": _other_value,
    "range": _outside,
    "regex": _unlike,
    "text_length": _length,
    "dimension": vectors.other_dimension,
    "finite": vectors.not_finite,
    "normalized": vectors.not_normalized,
    "no_dangling_edges": graphs.dangling,
    "cardinality": graphs.other_cardinality,
}
"""What holds for the rows that fail; empty: for none. Mostly a null makes it null, and the row passes."""


_SKIPS = {"accepted_values", "not_null", "range"}
"""Checks whose conditions the reader of parts understands: it skips row groups whose ends show that all of them passes."""


def _orphan(column: str, table: str, there: str) -> str:
    known = f"select {quote(there)} from {quote(table)} where {quote(there)} is not null"
    return f"{quote(column)} is not null and {quote(column)} not in ({known})"


def _kind(name: str, manifest: Manifest) -> str:
    return next(c.type for c in manifest.columns if c.name.lower() == name.lower())


def _value(value: object, kind: str = "") -> str:
    """Return a value as SQL; for a column of text every value is text."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return literal(text) if isinstance(value, str) or kind.endswith("string") else text
