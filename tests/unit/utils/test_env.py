"""The environment that remembers."""

from __future__ import annotations

import pytest

from mmetl.utils.env import Env


def test_seen_lists_what_was_asked() -> None:
    """Absent names count as well, and an empty variable is set."""
    env = Env({"B": "2", "A": "", "C": "3"})
    assert (env.get("B"), env.get("A"), env.get("NONE")) == ("2", "", None)
    assert env.seen == {"A": "", "B": "2", "NONE": None}
    assert list(env.seen) == ["A", "B", "NONE"]


def test_default_is_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without values the process's own environment is meant, as it is at the time of asking."""
    env = Env()
    monkeypatch.setenv("MMETL_TEST", "x")
    assert env.get("MMETL_TEST") == "x"
