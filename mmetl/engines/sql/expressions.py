"""Expressions of DuckDB that stand alone in a param: exactly one, and nothing that reads a table."""

from __future__ import annotations

import sqlglot
from sqlglot import Token, TokenType, exp
from sqlglot.errors import ParseError, TokenError

from mmetl.errors import ParamError

_BEFORE, _AFTER = "select (\n", "\n)"
_DEPTH = {
    TokenType.L_PAREN: 1,
    TokenType.L_BRACKET: 1,
    TokenType.L_BRACE: 1,
    TokenType.R_PAREN: -1,
    TokenType.R_BRACKET: -1,
    TokenType.R_BRACE: -1,
}
_HELP = "write one expression, such as: delay > 15 and carrier is not null"


def check_expression(text: str, param: tuple[str | int, ...]) -> None:
    """Raise ParamError at its place in the param unless `text` is one expression without a subquery."""
    try:
        tokens = list(sqlglot.tokenize(text, dialect="duckdb"))
    except TokenError:
        raise ParamError(
            "this expression cannot be read: a quote or a comment is not closed", help=_HELP, param=param
        ) from None
    if not tokens:
        raise ParamError("the expression is empty", help=_HELP, param=param)
    _check_tokens(tokens, param)
    tree = _parse(text, param)
    if any(True for _ in tree.this.find_all(exp.Query, exp.Table)):
        at = next((t.start for t in tokens if t.text.lower() in {"select", "from", "values", "with"}), None)
        raise ParamError(
            "an expression cannot have a subquery", help="use tabular.join or tabular.sql", param=param, offset=at
        )
    inner = tree.this
    if isinstance(inner, exp.Alias | exp.Tuple | exp.Star) or (isinstance(inner, exp.Column) and inner.is_star):
        raise ParamError("this is not one expression", help=_HELP, param=param)


def _check_tokens(tokens: list[Token], param: tuple[str | int, ...]) -> None:
    """Refuse a second statement, and parentheses that would close what stands around the expression."""
    depth = 0
    for token in tokens:
        if token.token_type == TokenType.SEMICOLON:
            raise ParamError(
                "an expression is not a statement: it has no semicolon", help=_HELP, param=param, offset=token.start
            )
        depth += _DEPTH.get(token.token_type, 0)
        if depth < 0:
            raise ParamError(f"nothing opens this '{token.text}'", help=_HELP, param=param, offset=token.start)
    if depth:
        raise ParamError("this expression cannot be read: a parenthesis is not closed", help=_HELP, param=param)


def _parse(text: str, param: tuple[str | int, ...]) -> exp.Paren | exp.Subquery:
    try:
        (tree,) = sqlglot.parse(f"{_BEFORE}{text}{_AFTER}", dialect="duckdb")
    except ParseError as error:
        found = error.errors[0]
        lines = text.splitlines(keepends=True)[: max((found["line"] or 2) - 2, 0)]
        offset = sum(map(len, lines)) + (found["col"] or 0) - len(found["highlight"] or "")
        near = f" near '{found['highlight']}'" if (found["line"] or 2) - 2 < len(text.splitlines()) else ""
        raise ParamError(
            f"this expression cannot be read{near}", help=_HELP, param=param, offset=min(max(offset, 0), len(text) - 1)
        ) from None
    except (ValueError, RecursionError):
        raise ParamError("this expression cannot be read", help=_HELP, param=param) from None
    found_list = tree.expressions if tree is not None else []
    if len(found_list) != 1 or not isinstance(found_list[0], exp.Paren | exp.Subquery):
        raise ParamError("this is not one expression", help=_HELP, param=param)
    return found_list[0]
