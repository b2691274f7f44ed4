"""A property graph as one table: a row for each node and each edge."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

from mmetl.contracts.artifact import Column

KIND = "_kind"
"""`node` or `edge`."""

LABEL = "_label"
"""The label of a node, or the type of an edge."""

NAME = "_key"
"""The text that names a node under its label. Of an edge: a JSON list of its two ends, and of what tells parallel ones apart."""

SOURCE_LABEL, SOURCE = "_source_label", "_source"
TARGET_LABEL, TARGET = "_target_label", "_target"
"""Label and name of the two ends of an edge; null for a node."""

KEY = (KIND, LABEL, NAME)
OWN = (*KEY, SOURCE_LABEL, SOURCE, TARGET_LABEL, TARGET)
"""The columns of every graph; all others are properties, null where a node or an edge does not have them."""

WORD = r"^[A-Za-z][A-Za-z0-9_]{0,62}$"
"""What labels, types and properties are called: every engine takes such a word as it is."""

Kind = Literal["node", "edge"]


def is_word(name: str) -> bool:
    """Tell whether a label, a type or a property may be called so."""
    return re.fullmatch(WORD, name) is not None


def is_graph(key: Iterable[str], columns: Iterable[Column]) -> bool:
    """Tell whether a table is a graph, by its key and its columns."""
    return tuple(key) == KEY and {c.name for c in columns}.issuperset(OWN)


def properties_of(columns: Iterable[Column]) -> list[Column]:
    """Return the columns of a graph that are properties."""
    return [c for c in columns if c.name not in OWN]
