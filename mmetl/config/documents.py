"""YAML files as text and as nodes: limits, encoding, syntax, and from a character to its line and column."""

from __future__ import annotations

import bisect
import functools
import re
from pathlib import Path
from typing import Any

from yaml import CSafeLoader, Node, YAMLError
from yaml.error import MarkedYAMLError
from yaml.reader import ReaderError

from mmetl.errors import ConfigError, Problem, Where

MAX_BYTES = 16 * 2**20
"""A pipeline of 10,000 tasks has 2 to 4 MB; what is larger is data."""
MAX_DEPTH = 64
"""Levels of nesting. The C composer overruns its stack at some ten thousand."""

BOM = b"\xef\xbb\xbf"
NOT_YAML_HELP = "a tab may not indent, and text that starts with one of @ ` % needs quotes"

SYNTAX: tuple[tuple[str, str, str], ...] = (
    # a part of libyaml's text, what we say, how to mend it; the first that matches counts
    ("expected a single document", "the file holds a second document", "remove the '---' line, or make it two files"),
    ("found undefined alias", "this alias names no anchor", "write '&name' before a value above it, or quote the text"),
    ("duplicate anchor", "this anchor is already used above", "give it another name"),
    ("mapping values are not allowed", "a ':' may not stand here", "quote the text if the ':' belongs to it"),
    ("sequence entries are not allowed", "a '- ' may not stand here", "begin the list on a line of its own"),
    ("cannot start any token", "this character may not stand here", NOT_YAML_HELP),
    ("unexpected end of stream", "the file ends inside a quoted text", "close the quote"),
    ("unknown escape character", "this escape is not known", "write '\\\\' for a backslash, or use single quotes"),
    ("expected ',' or ']'", "this list is not closed, or lacks a ','", "write [a, b]"),
    ("expected ',' or '}'", "this mapping is not closed, or lacks a ','", "write {a: 1, b: 2}"),
    ("could not find expected ':'", "a ':' is missing before this", "a key is followed by ': ' and its value"),
    ("expected '-' indicator", "a '- ' is missing here", "indent the entries of one list alike"),
    (
        "did not find expected key",
        "a key is missing here",
        "indent the keys of one mapping alike; what goes on behind a closed quote needs quotes around all of it",
    ),
    (
        "did not find expected node content",
        "a value is missing here, or a list or mapping is not closed",
        "write [a, b] or {a: 1, b: 2}",
    ),
    ("found a tab character", "a tab may not indent", "use spaces"),
    ("scanning an alias", "no name of an anchor follows the '*'", "quote a text that begins so: '*.csv'"),
    ("scanning an anchor", "no name follows the '&'", "quote a text that begins so"),
    ("parsing a tag", "a '!' is no tag", "the only tag is '!include FILE'; quote a text that begins so"),
    ("scanning a tag", "a '!' is no tag", "the only tag is '!include FILE'; quote a text that begins so"),
    ("mapping keys are not allowed", "a '? ' may not stand here", "quote a text that begins so"),
    ("scanning a block scalar", "this may not follow the '|' or '>'", "begin the text on the next line, and indent it"),
    ("escape code", "this escape is no character", "write the character itself"),
    ("<document start>", "this line is indented less than the first", "indent the keys of one mapping alike"),
)
AT_OPENING = ("unexpected end of stream", "expected ',' or")
"""Errors whose context (where the quote or the bracket was opened) says more than the place where they were noticed."""


class _TooDeepError(Exception):
    pass


class _Composer(CSafeLoader):
    """libyaml's composer without YAML 1.1's guessing of types: the tag is empty unless the text has one."""

    __slots__ = ("depth",)  # each node counts it twice

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.depth = 0

    def resolve(self, _kind: type[Node], _value: Any, _implicit: Any) -> str:
        return ""

    def descend_resolver(self, parent: Node | None, _index: Any) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH and parent is not None:
            raise _TooDeepError(parent.start_mark.index)

    def ascend_resolver(self) -> None:
        self.depth -= 1


