"""Order, cycles and reach."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmetl.core.dag import CycleError, downstream, topological_sort, upstream
from mmetl.errors import ExitCode

DEEP = 10_000

ORDERS: dict[str, tuple[dict[str, list[str]], list[str]]] = {
    "nothing": ({}, []),
    "order of the text": ({"b": [], "a": [], "c": []}, ["b", "a", "c"]),
    "needs come first": ({"c": ["b"], "b": ["a"], "a": []}, ["a", "b", "c"]),
    "diamond": ({"d": ["b", "c"], "c": ["a"], "b": ["a"], "a": []}, ["a", "b", "c", "d"]),
    "unknown needs are left out": ({"a": ["x"], "b": ["a"]}, ["a", "b"]),
    "needed twice": ({"b": ["a", "a"], "a": []}, ["a", "b"]),
}


@pytest.mark.parametrize(("needs", "order"), ORDERS.values(), ids=ORDERS.keys())
def test_order(needs: dict[str, list[str]], order: list[str]) -> None:
    """Every name comes after what it needs, otherwise in the order given."""
    assert topological_sort(needs) == order


CYCLES: dict[str, tuple[dict[str, list[str]], tuple[str, ...]]] = {
    "itself": ({"a": ["a"]}, ("a", "a")),
    "two": ({"a": ["b"], "b": ["a"]}, ("b", "a", "b")),
    "three": ({"a": ["b"], "b": ["c"], "c": ["a"]}, ("c", "b", "a", "c")),
    "behind a tail": ({"t": ["a"], "a": ["b"], "b": ["c"], "c": ["b"]}, ("c", "b", "c")),
    "beside a tree": ({"x": [], "y": ["x"], "a": ["y", "b"], "b": ["a"]}, ("b", "a", "b")),
}


@pytest.mark.parametrize(("needs", "cycle"), CYCLES.values(), ids=CYCLES.keys())
def test_cycle_is_named(needs: dict[str, list[str]], cycle: tuple[str, ...]) -> None:
    """The error names one whole cycle, each needed by the next, and nothing beside it."""
    with pytest.raises(CycleError) as caught:
        topological_sort(needs)
    assert caught.value.cycle == cycle
    assert caught.value.what == "tasks need each other in a circle: " + " -> ".join(cycle)
    assert caught.value.exit_code is ExitCode.CONFIG
    assert all(before in needs[after] for before, after in itertools.pairwise(cycle))


def test_deep_chain() -> None:
    """Depth is not limited by Python's stack."""
    names = [f"t{n}" for n in range(DEEP)]
    needs = {name: [before] for before, name in itertools.pairwise(names)} | {"t0": []}
    assert topological_sort(needs) == names
    assert len(upstream(needs, [names[-1]])) == len(downstream(needs, ["t0"])) == DEEP
    with pytest.raises(CycleError) as caught:
        topological_sort({**needs, "t0": [names[-1]]})
    assert len(caught.value.cycle) == DEEP + 1


NEEDS = {"a": [], "b": ["a"], "c": ["b"], "d": ["b", "x"], "e": []}


@pytest.mark.parametrize(
    ("roots", "up", "down"),
    [
        (["a"], "a", "abcd"),
        (["b"], "ab", "bcd"),
        (["d"], "abdx", "d"),
        (["e"], "e", "e"),
        (["c", "e"], "abce", "ce"),
        ([], "", ""),
    ],
)
def test_reach(roots: list[str], up: str, down: str) -> None:
    """The roots are part of what they reach."""
    assert upstream(NEEDS, roots) == set(up)
    assert downstream(NEEDS, roots) == set(down)


graphs = st.dictionaries(st.sampled_from("abcdefgh"), st.lists(st.sampled_from("abcdefgh"), max_size=3), max_size=8)


def cycle_of(needs: dict[str, list[str]]) -> tuple[str, ...]:
    try:
        topological_sort(needs)
    except CycleError as e:
        return e.cycle
    return ()


@given(graphs)
def test_every_graph_is_ordered_or_has_a_cycle(needs: dict[str, list[str]]) -> None:
    """There is an order exactly where there is no cycle, and the cycle named is one."""
    cycle = cycle_of(needs)
    if cycle:
        assert cycle[0] == cycle[-1]
        assert all(before in needs[after] for before, after in itertools.pairwise(cycle))
    else:
        order = topological_sort(needs)
        assert sorted(order) == sorted(needs)
        assert all(order.index(n) < order.index(name) for name in needs for n in needs[name] if n in needs)
