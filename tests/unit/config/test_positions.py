"""From a place in the tree to file, line and column."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmetl.config.loader import load_pipeline

MAIN = """\
version: 1
name: p
vars: {long: a much longer text}
tasks:
  plain:
    transform: a.b
    params:
      sql: select x from t
      quoted: 'it''s x'
      escaped: "\\ttab \\u00e9 x"
      folded: >-
        select
          y
        from x
      literal: |2

          select
          x
      wrapped: one
        two x
      moved: ${var:long}, then x ${var:long}
      anchored: &a !!str  x
    inputs: [first, second]
    key: id
  other:
    <<: !include more/base.yaml
    description: ${HOME}
"""
BASE = "transform: a.b\nparams:\n  deep: [1, {z: 2}]\n"
PARAMS = ("tasks", "plain", "params")

CASES = [
    ((*PARAMS, "sql"), False, None, (8, 12)),
    ((*PARAMS, "sql"), True, None, (8, 7)),
    ((*PARAMS, "sql"), False, 7, (8, 19)),
    ((*PARAMS, "quoted"), False, 5, (9, 22)),
    ((*PARAMS, "escaped"), False, 7, (10, 30)),
    ((*PARAMS, "folded"), False, 16, (14, 14)),
    ((*PARAMS, "literal"), False, 12, (18, 11)),
    ((*PARAMS, "wrapped"), False, 8, (20, 13)),
    ((*PARAMS, "moved"), False, 3, (21, 14)),
    ((*PARAMS, "moved"), False, 25, (21, 32)),
    ((*PARAMS, "moved"), False, 30, (21, 34)),
    ((*PARAMS, "anchored"), False, 0, (22, 27)),
    (("tasks", "plain", "inputs", "second"), False, None, (23, 21)),
    (("tasks", "plain", "key", 0), False, None, (24, 5)),
    (("tasks", "plain", "absent"), False, None, (5, 3)),
    (("absent",), True, None, (1, 1)),
    ((), False, None, (1, 1)),
]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "more").mkdir()
    (tmp_path / "p.yaml").write_text(MAIN)
    (tmp_path / "more/base.yaml").write_text(BASE)
    return tmp_path


@pytest.mark.parametrize(("path", "on_key", "offset", "position"), CASES)
def test_locate(
    project: Path, path: tuple[str | int, ...], on_key: bool, offset: int | None, position: tuple[int, int]
) -> None:
    """The line and column of a value, its key, or a character of it."""
    loaded = load_pipeline(project / "p.yaml", root=project, env={"HOME": "/h"})
    where = loaded.source.locate(path, on_key=on_key, offset=offset)
    assert (where.file, where.line, where.column) == ("p.yaml", *position)
    assert where.text == MAIN.split("\n")[position[0] - 1]


def test_locate_through_an_include(project: Path) -> None:
    """The position is in the file that holds the value, named relative to the project."""
    loaded = load_pipeline(project / "p.yaml", root=project, env={"HOME": "/h"})
    locate = loaded.source.locate
    assert str(locate(("tasks", "other", "params", "deep", 1, "z"))) == "more/base.yaml:3:17"
    assert str(locate(("tasks", "other", "params", "deep", 1, "z"), on_key=True)) == "more/base.yaml:3:14"
    assert str(locate(("tasks", "other", "description"))) == "p.yaml:27:18"


def test_values_of_the_environment_have_their_original(project: Path) -> None:
    """Messages show `${HOME}`; a text of vars alone may be shown as it is."""
    source = load_pipeline(project / "p.yaml", root=project, env={"HOME": "/h"}).source
    assert source.original(("tasks", "other", "description")) == "${HOME}"
    assert source.original((*PARAMS, "moved")) is None
    assert source.hides(("tasks", "other"))
    assert not source.hides(PARAMS)


def test_a_good_pipeline_is_composed_once(project: Path) -> None:
    """Positions cost nothing until somebody asks."""
    source = load_pipeline(project / "p.yaml", root=project, env={"HOME": "/h"}).source
    assert source.main._composed is None
    source.locate(("name",))
    assert source.main._composed is not None
