"""From a place in a loaded tree back to its file, line and column, through includes and interpolation."""

from __future__ import annotations

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from yaml import MappingNode, Node, ScalarNode, SequenceNode

from mmetl.config.documents import Document, Documents
from mmetl.config.matrix import family_of
from mmetl.config.resolver import Path, Span, Trace
from mmetl.config.values import INCLUDE, MERGE
from mmetl.errors import Problem, Where

_MERGE = "\0<<"  # no key of a file; in quotes, '<<' is one like others
_PROPERTIES = re.compile(r"(?:[&!]\S*\s+)*")
_QUOTED = re.compile(r"''|.", re.DOTALL)
_ESCAPED = re.compile(r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|\r?\n[ \t]*|.)|.", re.DOTALL)
_BLANK_ESCAPES = tuple("\\" + letter for letter in "\n\rntvf _NLP\t")


@dataclass(frozen=True)
class _Found:
    """How far a path could be followed: the document and node reached, and the last key on the way."""

    document: Document
    node: Node | None
    key: tuple[Document, Node] | None
    depth: int


@dataclass
class Source:
    """The texts behind a loaded tree. Nodes are composed only when somebody asks for a position.

    Attributes:
        documents: the files.
        main: the file that was loaded.
        trace: what interpolation did.
        broken: where an `!include` failed.
    """

    documents: Documents
    main: Document
    trace: Trace = field(default_factory=Trace)
    broken: AbstractSet[Where] = frozenset()
    _children: dict[int, Mapping[str, tuple[Node, Node]]] = field(default_factory=dict, repr=False)

    def locate(self, path: Path, *, on_key: bool = False, offset: int | None = None) -> Where:
        """Return the position of a value, or of the deepest key on the way to it that exists.

        Args:
            path: keys and indexes from the top of the tree.
            on_key: the position of the key itself, not of its value.
            offset: characters into the value as the tree has it; where interpolation put a value, its `${` is meant.
        """
        found = self._follow(path)
        complete = found.depth == len(path)
        if found.key is not None and (on_key or not complete):
            document, key = found.key
            return document.where(key.start_mark.index)
        if found.node is None:
            return found.document.where(0)
        index = found.node.start_mark.index
        if complete and offset is not None and isinstance(found.node, ScalarNode):
            original = _original_offset(self.trace.spans.get(path, ()), offset)
            index = _index_of(found.document.text, found.node, original)
        return found.document.where(index)

    def order(self, problem: Problem) -> tuple[int, int, int]:
        """Return a sort key: the order of the texts, files in the order of their inclusion, no position first."""
        if problem.where is None:
            return (-1, 0, 0)
        shown, file = self.documents.shown, problem.where.file
        number = shown.index(file) if file in shown else len(shown)
        return (number, problem.where.line, problem.where.column)

    def has(self, path: Path) -> bool:
        """Return whether the files hold a value at this path."""
        return self._follow(path).depth == len(path)

    def original(self, path: Path) -> str | None:
        """Return the text as it was written when a value of the environment is in it, else None."""
        if path not in self.trace.hidden:
            return None
        node = self._follow(path).node
        return str(node.value) if isinstance(node, ScalarNode) else ""

    def hides(self, path: Path) -> bool:
        """Return whether a value of the environment is anywhere at or below this path."""
        return any(hidden[: len(path)] == path for hidden in self.trace.hidden)

    def _follow(self, path: Path) -> _Found:
        if len(path) > 1 and path[1] in self.trace.members:
            path = (path[0], family_of(str(path[1])), *path[2:])
        document, node = self._enter(self.main, self.main.node)
        key: tuple[Document, Node] | None = None
        for depth, part in enumerate(path):
            step = self._child(document, node, part)
            if step is None:
                return _Found(document, node, key, depth)
            owner, key_node, value = step
            # Items of a list have no key of their own: their position is the value's.
            key = (owner, key_node) if key_node is not None else None
            document, node = self._enter(owner, value)
        return _Found(document, node, key, len(path))

    def _enter(self, document: Document, node: Node | None) -> tuple[Document, Node | None]:
        """Follow `!include` into the file that it names, unless that failed."""
        while isinstance(node, ScalarNode) and node.tag == INCLUDE:
            if document.where(node.start_mark.index) in self.broken:
                break
            document = self.documents.open(self.documents.included(document, node))
            node = document.node
        return document, node

    def _child(
        self, document: Document, node: Node | None, part: str | int
    ) -> tuple[Document, Node | None, Node] | None:
        if isinstance(node, MappingNode) and isinstance(part, str):
            own = self._pairs(node).get(part)
            if own is not None:
                return document, *own
            return self._merged(document, node, part)
        if isinstance(node, SequenceNode):
            if isinstance(part, int):
                return (document, None, node.value[part]) if part < len(node.value) else None
            # A list that the schema made a mapping: `inputs: [a]` is {a: a}.
            items = (item for item in node.value if isinstance(item, ScalarNode) and item.value == part)
            return next(((document, None, item) for item in items), None)
        return None

    def _merged(self, document: Document, node: MappingNode, part: str) -> tuple[Document, Node | None, Node] | None:
        merge = self._pairs(node).get(_MERGE)
        if merge is None:
            return None
        owner, value = self._enter(document, merge[1])
        sources = value.value if isinstance(value, SequenceNode) else [value]
        for source in sources:
            if (step := self._child(*self._enter(owner, source), part)) is not None:
                return step
        return None

    def _pairs(self, node: MappingNode) -> Mapping[str, tuple[Node, Node]]:
        if id(node) not in self._children:
            pairs = [(key, value) for key, value in node.value if isinstance(key, ScalarNode)]
            # Of a key that is there twice, the first counts, as in the tree.
            self._children[id(node)] = {_name(key): (key, value) for key, value in reversed(pairs)}
        return self._children[id(node)]


