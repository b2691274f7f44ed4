"""From YAML nodes to plain values: YAML 1.2 scalars, merge keys, `!include`, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from yaml import MappingNode, Node, ScalarNode, SequenceNode

from mmetl.config.documents import MAX_DEPTH, Document, Documents
from mmetl.errors import ConfigError, Problem, Where

ALIAS_ALLOWANCE = 100_000
"""How many values aliases and repeated includes may add to what the texts themselves can hold."""
INCLUDE = "!include"
MERGE = "<<"

_CONSTANTS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_NUMBER_START = frozenset("+-.0123456789")
_INTEGER = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_MAX_DIGITS = 400
"""Python refuses to read integers of more than 4300 digits; no store keeps one of 400."""

_STANDARD = "tag:yaml.org,2002:"


def plain(text: str) -> Any:
    """Return the value of an unquoted scalar by the core schema of YAML 1.2.

    >>> [plain(text) for text in ("no", "010", "0o10", "1e3", "2024-01-31", "12:30", "null")]
    ['no', 10, 8, 1000.0, '2024-01-31', '12:30', None]
    """
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text[0] not in _NUMBER_START:
        return text
    if len(text) <= _MAX_DIGITS and _INTEGER.fullmatch(text):
        return int(text)
    if _BASED.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text.replace(".", "", 1) if text.lower().endswith(("inf", "nan")) else text)
    return text


class Values:
    """Builds the value of a file and of all that it includes; gathers problems and goes on."""

    def __init__(self, documents: Documents) -> None:
        self.problems: list[Problem] = []
        self.broken: set[Where] = set()
        """Where a value is missing because its `!include` failed."""
        self._documents = documents
        self._roots: dict[Path, Node | None] = {}
        self._including: list[Document] = []
        self._count = 0

    def document(self, document: Document, depth: int = 0) -> Any:
        """Return the value of a whole file; None when it is empty. Raises ConfigError for a syntax error."""
        if document.path not in self._roots:
            self._roots[document.path] = document.compose()
        node = self._roots[document.path]
        if node is None:
            return None
        self._including.append(document)
        try:
            return self._value(node, document, depth)
        finally:
            self._including.pop()

    def _value(self, node: Node, document: Document, depth: int) -> Any:
        if node.tag and not self._is_plain_kind(node):
            return self._tagged(node, document, depth)
        if isinstance(node, ScalarNode):
            return node.value if node.style or node.tag else plain(node.value)
        if depth == MAX_DEPTH:
            raise ConfigError([document.too_deep(node.start_mark.index)])
        self._add(len(node.value), node, document)
        if isinstance(node, MappingNode):
            return self._mapping(node, document, depth + 1)
        return [
            (item.value if item.style else plain(item.value))
            if type(item) is ScalarNode and not item.tag
            else self._value(item, document, depth + 1)
            for item in node.value
        ]

    def _mapping(self, node: MappingNode, document: Document, depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        seen: dict[str, Node] = {}
        for key, item in node.value:
            name = self._key(key, document)
            if name is None:
                continue
            if name in seen:
                self._twice(name, seen[name], key, document)
                continue
            seen[name] = key
            if type(item) is ScalarNode and not item.tag:
                made[name] = item.value if item.style else plain(item.value)
            else:
                made[name] = self._value(item, document, depth)
            if name == MERGE and not key.style:
                merged = self._merge(made.pop(name), item, document)
        return {**merged, **made} if merged else made

    def _key(self, key: Node, document: Document) -> str | None:
        if type(key) is ScalarNode and not key.tag:
            text: str = key.value
            value = text if key.style else plain(text)
            if isinstance(value, str):
                return value
            what = "a key is empty" if value is None else f"the key {text} is not text"
            help_ = "give it a name before the ':'" if value is None else f"write it in quotes: '{text}'"
            self.problems.append(document.problem(what, key, help_))
            return None
        self.problems.append(document.problem("a key is not plain text", key, "a key is one word or a quoted text"))
        return None

    def _twice(self, name: str, first: Node, second: Node, document: Document) -> None:
        line = document.where(first.start_mark.index)
        what = f"key '{name}' is here twice, first at {line}"
        self.problems.append(document.problem(what, second, "remove or rename one of them"))

    def _merge(self, value: Any, node: Node, document: Document) -> dict[str, Any]:
        """Return what `<<` adds: of several mappings, an earlier one wins."""
        parts = value if isinstance(value, list) else [value]
        merged: dict[str, Any] = {}
        for part in parts:
            if not isinstance(part, dict):
                if document.where(node.start_mark.index) not in self.broken:
                    help_ = "'<<' takes an alias of a mapping, or a list of them"
                    self.problems.append(document.problem("'<<' needs a mapping", node, help_))
                return {}
            merged = {**part, **merged}
        return merged

    @staticmethod
    def _is_plain_kind(node: Node) -> bool:
        kinds = {ScalarNode: "str", MappingNode: "map", SequenceNode: "seq"}
        return bool(node.tag == _STANDARD + kinds[type(node)])

    def _tagged(self, node: Node, document: Document, depth: int) -> Any:
        if node.tag == INCLUDE:
            return self._include(node, document, depth)
        tag = node.tag.replace(_STANDARD, "!!")
        what = f"tag '{tag}' is not known"
        self.problems.append(document.problem(what, node, "the only tag is '!include FILE'"))
        return self._value(type(node)("", node.value, node.start_mark, node.end_mark), document, depth)

    def _include(self, node: Node, document: Document, depth: int) -> Any:
        try:
            return self._included(node, document, depth)
        except ConfigError as error:
            where = document.where(node.start_mark.index)
            self.problems.extend(problem._replace(where=problem.where or where) for problem in error.problems)
            self.broken.add(where)
            return None

    def _included(self, node: Node, document: Document, depth: int) -> Any:
        def refuse(what: str, help_: str) -> ConfigError:
            return ConfigError([document.problem(what, node, help_)])

        if not isinstance(node, ScalarNode) or not node.value:
            raise refuse("'!include' needs a file name", "write '!include tasks.yaml'")
        path = self._documents.included(document, node)
        if not self._documents.is_inside(path):
            raise refuse(f"'{node.value}' is outside of the project", "copy the file into the project")
        try:
            target = self._documents.open(path)
        except OSError as error:
            help_ = f"the path is relative to the folder of '{document.shown}'"
            raise refuse(f"cannot include '{node.value}': {reason(error)}", help_) from None
        if target in self._including:
            names = [d.shown for d in self._including[self._including.index(target) :]]
            circle = " -> ".join([*names, target.shown])
            raise refuse(f"the files include each other: {circle}", "remove one of these includes")
        self._add(1, node, document)
        value = self.document(target, depth)
        if self._roots[target.path] is None:
            raise refuse(f"'{target.shown}' is empty", "write a value into it, or remove the '!include'")
        return value

    def _add(self, count: int, node: Node, document: Document) -> None:
        self._count += count
        if self._count > ALIAS_ALLOWANCE and self._count > ALIAS_ALLOWANCE + self._documents.characters:
            what = "the aliases and includes stand for too many values"
            raise ConfigError(
                [document.problem(what, node, "repeat less; large data belong in files that a task reads")]
            )


def reason(error: OSError) -> str:
    """Say in plain words why a file cannot be read."""
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    return "it is a folder" if isinstance(error, IsADirectoryError) else str(error.strerror).lower()
