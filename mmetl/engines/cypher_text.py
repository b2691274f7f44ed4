"""What a query in Cypher is, by its tokens: does it only read, what are its parameters, is its result in an order. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from mmetl.errors import ParamError, Where
from mmetl.utils.text import near

_TOKEN = re.compile(
    r"(?P<blank>\s+|//[^\n]*|/\*.*?\*/)"
    r"|(?P<string>'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\")"
    r"|(?P<quoted>`(?:``|[^`])*`)"
    r"|(?P<parameter>\$\w+)"
    r"|(?P<number>\d[\w.]*?(?=\.\.|[^\w.]|$)|\d+)"
    r"|(?P<word>[^\W\d]\w*)"
    r"|(?P<symbol><>|<=|>=|=~|->|<-|\.\.|.)",
    re.DOTALL,
)
_OPEN, _CLOSE = frozenset("([{"), frozenset(")]}")

BEGINS = ("MATCH", "OPTIONAL", "WITH", "UNWIND", "RETURN", "CALL")
WRITES = frozenset({"CREATE", "MERGE", "SET", "DELETE", "DETACH", "REMOVE", "FOREACH"})
OUTSIDE = frozenset(
    {
        "LOAD",
        "COPY",
        "EXPORT",
        "IMPORT",
        "INSTALL",
        "UNINSTALL",
        "ATTACH",
        "USE",
        "DROP",
        "ALTER",
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
    }
    | {"CHECKPOINT", "COMMENT"}
)
"""Words that begin what is no query of the graph: other files, other databases, other tables, settings."""

VOLATILE = frozenset(
    {"random", "rand", "randomuuid", "gen_random_uuid", "uuid", "current_timestamp", "current_date", "now"}
)
CLOCKS = frozenset({"date", "datetime", "localdatetime", "time", "localtime", "timestamp"})
"""Functions that tell the time when they are called without arguments."""

_TICKS = frozenset({".transaction(", ".statement(", ".realtime("})
_MEND = "pass it as a parameter, or set `volatile: true`"

INTERNAL = frozenset({"id", "elementid", "internal_id"})
"""Functions that say where a database keeps something: another one says something else."""


class Token(NamedTuple):
    """A word of a query. `offset` counts characters from its start."""

    kind: str
    text: str
    offset: int

    @property
    def upper(self) -> str:
        """Return a plain word in capitals; nothing for what is none."""
        return self.text.upper() if self.kind == "word" else ""


class Query(NamedTuple):
    """A query that was looked at.

    Attributes:
        text: as it was written, without a semicolon at its end.
        canonical: its tokens: comments and white space do not count.
        parameters: name -> offset of its first `$name`.
        returns: whether it gives rows.
        ordered: whether its result has an order of its own.
        ties_at: where an ordered query may be given further columns to be ordered by.
        ties: what these may be.
    """

    text: str
    canonical: str
    parameters: Mapping[str, int]
    returns: bool
    ordered: bool
    ties_at: int
    ties: tuple[str, ...]

    def break_ties(self, unfit: Collection[str] = ()) -> str:
        """Return an ordered query with its ties broken by all columns that can be named and are not unfit; any other as it is."""
        ties = [name for name in self.ties if name not in unfit]
        return f"{self.text[: self.ties_at]}, {', '.join(ties)}{self.text[self.ties_at :]}" if ties else self.text


def tokens_of(text: str) -> list[Token]:
    """Return the tokens of a query, without comments and white space."""
    found = (Token(m.lastgroup or "", m.group(), m.start()) for m in _TOKEN.finditer(text))
    return [t for t in found if t.kind != "blank"]


def read_query(text: str, *, writes: bool = False, param: str = "query") -> Query:
    """Look at a query.

    Args:
        text: one query.
        writes: whether it may change the graph.
        param: what errors are about.

    Raises:
        ParamError: if it is none, is several, reads what is not the graph, or changes it and must not.
    """
    tokens = tokens_of(text)
    while tokens and tokens[-1].text == ";":
        tokens.pop()
    if not tokens:
        raise ParamError("there is no query", help="write one, such as: MATCH (n) RETURN count(*) AS n", param=(param,))
    _refuse_others(tokens, writes=writes, param=param)
    body = text[: tokens[-1].offset + len(tokens[-1].text)]
    parameters: dict[str, int] = {}
    for token in tokens:
        if token.kind == "parameter":
            parameters.setdefault(token.text[1:], token.offset)
    last = _last_return(tokens)
    order = _order(tokens, last) if last is not None else None
    ties = _ties(tokens, last) if last is not None and order is not None else ()
    canonical = " ".join(t.text for t in tokens)
    return Query(body, canonical, parameters, last is not None, order is not None, order or 0, ties)


def check_parameters(
    query: Query, given: Collection[str], param: str = "query", mend: str = "parameters: {{{0}: ...}}"
) -> None:
    """Raise ParamError for a `$name` without a value, and for a value that nothing uses; `mend` is how to give one."""
    for name, offset in query.parameters.items():
        if name not in given:
            close = near(name, given)
            raise ParamError(
                f"the parameter ${name} has no value",
                help=f"did you mean ${close}?" if close else f"give it one: {mend.format(name)}",
                param=(param,),
                offset=offset,
            )
    for name in given:
        if name not in query.parameters:
            raise ParamError(f"the query has no ${name}", help="use it, or leave it out", param=("parameters", name))


def refuse_changing(text: str, param: str = "query") -> None:
    """Raise ParamError for what gives another result the next time: clocks, chance, internal names, any rows of many."""
    tokens = tokens_of(text)
    ordered = False
    for n, token in enumerate(tokens):
        called = token.kind == "word" and _text(tokens, n + 1) == "(" and _text(tokens, n - 1) != "."
        name = token.text.lower()
        if name in CLOCKS and "".join(_text(tokens, n + k) for k in (1, 2, 3)).lower() in _TICKS:
            what, mend = f"{name}{_text(tokens, n + 1)}{_text(tokens, n + 2)}() tells the time", _MEND
        elif called and (name in VOLATILE or (name in CLOCKS and _text(tokens, n + 2) == ")")):
            what, mend = f"{name}() gives another value each time", _MEND
        elif called and name in INTERNAL:
            what, mend = f"{name}() is where the database happens to keep it", "return `_key` and `label(n)` instead"
        elif token.upper in {"LIMIT", "SKIP"} and _is_clause(tokens, n) and not ordered:
            what = f"{token.upper} without ORDER BY takes any rows"
            mend = "write ORDER BY before it, or set `volatile: true`"
        else:
            if _is_clause(tokens, n) and token.upper in {"WITH", "RETURN", "ORDER"}:
                ordered = token.upper == "ORDER"
            continue
        raise ParamError(what, help=mend, param=(param,), offset=token.offset)


def place_of(text: str, *words: str) -> int:
    """Return where words first stand in a query beside each other, whatever their case; 0 if they do not."""
    tokens = tokens_of(text)
    wanted = [w.lower() for w in words]
    for n in range(len(tokens)):
        if [t.text.strip("`").lower() for t in tokens[n : n + len(wanted)]] == wanted:
            return tokens[n].offset
    return 0


def where_of(query: str, offset: int) -> Where:
    """Return a place in a query that stands in no file."""
    before, lines = query[:offset], query.splitlines() or [""]
    line = min(before.count("\n"), len(lines) - 1)
    return Where("query", line + 1, offset - (before.rfind("\n") + 1) + 1, lines[line])


def _refuse_others(tokens: Sequence[Token], *, writes: bool, param: str) -> None:
    for n, token in enumerate(tokens):
        what = mend = ""
        if token.kind == "symbol" and token.text == ";":
            what, mend = "these are several queries", "write one in each task"
        elif token.kind == "symbol" and token.text in "'\"`":
            what, mend = f"a {token.text} is not closed", "close it"
        elif n == 0 and token.upper not in {
            *BEGINS,
            *(WRITES if writes else ()),
            *WRITES,
            *OUTSIDE,
            "EXPLAIN",
            "PROFILE",
        }:
            close = near(token.upper, BEGINS)
            what = f"a query does not begin with '{token.text}'"
            mend = f"did you mean {close}?" if close else f"it begins with one of {', '.join(BEGINS)}"
        elif _is_clause(tokens, n) and token.upper in OUTSIDE:
            what, mend = f"{token.upper} is not for the graph", "a query reads the graph, and nothing else"
        elif token.upper == "CALL" and _text(tokens, n + 1).lower() == "dbms":
            what, mend = "procedures of `dbms` are about the server", "a query reads the graph, and nothing else"
        elif token.upper == "CALL" and _text(tokens, n + 2) == "=":
            what, mend = "settings cannot be changed here", "a query reads the graph, and nothing else"
        elif not writes and _is_clause(tokens, n) and token.upper in WRITES:
            what = f"{token.upper} would change the graph"
            mend = "a query only reads; `writes: true` in a graph.cypher task allows it"
        if what:
            raise ParamError(what, help=mend, param=(param,), offset=token.offset)


def _is_clause(tokens: Sequence[Token], n: int) -> bool:
    """Tell whether a word can be the first of a clause: it is no property, label, key of a map, alias or variable."""
    return (
        tokens[n].kind == "word"
        and _text(tokens, n - 1) not in {".", ":", "|", "&", "!", "("}
        and _text(tokens, n - 1).upper() != "AS"
        and _text(tokens, n + 1) not in {".", ":", ","}
    )


def _text(tokens: Sequence[Token], n: int) -> str:
    return tokens[n].text if 0 <= n < len(tokens) else ""


def _outer(tokens: Sequence[Token]) -> Iterator[tuple[int, Token]]:
    """Yield the tokens that are in no brackets, with their numbers."""
    depth = 0
    for n, token in enumerate(tokens):
        if token.text in _CLOSE and token.kind == "symbol":
            depth -= 1
        if depth == 0:
            yield n, token
        if token.text in _OPEN and token.kind == "symbol":
            depth += 1


def _last_return(tokens: Sequence[Token]) -> int | None:
    found = [n for n, token in _outer(tokens) if token.upper == "RETURN" and _is_clause(tokens, n)]
    return found[-1] if found else None


def _order(tokens: Sequence[Token], start: int) -> int | None:
    """Return where the order of the result ends; None if it has none, or holds for a part of a union only."""
    if any(token.upper == "UNION" for _, token in _outer(tokens)):
        return None
    after = [(n, t) for n, t in _outer(tokens) if n > start]
    if not any(t.upper == "ORDER" and _text(tokens, n + 1).upper() == "BY" for n, t in after):
        return None
    # Right behind the last word of the order: some engines take no blank before a comma.
    last = tokens[next((n for n, t in after if t.upper in {"SKIP", "LIMIT"}), len(tokens)) - 1]
    return last.offset + len(last.text)


def _ties(tokens: Sequence[Token], start: int) -> tuple[str, ...]:
    """Return the columns of a result as its order may name them: by alias, or as `n.property`."""
    items: list[list[int]] = [[]]
    stop = next(
        n for n, t in _outer(tokens) if n > start and t.upper == "ORDER" and _text(tokens, n + 1).upper() == "BY"
    )
    outer = {n for n, _ in _outer(tokens)}
    for n in range(start + 1, stop):
        if n in outer and tokens[n].text == ",":
            items.append([])
        else:
            items[-1].append(n)
    found = []
    for item in items:
        words = [tokens[n] for n in item if tokens[n].upper != "DISTINCT" or n != item[0]]
        if len(words) > 2 and words[-2].upper == "AS":
            found.append(words[-1].text)
        elif len(words) == 3 and words[1].text == "." and words[0].kind in {"word", "quoted"}:
            found.append("".join(w.text for w in words))
    return tuple(found)
