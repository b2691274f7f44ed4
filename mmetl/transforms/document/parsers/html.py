"""HTML to Markdown: headings, lists, tables, code and the words of links; no scripts, styles or navigation."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterator
from typing import Any

from mmetl.engines.packages import require
from mmetl.transforms.document.parsed import Parsed, Unreadable
from mmetl.transforms.document.parsers.texts import decoded

_DROPPED = frozenset(
    [
        "script",
        "style",
        "noscript",
        "template",
        "nav",
        "footer",
        "head",
        "svg",
        "iframe",
        "button",
        "select",
        "-comment",
    ]
)
_BLOCKS = frozenset(
    [
        "p",
        "div",
        "section",
        "article",
        "main",
        "header",
        "aside",
        "blockquote",
        "ul",
        "ol",
        "dl",
        "dt",
        "dd",
        "table",
        "figure",
        "figcaption",
        "pre",
        "hr",
        "form",
        "address",
        "details",
        "summary",
        "fieldset",
        "body",
        "html",
        "tr",
        "td",
        "th",
        "caption",
    ]
)
_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
_ASIDES = (
    "aside, [role=banner], [role=navigation], [role=complementary], [role=contentinfo], [role=search], [hidden],"
    " [aria-hidden=true], body > header"
)
"""What is not the main part of a page, by the landmarks of HTML and ARIA."""
_CELLS = frozenset({"td", "th"})
_NO_TABLE = "table, h1, h2, h3, h4, h5, h6, ul, ol, pre, form"
"""What stands in the cells of a table that only lays out the page."""
_JOINED = frozenset({"table", "ul", "ol"})
"""Of these, what goes on one line in a cell of a table that has a head."""
_JOINT = "\0"
"""Stands before what joins them, and takes away the white space there. No text of a page can have it."""
_META = {"author": "author", "description": "description", "date": "date", "keywords": "keywords"}
_DECLARED = re.compile(rb"""<meta[^>]+charset=["']?([\w-]+)""", re.IGNORECASE)
_FENCED = re.compile(r"(\n```\n.*?\n```\n)", re.DOTALL)
_MAX_DEPTH = 20_000
"""The parser's time grows with the square of the depth: half a second here, half a minute at 100,000. Browsers stop at 512."""

_NESTING = re.compile(
    r"<(/?)(?:div|span|section|article|main|blockquote|center|font|table|ul|ol|dl|b|i|u|em|strong|small|big|code|sub|sup|svg|g)\b",
    re.IGNORECASE,
)
"""Tags that stay open until they are closed."""


def parse_html(data: bytes, *, main_text: bool = False) -> Parsed:
    """Parse a page. The encoding that it declares counts where its bytes are not UTF-8."""
    text, encoding = decoded(data)
    declared = _DECLARED.search(data[:4096])
    if encoding == "latin-1" and declared:
        try:
            encoding = declared[1].decode().lower()
            text = data.decode(encoding)
        except (LookupError, UnicodeDecodeError):
            encoding = "latin-1"
    parsed = markdown_of(text, main_text=main_text)
    return parsed if encoding == "utf-8" else parsed._replace(metadata={**parsed.metadata, "encoding": encoding})


def markdown_of(html: str, *, main_text: bool = False) -> Parsed:
    """Return a page as Markdown, with what its head says. Raises Unreadable if it is nested too deeply.

    Args:
        html: the page.
        main_text: whether only its main part is read.
    """
    _refuse_deep(html)
    require("documents", "selectolax")
    from selectolax.lexbor import LexborHTMLParser

    tree = LexborHTMLParser(html)
    metadata = {}
    for tag in tree.css("meta[name][content]"):
        name, content = (tag.attributes.get("name") or "").lower(), (tag.attributes.get("content") or "").strip()
        if name in _META and content:
            metadata[_META[name]] = content
    title = tree.css_first("head title") or tree.css_first("h1")
    root = tree.css_first("html")
    language = (root.attributes.get("lang") if root else None) or None
    body = _main(tree) if main_text else tree.body
    asides = {node.mem_id for node in body.css(_ASIDES)} - {body.mem_id} if main_text and body else set()
    text = _tidy("".join(_Walk(asides).pieces(body))) if body else ""
    return Parsed(text, (" ".join(title.text().split()) or None) if title else None, language, metadata)


def _main(tree: Any) -> Any:
    """Return what a page marks as its main part, or its one article, or all of its body."""
    marked, articles = tree.css("main, [role=main]"), tree.css("article")
    return marked[0] if marked else articles[0] if len(articles) == 1 else tree.body


def _refuse_deep(html: str) -> None:
    if html.count("<") > _MAX_DEPTH:
        depths = itertools.accumulate(-1 if found[1] else 1 for found in _NESTING.finditer(html))
        if max(depths, default=0) > _MAX_DEPTH:
            raise Unreadable(f"its elements are nested more than {_MAX_DEPTH} deep")


