"""A query made of our own SQL and of the expressions of a pipeline: of each place in it, which param it came from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

Place = tuple[str | int, ...]
"""Path of a param below `params`."""


class Expression(NamedTuple):
    """An expression that somebody wrote, and the param in which it stands."""

    text: str
    param: Place


class Named(NamedTuple):
    """A column that a param names; each of `inputs` must have it. `text`: the param's value, if not the column."""

    column: str
    param: Place
    inputs: tuple[str, ...]
    text: str | None = None


class Query(NamedTuple):
    """One query, and the expressions in it with the characters before each."""

    sql: str
    expressions: tuple[tuple[int, Expression], ...]

    def place(self, offset: int) -> tuple[Expression, int] | None:
        """Return the expression that a character belongs to, and how far into it that is."""
        for start, expression in self.expressions:
            if start <= offset <= start + len(expression.text):
                return expression, offset - start
        return None


def query(pieces: Iterable[str | Expression]) -> Query:
    r"""Join pieces. An expression stands in parentheses on lines of its own, so that a comment ends with it.

    >>> query(["select ", Expression("1 -- one", ("x",))])
    Query(sql='select (\\n1 -- one\\n)', expressions=((9, Expression(text='1 -- one', param=('x',))),))
    """
    text, found = "", []
    for piece in pieces:
        if isinstance(piece, Expression):
            found.append((len(text) + 2, piece))
            text += f"(\n{piece.text}\n)"
        else:
            text += piece
    return Query(text, tuple(found))
