"""A graph as text: one line a task, with rails from the tasks that it needs; and as Mermaid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mmetl.core.graph.model import Graph


def drawn(graph: Graph) -> str:
    """Return one line a task.

    A rail goes down from a task to the last one that needs it. `├` and `┼` take from a rail that goes on, `└` and `┴`
    from one that ends; a line that crosses a rail leaves it as it is: `│`.
    """
    left = {t.task: sum(t.task in other.needs for other in graph.tasks) for t in graph.tasks}
    rails: list[str | None] = []
    lines = []
    for task in graph.tasks:
        taken = [c for c, name in enumerate(rails) if name in task.needs]
        place = next((c for c in range(max(taken, default=-1) + 1, len(rails)) if rails[c] is None), len(rails))
        for need in task.needs:
            left[need] -= 1
        lines.append((_line(rails, taken, place, left), task.task, task.transform))
        rails += [None] * (place + 1 - len(rails))
        for column in taken:
            if not left[rails[column] or ""]:
                rails[column] = None
        rails[place] = task.task if left[task.task] else None
        while rails and rails[-1] is None:
            rails.pop()
    return _aligned(lines)


def _line(rails: Sequence[str | None], taken: Sequence[int], place: int, left: Mapping[str, int]) -> str:
    cells = []
    first = min(taken, default=place)
    for column in range(max(len(rails), place + 1)):
        name = rails[column] if column < len(rails) else None
        joined = first < column < place
        if column == place:
            mark = "●"
        elif column in taken:
            goes_on = bool(left[name or ""])
            mark = ("├" if goes_on else "└") if column == first else ("┼" if goes_on else "┴")
        else:
            mark = "│" if name else "─" if joined else " "
        cells.append(mark + ("─" if first <= column < place else " "))
    return "".join(cells).rstrip()


def _aligned(lines: Sequence[tuple[str, str, str]]) -> str:
    named = [(f"{rails} {name}", transform) for rails, name, transform in lines]
    width = max((len(text) for text, _ in named), default=0)
    return "\n".join(f"{text.ljust(width)}  {transform}" for text, transform in named)


def mermaid(graph: Graph) -> str:
    """Return a Mermaid flowchart."""
    ids = {t.task: f"t{n}" for n, t in enumerate(graph.tasks)}
    lines = ["flowchart LR"]
    lines += [f'  {ids[t.task]}["{t.task}<br/><small>{t.transform}</small>"]' for t in graph.tasks]
    lines += [f"  {ids[need]} --> {ids[t.task]}" for t in graph.tasks for need in t.needs]
    return "\n".join(lines)
