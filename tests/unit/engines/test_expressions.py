"""What is one expression, and where in the text it is said that something is none."""

from __future__ import annotations

import pytest

from mmetl.engines.sql.expressions import check_expression
from mmetl.errors import ParamError

GOOD = [
    "a > 1 and not b",
    "x -- a comment",
    "case when a then b end",
    "count(*) filter (where x > 1)",
    "sum(x) over (partition by y order by z)",
    "list_transform(l, x -> x + 1)",
    "interval 1 day",
    "a[1:2]",
    "';' || '('",
]
BAD = {
    "": ("the expression is empty", None),
    "a >": ("this expression cannot be read", 2),
    "a b": ("this is not one expression", None),
    "a, b": ("this is not one expression", None),
    "*": ("this is not one expression", None),
    "t.*": ("this is not one expression", None),
    "'a": ("this expression cannot be read: a quote or a comment is not closed", None),
    "(a": ("this expression cannot be read: a parenthesis is not closed", None),
    "a) or (b": ("nothing opens this ')'", 1),
    "a;": ("an expression is not a statement: it has no semicolon", 1),
    "a\nlimit 1": ("this expression cannot be read near 'limit'", 2),
    "drop table x": ("this expression cannot be read near 'drop'", 0),
    "select 1": ("an expression cannot have a subquery", 0),
    "a in (from t)": ("an expression cannot have a subquery", 6),
    "exists(select 1)": ("an expression cannot have a subquery", 7),
}


@pytest.mark.parametrize("text", GOOD)
def test_expressions(text: str) -> None:
    check_expression(text, ("where",))


@pytest.mark.parametrize("text", BAD)
def test_no_expressions(text: str) -> None:
    with pytest.raises(ParamError) as error:
        check_expression(text, ("where",))
    assert (error.value.what, error.value.offset) == BAD[text]
    assert error.value.param == ("where",)
