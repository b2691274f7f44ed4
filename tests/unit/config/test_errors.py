"""Error texts of the config layer: YAML in, the whole message out. The cases stand in errors.txt."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from mmetl.config.loader import load_pipeline
from mmetl.errors import ConfigError, UsageError

CASES = Path(__file__).with_name("errors.txt")
ENV = {"PORT": "many-secrets", "EMPTY": ""}


@dataclass(frozen=True)
class Case:
    """A title, the files (`p.yaml` is loaded), --var options and the expected message."""

    title: str
    files: dict[str, str]
    variables: dict[str, str]
    message: str


def read_cases() -> list[Case]:
    """Read `=== title`, then `--- file`, `--- var NAME VALUE` and `--- error` sections."""
    cases = []
    for block in re.split(r"^=== ", CASES.read_text(), flags=re.MULTILINE)[1:]:
        title, *sections = re.split(r"^--- ", block, flags=re.MULTILINE)
        files, variables, message = {}, {}, ""
        for section in sections:
            head, _, body = section.partition("\n")
            if head == "error":
                message = body.rstrip("\n")
            elif head.startswith("var "):
                _, name, value = head.split(" ", 2)
                variables[name] = value
            else:
                files[head] = body.replace("→", "\t").replace("␇", "\a")
        cases.append(Case(title.strip(), files, variables, message))
    return cases


@pytest.mark.parametrize("case", read_cases(), ids=lambda case: case.title)
def test_message(case: Case, tmp_path: Path) -> None:
    """What is wrong, where, and how to mend it."""
    for name, text in case.files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    with pytest.raises((ConfigError, UsageError)) as caught:
        load_pipeline(tmp_path / "p.yaml", root=tmp_path, variables=case.variables, env=ENV)
    assert str(caught.value) == case.message
    assert "many-secrets" not in str(caught.value)


def test_titles_are_unique() -> None:
    """A case added twice would hide one of the two."""
    titles = [case.title for case in read_cases()]
    assert len(set(titles)) == len(titles) >= 40
