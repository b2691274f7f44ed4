"""Order tasks by what they need; name a cycle when there is one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mmetl.errors import ExitCode, MmetlError

ANY = float("inf")  # steps


class CycleError(MmetlError):
    """Tasks need each other in a circle.

    Attributes:
        cycle: the tasks of one cycle, each needed by the next; the first is named again at the end.
    """

    exit_code = ExitCode.CONFIG

    def __init__(self, what: str, help: str, cycle: tuple[str, ...]) -> None:  # noqa: A002  the field's name
        super().__init__(what, None, help)
        self.cycle = cycle


def topological_sort(needs: Mapping[str, Iterable[str]]) -> list[str]:
    """Return all names, each after those that it needs; otherwise in the order given.

    Args:
        needs: name -> the names that it needs. A needed name that is not a key is left out.

    Raises:
        CycleError: naming one cycle.
    """
    order: list[str] = []
    state: dict[str, int] = {}  # 1: being visited, 2: placed
    for start in needs:
        if start in state:
            continue
        state[start] = 1
        stack = [(start, iter(needs[start]))]
        while stack:
            name, rest = stack[-1]
            for needed in rest:
                if needed not in needs:
                    continue
                seen = state.get(needed)
                if seen is None:
                    state[needed] = 1
                    stack.append((needed, iter(needs[needed])))
                    break
                if seen == 1:
                    _raise_cycle([n for n, _ in stack], needed)
            else:
                state[name] = 2
                order.append(name)
                stack.pop()
    return order


def _raise_cycle(path: list[str], back_to: str) -> None:
    loop = path[path.index(back_to) :]
    cycle = (*reversed(loop), loop[-1])
    raise CycleError(
        "tasks need each other in a circle: " + " -> ".join(cycle),
        help="each needs the one before it; remove one of these inputs",
        cycle=cycle,
    )


def downstream(needs: Mapping[str, Iterable[str]], roots: Iterable[str], steps: float = ANY) -> set[str]:
    """Return the roots and all that needs them in so many steps."""
    users: dict[str, list[str]] = {}
    for name, needed in needs.items():
        for n in needed:
            users.setdefault(n, []).append(name)
    return _reach(users, roots, steps)


def upstream(needs: Mapping[str, Iterable[str]], roots: Iterable[str], steps: float = ANY) -> set[str]:
    """Return the roots and all that they need in so many steps."""
    return _reach(needs, roots, steps)


def _reach(edges: Mapping[str, Iterable[str]], roots: Iterable[str], steps: float) -> set[str]:
    found = set(roots)
    rim = found
    while rim and steps > 0:
        rim = {name for n in rim for name in edges.get(n, ())} - found
        found |= rim
        steps -= 1
    return found
