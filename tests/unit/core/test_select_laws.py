"""What holds of selectors over any graph."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmetl.contracts.plan import Plan, TaskNode
from mmetl.core.selectors.asked import Asked
from mmetl.core.selectors.evaluate import Evaluator, Known
from mmetl.core.selectors.parser import parse
from mmetl.errors import UsageError

NAMES = [f"t{n}" for n in range(8)]
PAIRS = list(itertools.combinations(range(len(NAMES)), 2))
STATES = st.sets(st.sampled_from(["stale", "fresh", "new"]))


@st.composite
def evaluators(draw: st.DrawFn) -> Evaluator:
    """Return a graph of eight tasks, each needing some of those before it, and their states."""
    edges = draw(st.sets(st.sampled_from(PAIRS)))
    nodes = {}
    for n, name in enumerate(NAMES):
        above = [NAMES[a] for a, b in sorted(edges) if b == n]
        nodes[name] = TaskNode(name, "", tables=above[::2], after=above[1::2])
    return Evaluator(Plan("", "p", nodes), Known(states={n: draw(STATES) for n in NAMES}))


STEPS = st.sampled_from(["", "1", "2", "3"])
VALUES = st.sampled_from([*NAMES, "t*", "t[0-3]", "state:stale", "state:new", "p:t4"])
ATOMS = st.one_of(
    st.builds(
        "{}{}{}".format, st.one_of(st.just(""), STEPS.map("{}+".format)), VALUES, st.sampled_from(["", "+", "+2"])
    ),
    VALUES.map("@{}".format),
)
WORDS = st.lists(ATOMS, min_size=1, max_size=3).map(",".join)
SELECTORS = st.lists(WORDS, min_size=1, max_size=3).map(" ".join)


def stands_for(evaluator: Evaluator, *texts: str) -> set[str]:
    return evaluator.tasks(parse(texts, evaluator.plan))


@settings(deadline=None)
@given(evaluators(), SELECTORS, SELECTORS, WORDS, WORDS)
def test_laws_of_sets(evaluator: Evaluator, a: str, b: str, word: str, other: str) -> None:
    """A space is a union, however it is written; a comma an intersection; order and repetition do not matter."""
    union = stands_for(evaluator, a) | stands_for(evaluator, b)
    assert stands_for(evaluator, a, b) == stands_for(evaluator, f"{b}  {a}") == stands_for(evaluator, a, b, a) == union
    both = stands_for(evaluator, word) & stands_for(evaluator, other)
    assert stands_for(evaluator, f"{word},{other}") == stands_for(evaluator, f"{other},{word},{word}") == both
    assert both <= stands_for(evaluator, word) <= stands_for(evaluator, f"{word} {other}")
    assert stands_for(evaluator, f"{word},*") == stands_for(evaluator, word)


@settings(deadline=None)
@given(evaluators(), st.sampled_from(NAMES), st.integers(1, 8))
def test_graph_operators_agree_with_paths(evaluator: Evaluator, name: str, steps: int) -> None:
    """`n+x` is what a path of up to n steps leads from to x, found by powers of the adjacency matrix."""
    nodes = evaluator.plan.tasks
    within = {0: {(n, n) for n in NAMES}}
    edges = {(up, n) for n in NAMES for up in (*nodes[n].tables, *nodes[n].after)}
    for length in range(1, len(NAMES) + 1):
        before = within[length - 1]
        within[length] = before | {(a, c) for (a, b) in edges for (b2, c) in before if b == b2}
    paths = within[len(NAMES)]
    assert stands_for(evaluator, f"+{name}") == {a for a, b in paths if b == name}
    assert stands_for(evaluator, f"{name}+") == {b for a, b in paths if a == name}
    assert stands_for(evaluator, f"{steps}+{name}") == {a for a, b in within[steps] if b == name}
    assert stands_for(evaluator, f"{name}+{steps}") == {b for a, b in within[steps] if a == name}
    below = {b for a, b in paths if a == name}
    assert stands_for(evaluator, f"@{name}") == {a for a, b in paths if b in below}
    assert stands_for(evaluator, f"+{name}+") == stands_for(evaluator, f"+{name} {name}+")


@settings(deadline=None)
@given(evaluators(), SELECTORS, SELECTORS)
def test_exclude_is_the_difference(evaluator: Evaluator, a: str, b: str) -> None:
    """What is left of a selection is what the excluded does not stand for; nothing left is an error, unless it changes by itself."""
    asked = Asked(evaluator, parse([a], evaluator.plan), parse([b], evaluator.plan, "--exclude"))
    left = stands_for(evaluator, a) - stands_for(evaluator, b)
    if left or "state:" in a + b or "result:" in a + b:
        assert asked.tasks() == left
    else:
        with pytest.raises(UsageError, match="the selection is empty"):
            asked.tasks()
