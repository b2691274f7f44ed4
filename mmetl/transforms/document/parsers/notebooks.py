"""Jupyter notebooks: their words and their code, without what the code gave out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from mmetl.transforms.document.parsed import Parsed, Unreadable, first_heading
from mmetl.transforms.document.parsers.texts import decoded


def parse_notebook(data: bytes) -> Parsed:
    """Parse a notebook: cells of Markdown as they are, code in fences, outputs left out. Raises Unreadable if it is none."""
    text, _ = decoded(data)
    try:
        notebook = json.loads(text)
        metadata = notebook.get("metadata") or {}
        kernel = (metadata.get("kernelspec") or {}).get("language")
        language = (metadata.get("language_info") or {}).get("name") or kernel or ""
        found = "\n\n".join(_cells(notebook, language))
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise Unreadable(f"the notebook is damaged: {str(error)[:200]}") from None
    title = metadata.get("title")
    said = {"programming_language": language} if language else {}
    return Parsed(found, title if isinstance(title, str) else first_heading(found), None, said)


def _cells(notebook: Mapping[str, Any], language: str) -> Iterator[str]:
    """Yield the texts of the cells that are not empty. Up to format 3 they lay in worksheets, and code was called input."""
    sheets = [notebook] if "cells" in notebook else notebook["worksheets"]
    for cell in (cell for sheet in sheets for cell in sheet["cells"]):
        source = cell.get("source", cell.get("input", ""))
        text = (source if isinstance(source, str) else "".join(source)).replace("\r\n", "\n").strip("\n")
        if not text.strip():
            continue
        if cell["cell_type"] == "heading":
            yield f"{'#' * int(cell.get('level', 1))} {text}"
        elif cell["cell_type"] == "code":
            fence = "```" if "```" not in text else "~~~~"
            yield f"{fence}{language}\n{text}\n{fence}"
        else:
            yield text
