"""Checks of vectors and of texts: each kind, over tables and views, in each severity."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from mmetl.checks.languages import LOOKED_AT
from tests.harness import Project

NAN, INF = "'nan'::double", "'infinity'::double"

KINDS = [
    # a check, the type of the column, values that pass, values that fail
    ("dimension: {column: x, size: 2}", "float[2]", ["[1, 2]", "null"], []),
    ("dimension: {column: x, size: 3}", "float[2]", ["null"], ["[1, 2]", "[3, 4]"]),
    ("dimension: {column: x, size: 2}", "float[]", ["[1, 2]", "null"], ["[1]", "[]", "[1, 2, 3]"]),
    ("dimension: {column: x, size: 2}", "bigint[]", ["[1, null]"], ["[1]"]),
    (
        "finite: x",
        "float[2]",
        ["[1, 2]", "[3e38, 3e38]"],
        ["null", "[1, null]", f"[1, {NAN}]", f"[{INF}, 1]", f"[-{INF}, {INF}]"],
    ),
    ("finite: x", "float[]", ["[1]", "[]"], ["null", "[1, null]", f"[{NAN}]"]),
    ("finite: x", "double[2]", ["[1e308, 1e308]"], ["null", "[1, null]", f"[1, {NAN}]", f"[1, -{INF}]"]),
    ("finite: x", "double[]", ["[]", "[-1e308]"], [f"[{NAN}, 1]", f"[{INF}]"]),
    ("finite: x", "integer[]", ["[1, 2]"], ["null", "[1, null]"]),
    ("finite: x", "double", ["1", "-1e308"], ["null", NAN, f"-{INF}"]),
    ("finite: x", "bigint", ["1"], ["null"]),
    (
        "normalized: {column: x}",
        "float[2]",
        ["[0.6, 0.8]", "[0, -1.0005]", "null"],
        ["[1, 1]", "[0, 0]", f"[1, {NAN}]"],
    ),
    ("normalized: {column: x}", "double[]", ["[1]", "[0.6, 0.8]"], ["[]", "[1, null]", "[1e200, 1]", f"[{INF}]"]),
    ("normalized: {column: x, tolerance: 0.1}", "float[2]", ["[0, 1.09]", "[0, 0.91]"], ["[0, 1.11]", "[0, 0.89]"]),
    ("text_length: {column: x, min: 2}", "varchar", ["'éé'", "null", "'日本語'"], ["''", "'é'"]),
    ("text_length: {column: x, min: 1, max: 2}", "varchar", ["'é'", "'éé'"], ["'abc'", "''"]),
    ("text_length: {column: x, max: 2}", "bigint", ["-9", "12"], ["123"]),
    (
        "language: {column: x, languages: en}",
        "varchar",
        ["'The import system finds modules and loads them.'", "null", "''", "'12'", "'hello'"],
        ["'Das Importsystem findet Module und lädt sie.'", "'Le système d''import trouve les modules.'"],
    ),
    (
        "language: {column: x, languages: [de, fr]}",
        "varchar",
        ["'Das Importsystem findet Module und lädt sie.'", "'Le système d''import trouve les modules.'"],
        ["'The import system finds modules and loads them.'"],
    ),
    (
        "language: {column: x, languages: de, min_confidence: 0.9}",
        "varchar",
        ["'so'"],
        ["'what would the people of the town say'"],
    ),
]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def expecting(project: Project, check: str, kind: str, values: list[str], more: str = "", view: str = "") -> None:
    rows = ", ".join(f"({n}, {v})" for n, v in enumerate(values))
    project.tasks(
        f"  t:\n    transform: tabular.sql\n    {view or 'key: id'}\n    expect: [{{{check}{more}}}]\n    params:\n"
        f"      sql: |\n        select id::bigint as id, x::{kind} as x from (values {rows}) v(id, x)\n"
    )


def ids(project: Project, *argv: str) -> list[int]:
    return sorted(json.loads(line)["id"] for line in project.fast(*argv, "t", "--json").out.splitlines())


@pytest.mark.parametrize(("check", "kind", "good", "bad"), KINDS, ids=[f"{k[0]} of {k[1]}" for k in KINDS])
def test_a_check_finds_the_rows_that_fail(
    project: Project, check: str, kind: str, good: list[str], bad: list[str]
) -> None:
    values = [*good, *bad]
    label = check.partition(":")[0] + "(x)"
    count = "1 row" if len(bad) == 1 else f"{len(bad)} rows"
    expecting(project, check, kind, good)
    done = project.fast("run", "--json")
    assert done.outcomes() == {"t": "ran"}, done.json()["tasks"][0]["error"]
    if not bad:
        return
    expecting(project, check, kind, values, view="materialize: view")
    told = project.fast("run", "--json").json()["tasks"][0]["error"]
    assert told == f"a check fails: {label}: {count}; mmetl check t --rows"
    expecting(project, check, kind, values)
    assert project.fast("run", "--json").json()["tasks"][0]["error"] == told
    found = project.fast("check", "t", "--rows", "--json").json()["checks"][0]
    assert (found["failing"], sorted(r["id"] for r in found["rows"])) == (len(bad), list(range(len(good), len(values))))
    expecting(project, check, kind, values, ", severity: warn")
    assert project.fast("run", "--json").json()["tasks"][0]["error"] == f"expected otherwise: {label}: {count}"
    assert ids(project, "show") == list(range(len(values)))
    expecting(project, check, kind, values, ", severity: quarantine, max_fraction: 1")
    assert project.run() == {"t": "ran"}
    assert ids(project, "show") == list(range(len(good)))
    assert ids(project, "quarantine", "show") == list(range(len(good), len(values)))


@pytest.mark.parametrize(
    ("check", "kind", "value", "told"),
    [
        ("dimension: {column: x, size: 3}", "varchar", "'a'", "check dimension(x): the column is 'string', not a list of numbers; name a column of vectors"),
        ("normalized: {column: x}", "varchar[]", "['a']", "check normalized(x): the column is 'list<element: string>', not a list of numbers"),
        ("finite: x", "varchar", "'a'", "check finite(x): the column is 'string', not a list of numbers; name a column of vectors or numbers"),
        ("finite: z", "double", "1", "check finite(z): the table has no column 'z'"),
        ("language: {column: x, languages: qq}", "varchar", "'a'", "check language(x): the language 'qq' is not known; "),
    ],
)  # fmt: skip
def test_a_check_that_cannot_be_put_to_the_table(
    project: Project, check: str, kind: str, value: str, told: str
) -> None:
    expecting(project, check, kind, [value], ", severity: warn")
    done = project.fast("run", "--json")
    assert done.outcomes() == {"t": "failed"}
    assert told in done.json()["tasks"][0]["error"]


@pytest.mark.parametrize(
    ("check", "told"),
    [
        ("dimension: {column: x, size: 0}", "'size' is 0, expected a whole number of at least 1"),
        ("dimension: {column: x}", "'dimension' needs 'size'"),
        ("normalized: {column: x, tolerance: 2}", "'tolerance' is 2, expected a number above 0 and below 1"),
        ("text_length: {column: x}", "it needs 'min' or 'max'"),
        ("text_length: {column: x, min: 3, max: 2}", "'min' is 3, above 'max', which is 2"),
        ("language: {column: x, languages: English}", "expected the code of a language such as en"),
        ("language: {column: x, languages: []}", "expected a list of at least 1 item"),
    ],
)
def test_what_is_wrong_with_a_check_is_told_before_anything_runs(project: Project, check: str, told: str) -> None:
    expecting(project, check, "double", ["1"])
    done = project.fast("validate")
    assert done.code == 3
    assert told in done.err


def test_the_language_of_a_long_text_is_that_of_its_beginning(project: Project) -> None:
    begin = "The import system finds modules and loads them. " * (LOOKED_AT // 40)
    project.write("in.csv", f"id,x\n1,{begin}{'Das Importsystem findet Module und lädt sie. ' * 2000}\n")
    project.tasks(
        "  t:\n    transform: tabular.read\n    params: {path: in.csv}\n    expect: [{language: {column: x, languages: [en]}}]\n"
    )
    assert project.run() == {"t": "ran"}


def test_the_version_of_the_detector_makes_no_item_new(project: Project) -> None:
    """It decides what is looked at, not what is made: so it is a part of the recipe, and none of the items' own."""
    project.write("in.csv", "id,text\n1,The import system finds modules and loads them.\n")
    project.write("own.py", "import numpy as np\n\n\ndef embed(texts):\n    return np.ones((len(texts), 2))\n")
    task = (
        "  v: {transform: vector.embed, inputs: [t], params: {provider: function, function: 'own:embed', dimensions: 2}"
    )
    read = "  t: {transform: tabular.read, params: {path: in.csv}, key: [id]}\n"
    project.tasks(f"{read}{task}}}\n")
    project.run()
    project.tasks(
        f"{read}{task}, expect: [{{language: {{column: text, languages: [en]}}}}, {{normalized: {{column: vector}}}}]}}\n"
    )
    done = project.fast("run", "--json").json()["tasks"]
    assert {t["task"]: t["items"] for t in done if t["task"] == "v"} == {"v": {"unchanged": 1, "computed": 0}}
    reasons = project.fast("dry-run", "--force", "--json")
    assert reasons.code == 0


