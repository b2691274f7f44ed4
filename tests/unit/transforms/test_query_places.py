"""An error of a running query is told where the YAML has it."""

from __future__ import annotations

import pytest
from harness import Project

ROWS = "id,s\n1,4\n2,x\n"
READ = "  rows: {transform: tabular.read, key: id, params: {path: rows.csv}}\n"
CASES = {
    "block": (
        (
            "  bad:\n    transform: tabular.sql\n    params:\n      sql: |\n        -- numbers\n        select id,\n"
            "          cast(s as integer) as n\n        from rows\n"
        ),
        (
            "pipeline.yaml:11:11: error: could not convert string 'x' to INT32 when casting from source column s\n"
            "  11 |           cast(s as integer) as n\n     |           ^\n"
        ),
    ),
    "flow": (
        '  bad: {transform: tabular.sql, params: {sql: "select id, cast(s as integer) as n from rows"}}\n',
        (
            "pipeline.yaml:5:59: error: could not convert string 'x' to INT32 when casting from source column s\n"
            '   5 |   bad: {transform: tabular.sql, params: {sql: "select id, cast(s as integer) as n from rows"}}\n'
            "     |                                                           ^\n"
        ),
    ),
    "the second of two equal lines": (
        (
            "  bad:\n    transform: tabular.sql\n    params:\n      sql: |\n        select count(*) as n, s from rows group by s\n"
            "        union all select\n        count(nope) as n,\n        s from rows group by s\n"
        ),
        (
            'pipeline.yaml:11:15: error: referenced column "nope" not found in FROM clause\n'
            "  11 |         count(nope) as n,\n     |               ^\n"
            'help: candidate bindings: "id"\n'
        ),
    ),
    "interpolated": (
        (
            "  bad:\n    transform: tabular.sql\n    params:\n      sql: >-\n        select ${var:column} as id,\n"
            "        cast(s as ${var:type}) as n from rows\n"
        ),
        (
            "pipeline.yaml:11:9: error: could not convert string 'x' to INT32 when casting from source column s\n"
            "  11 |         cast(s as ${var:type}) as n from rows\n     |         ^\n"
        ),
    ),
}


@pytest.mark.parametrize("title", CASES)
def test_the_place_in_the_yaml(project: Project, title: str) -> None:
    yaml, expected = CASES[title]
    project.write("rows.csv", ROWS)
    variables = "vars: {column: a_long_name_of_a_column, type: integer}\n" if "${" in yaml else ""
    project.write("pipeline.yaml", f"version: 1\nname: p\n{variables}tasks:\n{READ}{yaml}")
    done = project.fast("run", *(["--var", "column=id"] if variables else []))
    (log,) = project.root.glob(".mmetl/logs/*/p.bad.log")
    assert log.read_text() == expected
    assert done.code == 1
    assert expected.partition("\n")[0].replace("error: ", "") in done.err
