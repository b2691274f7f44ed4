"""A graph as SVG: layers from left to right, edges as curves."""

from __future__ import annotations

import itertools
from html import escape
from typing import NamedTuple

from mmetl.core.graph.model import Graph

SWEEPS = 8  # over the layers, there and back; more change little
CHARACTER, BOX_HEIGHT, PADDING = 7.2, 40, 12  # pixels
GAP_X, GAP_Y, MARGIN = 56, 16, 20
FILL = {"fresh": "#e6f4ea", "stale": "#fef3d6", "waits": "#e8eefb"}
STYLE = """\
  text { font: 12px ui-monospace, monospace; fill: #1f2328; text-anchor: middle }
  .transform { font-size: 10px; fill: #59636e }
  rect { stroke: #818b98 }
  path { fill: none; stroke: #818b98 }"""


class Box(NamedTuple):
    """Where a task is drawn, or (width 0) where an edge that spans several layers passes a layer between."""

    x: float
    y: float
    width: float


def svg(graph: Graph) -> str:
    """Return a whole SVG document."""
    chains, layers = _layers(graph)
    _order(layers, chains)
    boxes, width, height = _boxes(graph, layers)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}"'
        f' viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{escape(graph.pipeline)}">\n'
        f"<style>\n{STYLE}\n</style>\n"
        '<defs><marker id="end" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0 L8 4 L0 8 z" style="fill:#818b98"/></marker></defs>'
    )
    lines = [head, *(_edge([boxes[name] for name in chain]) for chain in chains)]
    for task in graph.tasks:
        box = boxes[task.task]
        middle = box.x + box.width / 2
        lines.append(
            f"<g><title>{escape(f'{task.task}: {task.state}. {task.description}'.strip())}</title>"
            f'<rect x="{box.x:.0f}" y="{box.y:.0f}" width="{box.width:.0f}" height="{BOX_HEIGHT}" rx="5"'
            f' fill="{FILL[task.state]}"/>'
            f'<text x="{middle:.0f}" y="{box.y + 17:.0f}">{escape(task.task)}</text>'
            f'<text class="transform" x="{middle:.0f}" y="{box.y + 31:.0f}">{escape(task.transform)}</text></g>'
        )
    return "\n".join([*lines, "</svg>"])


def _layers(graph: Graph) -> tuple[list[list[str]], list[list[str]]]:
    """Return every edge as the names that it goes through, and the names of each layer.

    A task is in the layer after the last of those that it needs; an edge over several layers has a name of its own in each.
    """
    depth: dict[str, int] = {}
    layers: list[list[str]] = []
    chains = []
    for task in graph.tasks:
        depth[task.task] = max((depth[n] + 1 for n in task.needs), default=0)
        layers += [[] for _ in range(depth[task.task] + 1 - len(layers))]
        layers[depth[task.task]].append(task.task)
    for task in graph.tasks:
        for need in task.needs:
            between = range(depth[need] + 1, depth[task.task])
            chains.append([need, *(f"{need}>{task.task}>{d}" for d in between), task.task])
            for d in between:
                layers[d].append(f"{need}>{task.task}>{d}")
    return chains, layers


def _order(layers: list[list[str]], chains: list[list[str]]) -> None:
    """Sort each layer by the middle of its neighbours in the layer before (and, on the way back, after)."""
    before: dict[str, list[str]] = {}
    after: dict[str, list[str]] = {}
    for chain in chains:
        for a, b in itertools.pairwise(chain):
            after.setdefault(a, []).append(b)
            before.setdefault(b, []).append(a)
    for sweep in range(SWEEPS):
        there = sweep % 2 == 0
        neighbours = before if there else after
        for n in range(1, len(layers)) if there else range(len(layers) - 2, -1, -1):
            _sort(layers[n], layers[n - 1 if there else n + 1], neighbours)


def _sort(layer: list[str], beside: list[str], neighbours: dict[str, list[str]]) -> None:
    place = {name: i for i, name in enumerate(beside)}
    now = {name: i for i, name in enumerate(layer)}

    def middle(name: str) -> float:
        found = [place[m] for m in neighbours.get(name, ()) if m in place]
        return sum(found) / len(found) if found else float(now[name])

    layer.sort(key=middle)


def _boxes(graph: Graph, layers: list[list[str]]) -> tuple[dict[str, Box], float, float]:
    """Return where everything lies, and the size of the whole; each layer is centred."""
    words = {t.task: max(len(t.task), len(t.transform) * 10 / 12) for t in graph.tasks}
    tallest = max((len(layer) for layer in layers), default=0)
    height = 2 * MARGIN + tallest * (BOX_HEIGHT + GAP_Y) - (GAP_Y if tallest else 0)
    boxes: dict[str, Box] = {}
    x = float(MARGIN)
    for layer in layers:
        widths = {n: words[n] * CHARACTER + 2 * PADDING for n in layer if n in words}
        widest = max(widths.values(), default=0.0)
        y = (height - len(layer) * (BOX_HEIGHT + GAP_Y) + GAP_Y) / 2
        for name in layer:
            width = widths.get(name, 0.0)
            boxes[name] = Box(x + (widest - width) / 2, y, width)
            y += BOX_HEIGHT + GAP_Y
        x += widest + GAP_X
    return boxes, x - GAP_X + MARGIN, height


def _edge(chain: list[Box]) -> str:
    """Return the curve from the right side of the first box to the left side of the last."""
    x, y = chain[0].x + chain[0].width, chain[0].y + BOX_HEIGHT / 2
    path = [f"M{x:.0f} {y:.0f}"]
    for box in chain[1:]:
        to_x, to_y = box.x, box.y + BOX_HEIGHT / 2
        bend = (to_x - x) / 2
        path.append(f"C{x + bend:.0f} {y:.0f} {to_x - bend:.0f} {to_y:.0f} {to_x:.0f} {to_y:.0f}")
        x, y = to_x, to_y
    return f'<path d="{" ".join(path)}" marker-end="url(#end)"/>'