class _Table:
    """A table that is being walked. `layout`: it has no rows of its own, it only places what is in it."""

    def __init__(self, node: Any) -> None:
        within = {found.tag for found in node.css(_NO_TABLE) if found.mem_id != node.mem_id}
        self.layout = bool(within) and not (within <= _JOINED and _has_head(node))
        self.cells = 0
        self.has_head = False


def _has_head(table: Any) -> bool:
    """Tell whether a table has a head cell of its own."""
    rows = itertools.chain.from_iterable([part] if part.tag == "tr" else part.iter() for part in table.iter())
    return any(cell.tag == "th" for row in rows for cell in row.iter())


class _Line:
    """A list or table that goes on one line: whether it has said anything, and its row has."""

    def __init__(self) -> None:
        self.said = self.row_said = False


class _Walk:
    """Goes through a tree without recursion: pages are nested as deep as their authors like.

    Args:
        dropped: ids of nodes that are left out.
    """

    def __init__(self, dropped: Collection[int] = ()) -> None:
        self.dropped = dropped
        self.preformatted = 0
        self.in_cell = False  # of a table with rows
        self.tables: list[_Table] = []
        self.lines: list[_Line] = []
        self.joint = ""  # what is to stand before the next words

    def pieces(self, root: Any) -> Iterator[str]:
        """Yield the pieces of the Markdown text."""
        node, top = root, root.mem_id
        while True:
            tag = node.tag
            if tag == "-text":
                yield self._text(node.text_content or "")
            elif tag not in _DROPPED and node.mem_id not in self.dropped:
                yield self._opening(tag, node)
                if node.child is not None:
                    node = node.child
                    continue
                yield self._closing(tag)
            while node.mem_id != top and node.next is None:
                node = node.parent
                yield self._closing(node.tag)
            if node.mem_id == top:
                return
            node = node.next

    @property
    def _in_rows(self) -> bool:
        return bool(self.tables) and not self.tables[-1].layout

    def _text(self, text: str) -> str:
        if self.preformatted:
            return text
        text = re.sub(r"\s+", " ", text)
        if not self.in_cell:
            return text
        joint = ""
        if self.lines and text.strip():
            joint, self.joint = self.joint, ""
            self.lines[-1].said = self.lines[-1].row_said = True
        return joint + text.replace("|", "\\|")

    def _opening(self, tag: str, node: Any) -> str:
        if self.in_cell:
            return self._opening_in_cell(tag)
        if tag == "table":
            self.tables.append(_Table(node))
        elif tag == "pre":
            self.preformatted += 1
            return "\n\n```\n"
        elif self._in_rows:
            if tag == "tr":
                self.tables[-1].cells = 0
                return "\n|"
            if tag in _CELLS:
                self.tables[-1].cells += 1
                self.in_cell = True
                return " "
        if tag in _HEADINGS:
            return f"\n\n{'#' * int(tag[1])} "
        return {"li": "\n- ", "br": "\n"}.get(tag, "\n\n" if tag in _BLOCKS else "")

    def _opening_in_cell(self, tag: str) -> str:
        """All goes on one line; of an item, a row or a cell the first one that says something is joined by nothing."""
        line = self.lines[-1] if self.lines else None
        if tag in _JOINED:
            self.lines.append(_Line())
        elif line and tag in _CELLS and line.row_said:
            self.joint = f"{_JOINT}, "
        elif line and tag in {"li", "tr"} and line.said:
            self.joint, line.row_said = f"{_JOINT}; ", False
        return " " if tag in _BLOCKS or tag in {"br", "li"} else ""

    def _closing(self, tag: str) -> str:
        if self.in_cell:
            return self._closing_in_cell(tag)
        if tag == "table" and self.tables:
            self.tables.pop()
        elif tag == "pre":
            self.preformatted -= 1
            return "\n```\n\n"
        elif tag == "tr" and self._in_rows:
            table = self.tables[-1]
            first, table.has_head = not table.has_head, True
            return "\n|" + " --- |" * table.cells if first and table.cells else ""
        return "\n\n" if tag in _BLOCKS or tag in _HEADINGS else ""

    def _closing_in_cell(self, tag: str) -> str:
        if tag in _CELLS and not self.lines:
            self.in_cell, self.joint = False, ""
            return " |"
        if tag in _JOINED:
            line = self.lines.pop()
            if self.lines:
                self.lines[-1].said |= line.said
                self.lines[-1].row_said |= line.said
        return " " if tag in _BLOCKS else ""


def _tidy(text: str) -> str:
    """Take away the white space that the walk left, but for that of code."""
    parts = _FENCED.split(text)
    for at in range(0, len(parts), 2):
        prose = re.sub(rf"\s*{_JOINT}", "", parts[at])
        prose = re.sub(r" ?\n ?", "\n", re.sub(r"[ \t]+", " ", prose))
        prose = re.sub(r"\|\n+(?=\|)", "|\n", prose)
        parts[at] = re.sub(r"\n{3,}", "\n\n", prose).strip()
    return "\n".join(part for part in parts if part).strip()