def test_ten_thousand_vectors_are_judged_as_numpy_judges_them(project: Project) -> None:
    """All four checks of vectors and texts, in one scan over 12,000 rows: what each counts is what numpy counts."""
    import pyarrow.parquet as pq

    random = np.random.default_rng(1)
    vectors = random.normal(size=(12_000, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[random.random(12_000) < 0.05] *= 2
    vectors[random.random(12_000) < 0.02, 3] = np.nan
    texts = ["x" * n for n in random.integers(0, 20, 12_000).tolist()]
    rows = pa.table(
        {
            "id": pa.array(range(12_000)),
            "v": pa.array(vectors.tolist(), pa.list_(pa.float32())),
            "t": pa.array(texts),
        }
    )
    pq.write_table(rows, project.root / "in.parquet")
    project.tasks(
        "  t:\n    transform: tabular.read\n    params: {path: in.parquet}\n    key: id\n    expect:\n"
        "      - {finite: v, severity: warn}\n"
        "      - {normalized: {column: v}, severity: warn}\n"
        "      - {dimension: {column: v, size: 8}, severity: warn}\n"
        "      - {text_length: {column: t, min: 5, max: 15}, severity: warn}\n"
    )
    assert project.run() == {"t": "ran"}
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    expected = {
        "finite": int((~np.isfinite(vectors).all(axis=1)).sum()),
        "normalized": int((~(np.abs(lengths - 1) <= 0.001)).sum()),
        "dimension": 0,
        "text_length": sum(not 5 <= len(t) <= 15 for t in texts),
    }
    assert min(expected["finite"], expected["normalized"], expected["text_length"]) > 100
    found = project.fast("check", "t", "--json").json()["checks"]
    assert {c["check"].partition("(")[0]: c["failing"] for c in found} == expected
