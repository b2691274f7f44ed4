"""Words for messages."""

from __future__ import annotations

import pytest

from mmetl.utils.text import either, near


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
