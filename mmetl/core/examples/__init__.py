"""Small projects that run, one for each transform and one for `mmetl init`: Markdown whose blocks name their files."""

from __future__ import annotations

import re
from pathlib import Path

_BLOCK = re.compile(r"^```\w+ (\S+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def example(name: str) -> dict[str, str]:
    """Return path -> text of the files of an example; nothing if there is none of that name."""
    page = Path(__file__).with_name(f"{name}.md")
    return dict(_BLOCK.findall(page.read_text(encoding="utf-8"))) if page.is_file() else {}
