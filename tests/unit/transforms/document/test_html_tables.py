"""Tables of HTML: those with rows of their own stay tables, whatever stands in their cells; others lay out the page."""

from __future__ import annotations

import pytest

from mmetl.transforms.document.parsers.html import markdown_of

IN_A_CELL = {
    "a table": (
        "<table><tr><th>A<th>B<tr><td>1<td>x <table><tr><td>i<td>j<tr><td><td>k | k<td>l</table> y<tr><td>2<td>3</table>",
        "| A | B |\n| --- | --- |\n| 1 | x i, j; k \\| k, l y |\n| 2 | 3 |",
    ),
    "a table in a table": (
        "<table><thead><tr><th>H</thead><tr><td><table><tr><td>k<td><table><tr><td>l<td>m</table></table></table><p>end",
        "| H |\n| --- |\n| k, l, m |\n\nend",
    ),
    "an empty table": ("<table><tr><th>A<td><table></table>x</table>", "| A | x |\n| --- | --- |"),
    "lists": (
        "<table><tr><th>N<td>of <ul><li>x <li> <b>y</b> z <ol><li>in<li>ner</ol><li></li><li>w</ul> after</table>",
        "| N | of x; y z in; ner; w after |\n| --- | --- |",
    ),
    "paragraphs and breaks": (
        "<table><tr><th>N<td><p>a</p><p>b</p><td>c<br>d</table>",
        "| N | a b | c d |\n| --- | --- | --- |",
    ),
    "a table in each of two rows": (
        "<table><tr><th>A<td><table><tr><td>i<td>j</table><tr><th>B<td><table><tr><td>u<td>v</table></table>",
        "| A | i, j |\n| --- | --- |\n| B | u, v |",
    ),
    "no head: it lays out the page": (
        "<table><tr><td>one<td><table><tr><td>i<td>j</table></table>",
        "one\n\n| i | j |\n| --- | --- |",
    ),
    "a heading: it lays out the page": (
        "<table><tr><th>one<td><h2>two</h2><table><tr><td>i<td>j</table></table>",
        "one\n\n## two\n\n| i | j |\n| --- | --- |",
    ),
    "the head of the inner one: it lays out the page": (
        "<table><tr><td>one<table><tr><th>i<th>j</table></table>",
        "one\n\n| i | j |\n| --- | --- |",
    ),
}


@pytest.mark.parametrize(("html", "markdown"), IN_A_CELL.values(), ids=IN_A_CELL)
def test_what_stands_in_a_cell(html: str, markdown: str) -> None:
    assert markdown_of(html).text == markdown


def test_tables_in_tables_without_end() -> None:
    """Depth costs no recursion, and no text is lost."""
    words = markdown_of("<table><tr><th>A<td>" * 500 + "deep").text
    assert words == "| A | " + "A, " * 499 + "deep |\n| --- | --- |"
