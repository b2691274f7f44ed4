"""Words for messages."""

from __future__ import annotations

import pytest

from mmetl.utils.text import LINE_CHARACTERS, either, near, pointed


@pytest.mark.parametrize(
    ("name", "meant"), [("dims", "dim"), ("Model", "model"), ("modle", "model"), ("zzz", None), ("", None)]
)
def test_near(name: str, meant: str | None) -> None:
    """Close in spelling, whatever the case."""
    assert near(name, ["dim", "model", "metric"]) == meant


def test_near_keeps_the_spelling_of_the_choice() -> None:
    """The answer can be copied."""
    assert near("mydb", ["MyDB"]) == "MyDB"


@pytest.mark.parametrize(
    ("words", "text"), [([], ""), (["a"], "a"), (["a", "b", "a"], "a or b"), (["a", "b", "c"], "a, b or c")]
)
def test_either(words: list[str], text: str) -> None:
    """Each once, in order."""
    assert either(words) == text


@pytest.mark.parametrize(
    ("line", "column", "at"),
    [
        ("x" * 500 + "HERE" + "y" * 500, 501, "HERE"),
        ("HERE" + "y" * 500, 1, "HERE"),
        ("x" * 500 + "HERE", 501, "HERE"),
        ("x" * 500, 501, ""),
        ("a\tHERE", 3, "HERE"),
        ("a", 4, ""),
    ],
)
def test_pointed(line: str, column: int, at: str) -> None:
    """The place is in what is shown of a line, which is never long."""
    text, before = pointed(line, column)
    assert len(text) <= LINE_CHARACTERS + 2
    assert text[before : before + 4] == at
    assert before == column - 1 or text.startswith("…")
