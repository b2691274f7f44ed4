"""From which rows a row came, and which came from it: what `mmetl why TASK --key K` answers."""

from __future__ import annotations

from mmetl.api.lineage.model import Aside, Lineage, Row, Since, Step

__all__ = ["Aside", "Lineage", "Row", "Since", "Step"]
