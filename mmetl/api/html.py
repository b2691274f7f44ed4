"""What notebooks show: small tables in HTML, with every text escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

CELL = 60  # characters of a value
COLOURS = {"failed": "#cf222e", "blocked": "#9a6700", "stale": "#9a6700", "waits": "#0969da", "fresh": "#1a7f37"}


class Head(NamedTuple):
    """The first rows of a table, and how many there are."""

    columns: tuple[str, ...]
    rows: tuple[Mapping[str, Any], ...]
    total: int

    def text(self) -> str:
        """Return the rows aligned, as `mmetl show` does."""
        lines = [list(self.columns), *([cell(r[c]) for c in self.columns] for r in self.rows)]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.columns))]
        texts = ["  ".join(v.ljust(w) for v, w in zip(line, widths, strict=True)).rstrip() for line in lines]
        return "\n".join([*texts, self.counted()])

    def counted(self) -> str:
        """Return how many rows there are, and how many of them are shown."""
        noun = "row" if self.total == 1 else "rows"
        return f"{self.total:,} {noun}" + (f", the first {len(self.rows)} shown" if self.total > len(self.rows) else "")


def cell(value: Any) -> str:
    """Return a value on one line, cut where it is long."""
    text = "" if value is None else str(value).replace("\n", "\\n")
    return text if len(text) <= CELL else text[: CELL - 1] + "…"


def html_table(head: Head, title: str = "", notes: Sequence[str] = ()) -> str:
    """Return rows as an HTML table, under a title and above notes."""
    rows = [[(cell(r[c]), isinstance(r[c], int | float)) for c in head.columns] for r in head.rows]
    return _page(title, head.columns, rows, [head.counted(), *notes])


def html_states(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str] = ()) -> str:
    """Return texts as an HTML table; words that say how a task is are in colour."""
    return _page(title, columns, [[(text, False) for text in row] for row in rows], notes)


def _page(title: str, columns: Sequence[str], rows: Sequence[Sequence[tuple[str, bool]]], notes: Sequence[str]) -> str:
    head = "".join(f'<th style="text-align:left">{escape(c)}</th>' for c in columns)
    body = "".join(f"<tr>{''.join(_cell(text, number) for text, number in row)}</tr>" for row in rows)
    return (
        (f"<div><b>{escape(title)}</b></div>" if title else "")
        + f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        + "".join(f"<div><small>{escape(note)}</small></div>" for note in notes if note)
    )


def _cell(text: str, number: bool) -> str:
    colour = f";color:{COLOURS[text]}" if text in COLOURS else ""
    return f'<td style="text-align:{"right" if number else "left"}{colour}">{escape(text)}</td>'