def _name(key: ScalarNode) -> str:
    return _MERGE if key.value == MERGE and not key.style else key.value


def _original_offset(spans: tuple[Span, ...], offset: int) -> int:
    moved = 0
    for span in spans:
        if offset < span.begin:
            break
        if offset < span.end:
            return span.original_begin
        moved = span.original_end - span.end
    return offset + moved


def _index_of(text: str, node: ScalarNode, offset: int) -> int:
    """Return the index in `text` of character `offset` of a scalar's value.

    Folding and indentation change blanks only, so the n-th character that is no blank is the same one on both sides.
    """
    begin = _content(text, node)
    value: str = node.value[:offset]
    solid = _solid(text, node, begin)
    count = sum(not char.isspace() for char in value)
    if offset < len(node.value) and not node.value[offset].isspace() and count < len(solid):
        return solid[count]
    if count == 0 or count > len(solid):
        return begin
    blanks = len(value) - len(value.rstrip())
    line_end = text.find("\n", solid[count - 1])
    index = solid[count - 1] + 1 + blanks
    return min(index, line_end) if line_end >= 0 else index


def _content(text: str, node: ScalarNode) -> int:
    """Return where the content of a scalar begins: behind tag, anchor, quote and the header of a block."""
    properties = _PROPERTIES.match(text, node.start_mark.index)
    begin = properties.end() if properties else node.start_mark.index
    if node.style in ("|", ">"):
        begin = text.find("\n", begin) + 1 or len(text)
        return begin + len(text[begin:]) - len(text[begin:].lstrip()) if node.value.strip() else begin
    return begin + 1 if node.style in ("'", '"') else begin


def _solid(text: str, node: ScalarNode, begin: int) -> list[int]:
    """Return the index of every character of a scalar's content that is no blank."""
    end = node.end_mark.index
    if node.style not in ("'", '"'):
        return [index for index in range(begin, end) if not text[index].isspace()]
    tokens = _QUOTED if node.style == "'" else _ESCAPED
    return [
        found.start()
        for found in tokens.finditer(text, begin, end - 1)
        if not found[0].isspace() and not found[0].startswith(_BLANK_ESCAPES)
    ]