class Document:
    """One YAML file.

    Attributes:
        path: as it was reached: the file that the result depends on.
        shown: how messages name the file: relative to the project where it is inside.
        text: the whole text, without a byte order mark.
    """

    def __init__(self, path: Path, shown: str, data: bytes) -> None:
        self.path = path
        self.shown = shown
        self.text = self._decode(data.removeprefix(BOM))
        self._composed: Node | None = None

    def compose(self) -> Node | None:
        """Return the root node, or None for a file without any value. Raises ConfigError for a syntax error."""
        composer = _Composer(self.text)
        try:
            node: Node | None = composer.get_single_node()
        except YAMLError as error:
            raise ConfigError([self._syntax(error)]) from None
        except _TooDeepError as error:
            raise ConfigError([self.too_deep(error.args[0])]) from None
        finally:
            composer.dispose()
        return node

    @property
    def node(self) -> Node | None:
        """The root node, kept: for those who look for positions."""
        if self._composed is None:
            self._composed = self.compose()
        return self._composed

    def where(self, index: int) -> Where:
        """Return the position of a character."""
        index = min(index, len(self.text))
        line = bisect.bisect_right(self._line_starts, index)
        begin = self._line_starts[line - 1]
        end = self.text.find("\n", begin)
        text = self.text[begin : end if end >= 0 else None]
        return Where(self.shown, line, index - begin + 1, text.rstrip("\r"))

    @functools.cached_property
    def _line_starts(self) -> list[int]:
        return [0, *(found.end() for found in re.finditer("\n", self.text))]

    def problem(self, what: str, node: Node, help: str = "") -> Problem:  # noqa: A002 - the field's name
        """Return a problem at the start of a node."""
        return Problem(what, self.where(node.start_mark.index), help)

    def too_deep(self, index: int) -> Problem:
        """Return the problem of too many levels."""
        return Problem(
            f"values are nested more than {MAX_DEPTH} levels deep",
            self.where(index),
            "flatten it; an alias may not stand inside the value that it names",
        )

    def _decode(self, data: bytes) -> str:
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            lines = data[: error.start].decode().split("\n")
            text = data.decode(errors="replace").split("\n")[len(lines) - 1].rstrip("\r")
            where = Where(self.shown, len(lines), len(lines[-1]) + 1, text)
            raise ConfigError([Problem("the text is not UTF-8", where, "save the file as UTF-8")]) from None

    def _syntax(self, error: YAMLError) -> Problem:
        if isinstance(error, ReaderError):
            index = len(self.text.encode()[: error.position].decode(errors="ignore"))
            help_ = "remove it, or write it as an escape in double quotes"
            return Problem(f"control character U+{ord(self.text[index]):04X}", self.where(index), help_)
        if not isinstance(error, MarkedYAMLError):
            return Problem(f"invalid YAML: {error}", Where(self.shown, 1, 1))
        said = f"{error.context or ''} {error.problem or ''}"
        mark = error.problem_mark or error.context_mark
        if any(text in said for text in AT_OPENING) and error.context_mark is not None:
            mark = error.context_mark
        # Noticed at the very end, it is shown behind what was written last.
        end = len(self.text.rstrip())
        where = self.where(min(mark.index, end)) if mark is not None else Where(self.shown, 1, 1)
        for text, what, help_ in SYNTAX:
            if text in said:
                return Problem(what, where, help_)
        return Problem(f"invalid YAML: {re.sub(r'^while ', '', said.strip())}", where)


class Documents:
    """The YAML files of one load, each read once.

    Args:
        root: the project's folder; no file outside of it may be included.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._known: dict[Path, Document] = {}

    def open(self, path: Path) -> Document:
        """Read a file. Raises ConfigError when it is too large or no UTF-8, OSError when it cannot be read."""
        real = path.resolve()
        if real not in self._known:
            with path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
            shown = str(real.relative_to(self.root)) if self.is_inside(real) else str(path)
            if len(data) > MAX_BYTES:
                limit = f"a YAML file may have {MAX_BYTES // 2**20} MiB"
                what = f"'{shown}' is larger than {MAX_BYTES // 2**20} MiB"
                raise ConfigError([Problem(what, help=f"{limit}; keep data in files that a task reads")])
            self._known[real] = Document(path, shown, data)
        return self._known[real]

    def included(self, by: Document, node: Node) -> Path:
        """Return the path that an `!include` names, relative to the including file."""
        return Path(by.path.parent, str(node.value))

    def is_inside(self, path: Path) -> bool:
        """Return whether a path, links followed, lies in the project."""
        return path.resolve().is_relative_to(self.root)

    @property
    def paths(self) -> tuple[Path, ...]:
        """Every file that was read, in the order of reading."""
        return tuple(document.path for document in self._known.values())

    @property
    def shown(self) -> list[str]:
        """The same files as messages name them."""
        return [document.shown for document in self._known.values()]

    @property
    def characters(self) -> int:
        """Length of all texts together."""
        return sum(len(document.text) for document in self._known.values())
