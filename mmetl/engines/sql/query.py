"""What a query is, known from its text: the tables it reads, its canonical form, and why threads may change its result."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import sqlglot
from sqlglot import Token, TokenType, exp
from sqlglot.errors import ParseError, TokenError

from mmetl.engines.sql.analysis import Analysis, Doubt, Mention
from mmetl.engines.sql.functions import HARD, ROW, SUMS, TABLE_FUNCTIONS, UNORDERED, VOLATILE, VOLATILE_WORDS, words
from mmetl.errors import ParamError

_RESERVED = words(
    "all and any as asc both by case cast check collate cross desc distinct else end except exists false fetch for from full"
    " group having in inner intersect into is join lateral leading left like limit not null offset on only or order outer"
    " over partition pivot qualify recursive returning right select some symmetric table then to trailing true union unpivot"
    " using values when where window with"
)
# Words that DuckDB allows as names: where they are keywords, they stand after, or before, another word.
_AFTER = {"over": ")", "recursive": "with"}
_BEFORE = {"exists": "(", "partition": "by", "values": "("}
_OPEN = {TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE}
_CLOSE = {TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE}
_AFTER_ORDER = {"limit", "offset", "fetch", "using"}
_PREFIX = {TokenType.VAR, TokenType.DOT, TokenType.NUMBER}
_TOUCHING = {
    TokenType.NUMBER,
    TokenType.STRING,
    TokenType.VAR,
}  # `x'ab'`, `.5`, `0x1f`: something else when written apart
NAME_LENGTH = 63  # of a task's name
_FILE = re.compile(r"[/*?:]|\.[A-Za-z0-9]+$")
_EXTENSIONS = {"csv", "tsv", "txt", "json", "ndjson", "jsonl", "parquet", "db", "sqlite", "xlsx", "gz", "duckdb"}


def analyse(sql: str, *, volatile: bool = False) -> Analysis:
    """Read a query in DuckDB's dialect.

    Args:
        sql: exactly one query.
        volatile: allow functions whose value changes from call to call.

    Raises:
        ParamError: if it is no query, or reads what is not a task, or uses a volatile function.
    """
    tokens = _tokens(sql)
    tree = _parse(sql)
    _refuse_functions(sql, tokens, tree, volatile=volatile)
    tables: dict[str, Mention] = {}
    for mention in _tables(tree, frozenset()):
        tables.setdefault(mention.name.lower(), mention)
    start = tokens[0].start
    ordered, ties_at = _order(tokens)
    names = [name for n, t in enumerate(tokens) if (name := _called(tokens, n, t.text))]
    return Analysis(
        sql=sql,
        start=start,
        end=tokens[-1].end + 1,
        canonical=_canonical(sql, tokens),
        tables=tuple(tables.values()),
        doubts=(*_doubts(names, tree), *(Doubt(r, of_sums=False) for r in _structure(tokens, tree, ordered=ordered))),
        sums=sum(1 for name in names if name in SUMS),
        exact_if=tuple(_exact_if(tree, names)),
        ordered=ordered,
        ties_at=None if ties_at is None else ties_at - start,
    )


def statement(sql: str, dialect: str = "duckdb") -> str:
    """Return a query without the semicolons and comments behind it, so that it can stand in another one."""
    return sql[: _tokens(sql, dialect)[-1].end + 1].strip()


def _tokens(sql: str, dialect: str = "duckdb") -> list[Token]:
    """Return the tokens of the one statement in `sql`."""
    try:
        tokens = list(sqlglot.tokenize(sql, dialect=dialect))
    except TokenError:
        raise ParamError("this SQL cannot be read: a quote or a comment is not closed", param=("sql",)) from None
    while tokens and tokens[-1].token_type == TokenType.SEMICOLON:
        tokens.pop()
    if not tokens:
        raise ParamError("the SQL is empty", help="write a query, such as: select * from other_task", param=("sql",))
    for n, token in enumerate(tokens):
        if token.token_type == TokenType.SEMICOLON:
            raise ParamError(
                "this SQL has more than one statement",
                help="a task is one query: use one task for each, or `with ... as (...)`",
                param=("sql",),
                offset=tokens[n + 1].start,
            )
    return tokens


def _parse(sql: str) -> exp.Expr:
    try:
        statements = sqlglot.parse(sql, dialect="duckdb")
        (tree,) = (
            t for t in statements if t is not None and not isinstance(t, exp.Semicolon)
        )  # or a comment behind it
    except ParseError as error:
        found = error.errors[0]
        line_start = sum(len(line) for line in sql.splitlines(keepends=True)[: found["line"] - 1])
        offset = max(line_start + found["col"] - len(found["highlight"]), 0)
        raise ParamError(
            f"this SQL cannot be read near '{found['highlight']}'", param=("sql",), offset=offset
        ) from None
    except (ValueError, RecursionError):
        raise ParamError("this SQL cannot be read", param=("sql",)) from None
    if not isinstance(tree, exp.Query | exp.Values | exp.Pivot):
        raise ParamError(
            "this SQL is not a query",
            help="tabular.sql takes one SELECT; what it returns is the task's table",
            param=("sql",),
        )
    return tree


def _canonical(sql: str, tokens: Sequence[Token]) -> str:
    """Join the tokens as they are written. A parsed and printed query would lose the names of unnamed columns."""
    out: list[str] = []
    for n, token in enumerate(tokens):
        text = sql[token.start : token.end + 1]
        before = tokens[n - 1] if n else None
        if all(word in _RESERVED for word in text.lower().split()) and not _is_name(tokens, n):
            text = " ".join(text.lower().split())
        touches = (
            before and before.end + 1 == token.start and token.token_type in _TOUCHING and before.token_type in _PREFIX
        )
        out.append(text if before is None or touches else f" {text}")
    return "".join(out)


def _is_name(tokens: Sequence[Token], n: int) -> bool:
    """Tell whether a word stands where a name may stand, so that its case may be that of a column or a field.

    A keyword taken for a name costs a run when its case is changed; a name taken for a keyword would cost a wrong result.
    """
    before = tokens[n - 1] if n else None
    after = tokens[n + 1] if n + 1 < len(tokens) else None
    if before and before.token_type in {TokenType.ALIAS, TokenType.DOT}:
        return True
    if after and after.token_type in {TokenType.COLON, TokenType.COLON_EQ, TokenType.FARROW}:
        return True
    word = tokens[n].text.lower()
    if word in _AFTER:
        return before is None or before.text.lower() != _AFTER[word]
    return word in _BEFORE and (after is None or after.text.lower() != _BEFORE[word])


def _tables(node: exp.Expr, hidden: frozenset[str]) -> Iterator[Mention]:
    """Yield the tables below a node that are no CTE; `hidden` are the CTE names that can be seen from it."""
    cte_list: Any = node.args.get("with_")
    for cte in cte_list.expressions if cte_list else ():
        inside = hidden | {cte.alias.lower()} if cte_list.args.get("recursive") else hidden
        yield from _tables(cte.this, inside)
        hidden |= {cte.alias.lower()}
    if isinstance(node, exp.Table) and isinstance(node.this, exp.Identifier):
        mention = Mention(node.name, int(node.meta.get("start", node.this.meta.get("start", 0))))
        if node.args.get("db") or _FILE.search(node.name):
            raise _not_a_task(
                ".".join(p.name for p in node.parts), int(node.parts[0].meta.get("start", mention.offset))
            )
        if node.name.lower() not in hidden:
            yield mention
    for child in node.iter_expressions():
        if child is not cte_list:
            yield from _tables(child, hidden)


def _not_a_task(name: str, offset: int) -> ParamError:
    last = name.rsplit(".", 1)[-1].lower()
    if last in _EXTENSIONS or _FILE.search(name.replace(f".{last}", "")):
        return _file(name, offset)
    return ParamError(
        f"'{name}' has a schema; a query reads tasks of this pipeline by their names",
        help=f"write the name of a task, such as: from {last}",
        param=("sql",),
        offset=offset,
    )


def _file(path: str, offset: int) -> ParamError:
    words = re.findall(r"[a-z0-9]+", re.sub(r"\.[^/]*$", "", path).rsplit("/", 1)[-1].lower())
    task = "_".join(words).lstrip("0123456789_")[:NAME_LENGTH] or "rows"
    task += "_rows" if task in _RESERVED else ""
    return ParamError(
        f"a query cannot read the file '{path}' itself: a change of the file would go unseen",
        help=f"add a task `{task}: {{transform: tabular.read, params: {{path: {path}}}}}` and write: from {task}",
        param=("sql",),
        offset=offset,
    )


def _refuse_functions(sql: str, tokens: Sequence[Token], tree: exp.Expr, *, volatile: bool) -> None:
    """Refuse table functions that read from outside, and functions with another value at each call."""
    for table in tree.find_all(exp.Table):
        if isinstance(table.this, exp.Func):
            _refuse_table_function(table, tokens)
    for n, token in enumerate(tokens):
        name = sql[token.start : token.end + 1].lower()
        if not volatile and (_called(tokens, n, token.text) in VOLATILE or _is_word(tokens, n, name)):
            raise _volatile(name, token.start)
    for call in tree.find_all(exp.Anonymous):
        if not volatile and call.name.lower() == "age" and len(call.expressions) == 1:
            raise _volatile("age", int(call.meta.get("start", 0)))
    for sample in tree.find_all(exp.TableSample):
        if not volatile and not sample.args.get("seed"):
            raise _volatile("sample", next((t.start for t in tokens if "sample" in t.text.lower()), 0))


def _refuse_table_function(table: exp.Table, tokens: Sequence[Token]) -> None:
    start = int(table.meta.get("start", table.this.meta.get("start", -1)))
    at = next((n for n, t in enumerate(tokens) if t.start == start), None)
    name = tokens[at].text.lower() if at is not None else type(table.this).__name__.lower()
    if name in TABLE_FUNCTIONS or isinstance(table.this, exp.GenerateSeries | exp.Unnest):
        return
    argument = tokens[at + 2] if at is not None and at + 2 < len(tokens) else None
    if (
        name.startswith(("read_", "parquet_scan", "glob", "sniff"))
        and argument
        and argument.token_type == TokenType.STRING
    ):
        raise _file(argument.text, max(start, 0))
    raise ParamError(
        f"a query cannot call the table function '{name}': it looks outside of the pipeline",
        help=f"these can be called: {', '.join(sorted(TABLE_FUNCTIONS))}",
        param=("sql",),
        offset=max(start, 0),
    )


def _volatile(name: str, offset: int) -> ParamError:
    return ParamError(
        f"'{name}' has another value at each run, so the result could not be reused",
        help="pass the value in with `${var:name}` and `--var name=value`, or set `volatile: true`",
        param=("sql",),
        offset=offset,
    )


def _called(tokens: Sequence[Token], n: int, text: str) -> str | None:
    """Return the lower-case name of the function that token `n` calls, or None."""
    if (
        n + 1 < len(tokens)
        and tokens[n + 1].token_type == TokenType.L_PAREN
        and tokens[n].token_type != TokenType.STRING
    ):
        return text.lower()
    return None


def _is_word(tokens: Sequence[Token], n: int, name: str) -> bool:
    """Tell whether token `n` is a clock that is read without parentheses, such as `current_date`."""
    if name not in VOLATILE_WORDS:  # a quoted name has its quotes and is not there
        return False
    return not n or tokens[n - 1].token_type not in {TokenType.ALIAS, TokenType.DOT}


def _order(tokens: Sequence[Token]) -> tuple[bool, int | None]:
    """Return whether the outermost query has an ORDER BY, and the offset after its last column (None for ORDER BY ALL)."""
    tokens = _without_parentheses(tokens)
    depth, last, inside = 0, None, None
    for n, token in enumerate(tokens):
        depth += (token.token_type in _OPEN) - (token.token_type in _CLOSE)
        if depth == 0 and token.token_type == TokenType.ORDER_BY:
            inside, last = n, n
        elif depth == 0 and inside is not None and token.text.lower() in {*_AFTER_ORDER, "select"}:
            break
        elif inside is not None:
            last = n
    if inside is None or last is None:
        return False, None
    words = [t.text.lower() for t in tokens[inside + 1 : last + 1]]
    return True, None if words[:1] == ["all"] else tokens[last].end + 1


def _without_parentheses(tokens: Sequence[Token]) -> Sequence[Token]:
    """Return the tokens without parentheses around all of them."""
    while tokens[0].token_type == TokenType.L_PAREN:
        depths = itertools.accumulate((t.token_type in _OPEN) - (t.token_type in _CLOSE) for t in tokens)
        if next(n for n, depth in enumerate(depths) if depth == 0) < len(tokens) - 1:
            break
        tokens = tokens[1:-1]
    return tokens


def _doubts(names: Sequence[str], tree: exp.Expr) -> Iterator[Doubt]:
    """Yield why a function that is called may give another result on more threads. Each was found by running it; see tests/unit/engines."""
    lists = sum(1 for a in tree.find_all(exp.ArrayAgg, exp.GroupConcat) if _orders_itself(a.this))
    for name in dict.fromkeys(names):
        if name in SUMS:
            yield Doubt(f"'{name}' adds numbers that may be floats in any order", of_sums=True)
        elif name in UNORDERED and sum(1 for x in names if x in UNORDERED) > lists:
            yield Doubt(f"'{name}' takes rows in any order", of_sums=False)
        elif name in HARD and not (name == "row_number" and names.count(name) == _total_windows(tree)):
            yield Doubt(f"'{name}' {HARD[name]}", of_sums=False)


def _structure(tokens: Sequence[Token], tree: exp.Expr, *, ordered: bool) -> Iterator[str]:
    outer: Any = tree
    while isinstance(outer, exp.Subquery) and not outer.args.get("limit"):
        outer = outer.this
    final = {id(outer.args.get(part)) for part in ("limit", "offset")} if ordered else set()
    limits = tree.find_all(exp.Limit, exp.Offset, exp.Fetch)
    if any(id(node) not in final and not _is_total(node.parent, node.parent) for node in limits):
        yield "LIMIT without a total order takes any rows"
    if any(d.args.get("on") for d in tree.find_all(exp.Distinct)):
        yield "DISTINCT ON takes any row of those that tie"
    if any(str(s.args.get("kind", "")).upper() == "ROWS" for s in tree.find_all(exp.WindowSpec)):
        yield "a window of ROWS splits rows that tie"
    if any(str(j.args.get("method", "")).upper() in {"ASOF", "POSITIONAL"} for j in tree.find_all(exp.Join)):
        yield "this join takes any row of those that tie"
    if any(True for _ in tree.find_all(exp.TableSample)):
        yield "a sample takes any rows"
    texts = [t.text.lower() for t in tokens]
    if "collate" in texts:
        yield "COLLATE takes any of the texts that it holds equal"
    if "summarize" in texts:
        yield "SUMMARIZE estimates"
    if ("using", "key") in itertools.pairwise(texts):
        yield "a recursive CTE with USING KEY keeps any row of a key"


def _total_windows(tree: exp.Expr) -> int:
    """Return how many `row_number()` number rows of which no two tie unless they are equal."""
    windows = [w for w in tree.find_all(exp.Window) if isinstance(w.this, exp.RowNumber)]
    return sum(1 for w in windows if _is_total(w, w.find_ancestor(exp.Select)))


def _is_total(ordered: Any, select: Any) -> bool:
    """Tell whether an ORDER BY ends with the whole row of the one table that its query reads, which is named ROW."""
    source: Any = select.args.get("from_") if isinstance(select, exp.Select) else None
    order: Any = ordered.args.get("order") if source else None
    if not order or not isinstance(source.this, exp.Table):
        return False
    # Without joins, samples or pivots, wherever they may be written.
    alone = {k for k, found in source.this.args.items() if found} == {"this", "alias"}
    alone &= not (select.args.get("joins") or select.args.get("laterals") or select.args.get("sample"))
    last = order.expressions[-1].this
    return bool(
        alone and source.this.alias == ROW and isinstance(last, exp.Column) and not last.table and last.name == ROW
    )


def _exact_if(tree: exp.Expr, names: Collection[str]) -> Iterator[tuple[str, ...]]:
    """Yield for each sum that may add exact numbers which columns then have to be exact."""
    renaming = (exp.SetOperation, exp.Pivot, exp.Unnest, exp.Explode)
    renamed = {"columns", "unnest", "struct_extract"} & set(names) or any(True for _ in tree.find_all(*renaming))
    made = {a.alias.lower() for a in tree.find_all(exp.Alias, exp.PropertyEQ)}
    made |= {i.name.lower() for t in tree.find_all(exp.TableAlias) for i in t.columns}
    tables = {t.alias_or_name.lower() for t in tree.find_all(exp.Table, exp.Subquery, exp.CTE)}
    for node in tree.find_all(exp.Sum, exp.Avg):
        needed = _needed(node.this, tables)
        # A column's name must mean nothing else anywhere in the query.
        if needed is not None and not (needed & made) and not (needed and renamed):
            yield tuple(sorted(needed))


def _needed(node: Any, tables: Collection[str]) -> frozenset[str] | None:
    """Return the columns that have to be exact for an expression to be an integer or a decimal; None: it may be neither even then."""
    if isinstance(node, exp.Column):
        owned = len(node.parts) == 1 or (len(node.parts) == 2 and node.table.lower() in tables)
        return frozenset({node.name.lower()}) if owned else None
    if isinstance(node, exp.Cast):
        exact = node.to.this in exp.DataType.INTEGER_TYPES or node.to.this == exp.DType.DECIMAL
        return frozenset() if exact else None
    if isinstance(node, exp.Literal):
        return None if node.is_string or not node.name.isdigit() else frozenset()
    inner = _all_of(node)
    if inner is None:
        return frozenset() if isinstance(node, exp.Null | exp.Count | exp.Length | exp.RowNumber) else None
    found = [_needed(part, tables) for part in inner]
    return None if None in found else frozenset().union(*(f for f in found if f))


def _all_of(node: Any) -> list[Any] | None:
    """Return the parts of an expression that is exact if all of them are; None for others."""
    if isinstance(node, exp.Case):
        return [*(i.args["true"] for i in node.args["ifs"]), node.args.get("default") or exp.Null()]
    if isinstance(node, exp.If):
        return [node.args["true"], node.args.get("false") or exp.Null()]
    if isinstance(node, exp.Distinct):
        return list(node.expressions)
    if isinstance(node, exp.Coalesce):
        return [node.this, *node.expressions]
    if isinstance(node, exp.Add | exp.Sub | exp.Mul):
        return [node.left, node.right]
    return [node.this] if isinstance(node, exp.Paren | exp.Neg | exp.Abs | exp.Order | exp.Filter) else None


def _orders_itself(node: Any) -> bool:
    """Tell whether a list or text is put in the order of the very values that it holds."""
    if not isinstance(node, exp.Order):
        return False
    held = node.this.expressions[0] if isinstance(node.this, exp.Distinct) else node.this
    return any(o.this == held for o in node.expressions)
