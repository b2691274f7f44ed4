"""A part that was damaged: what `show` says, and that the next run makes it again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness import Project

from mmetl.errors import TaskError

TASKS = """\
  rows:
    transform: tabular.read
    key: id
    params: {path: rows.csv}
  sums:
    transform: tabular.sql
    params: {sql: "select count(*) as n, sum(v) as total from rows"}
"""


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def overwrite(path: Path) -> None:
    path.write_bytes(b"not a part\n" * 30)


def spoil(path: Path) -> None:
    """Damage the pages, and leave the footer."""
    content = bytearray(path.read_bytes())
    content[4:80] = bytes(76)
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [truncate, overwrite, spoil, empty])
@pytest.mark.parametrize("cached", [True, False])
def test_a_damaged_part(project: Project, damage: Callable[[Path], None], cached: bool) -> None:
    project.write("rows.csv", "id,v\n" + "".join(f"{n},{n % 7}\n" for n in range(50)))
    project.tasks(TASKS if cached else TASKS.replace("    key: id\n", "    key: id\n    cache: false\n"))
    assert project.run() == {"rows": "ran", "sums": "ran"}
    sound = project.fast("show", "rows").out
    (part,) = [p for p in project.root.glob(".mmetl/parts/??/*") if b"id" in p.read_bytes()]
    part.parent.chmod(0o755)
    part.chmod(0o644)
    damage(part)
    said = project.fast("show", "rows")
    expected = f"error: a part of 'rows' is missing or damaged ({part.name})\nhelp: run again: its producer will make it anew\n"
    assert (said.code, said.err) == (1, expected)
    assert project.run() == {"rows": "ran", "sums": "fresh"}
    assert project.fast("show", "rows").out == sound
    assert project.run() == {"rows": "fresh", "sums": "fresh"}


@pytest.mark.parametrize("damage", [truncate, overwrite, spoil, empty, Path.unlink])
def test_reading_a_damaged_part(bench: Any, damage: Callable[[Path], None]) -> None:
    """It was sound when the task began."""
    table = bench.table({"id": list(range(50))})
    damage(table.paths[0])
    with pytest.raises(TaskError) as caught:
        bench.rows(table)
    assert str(caught.value) == (
        f"error: a part of 'me' is missing or damaged ({table.paths[0].name})\nhelp: run again: its producer will make it anew"
    )
