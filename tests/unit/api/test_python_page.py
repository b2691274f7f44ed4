"""`docs/reference/python.md` is run."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest
from harness import Project

PAGE = Path(__file__).parents[3] / "docs/reference/python.md"
BLOCK = re.compile(r"^```pycon\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def test_the_page_says_what_happens(empty: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its examples, one after the other, on what `mmetl init` writes."""
    assert empty.fast("init").code == 0
    monkeypatch.chdir(empty.root)
    text = "".join(BLOCK.findall(PAGE.read_text(encoding="utf-8")))
    test = doctest.DocTestParser().get_doctest(text, {}, "python.md", str(PAGE), 0)
    assert len(test.examples) > 20
    said: list[str] = []
    options = doctest.IGNORE_EXCEPTION_DETAIL | doctest.ELLIPSIS
    failed, _ = doctest.DocTestRunner(optionflags=options).run(test, out=said.append)
    empty._drop_modules()
    assert not failed, "".join(said)
