"""`tabular.read` of Excel files: what cells become, which sheet, and files that cannot be read."""

from __future__ import annotations

import datetime as dt
import json

import pytest

xlsxwriter = pytest.importorskip("xlsxwriter")


def book(path, sheets):
    path.parent.mkdir(exist_ok=True, parents=True)
    with xlsxwriter.Workbook(path) as made:
        formats = {
            dt.datetime: made.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"}),
            dt.date: made.add_format({"num_format": "yyyy-mm-dd"}),
        }
        for name, rows in sheets.items():
            sheet = made.add_worksheet(name)
            for y, row in enumerate(rows):
                for x, cell in enumerate(row):
                    sheet.write(y, x, cell, *filter(None, [formats.get(type(cell))]))


@pytest.fixture
def reading(empty):
    def read(params="", path="data/*.xlsx"):
        empty.write(
            "pipeline.yaml",
            f"version: 1\nname: p\ntasks:\n  t:\n    transform: tabular.read\n    params: {{path: '{path}'{params}}}\n",
        )
        return empty.fast("run")

    read.project = empty
    return read


def rows(project):
    shown = project.fast("show", "t", "--json", "--limit", "0")
    assert shown.code == 0, shown.err
    return [json.loads(line) for line in shown.out.splitlines()]


def test_cells_keep_their_types(reading):
    day, moment = dt.date(2026, 11, 24), dt.datetime(2026, 11, 24, 10, 30)  # noqa: DTZ001  Excel knows no time zones
    table = [
        ["id", "price", "name", "ok", "day", "moment", "mixed", "none"],
        [1, 1.5, "a", True, day, moment, 7, None],
        [],
        [2, 2, "b", False, day, moment, "x", None],
        [3, None, "", None, None, None, True, None],
    ]
    book(reading.project.root / "data/a.xlsx", {"One": table})
    assert reading().code == 0
    assert rows(reading.project) == [
        {
            "id": 1,
            "price": 1.5,
            "name": "a",
            "ok": True,
            "day": "2026-11-24",
            "moment": "2026-11-24 10:30:00",
            "mixed": "7",
            "none": None,
        },
        {
            "id": 2,
            "price": 2.0,
            "name": "b",
            "ok": False,
            "day": "2026-11-24",
            "moment": "2026-11-24 10:30:00",
            "mixed": "x",
            "none": None,
        },
        {"id": 3, "price": None, "name": None, "ok": None, "day": None, "moment": None, "mixed": "true", "none": None},
    ]


def test_a_sheet_by_name_and_by_number(reading):
    book(reading.project.root / "data/a.xlsx", {"One": [["a"], [1]], "Two": [["b"], [2]]})
    assert reading(", sheet: Two").code == 0
    assert rows(reading.project) == [{"b": 2}]
    assert reading(", sheet: 1").code == 0
    assert rows(reading.project) == [{"a": 1}]
    refused = reading(", sheet: Three")
    assert refused.code == 1
    assert "has no sheet 'Three'; it has: One, Two" in refused.err + refused.out
    refused = reading(", sheet: 3")
    assert "has 2 sheets, not 3" in refused.err + refused.out


def test_files_agree_on_a_type(reading):
    book(reading.project.root / "data/a.xlsx", {"S": [["id", "code"], [1, 7]]})
    book(reading.project.root / "data/b.xlsx", {"S": [["id", "code"], [2, "x"]]})
    assert reading().code == 0
    assert rows(reading.project) == [{"id": 1, "code": "7"}, {"id": 2, "code": "x"}]


def test_columns_that_differ(reading):
    book(reading.project.root / "data/a.xlsx", {"S": [["id", "old"], [1, 7]]})
    book(reading.project.root / "data/b.xlsx", {"S": [["id", "new"], [2, "x"]]})
    assert reading().code == 1
    assert reading(", schema: union").code == 0
    assert rows(reading.project) == [{"id": 1, "old": 7, "new": None}, {"id": 2, "old": None, "new": "x"}]


def test_without_a_header_and_with_types(reading):
    book(reading.project.root / "data/a.xlsx", {"S": [[1, "a"], [2, "b"]]})
    assert reading(", header: false, names: [n, t], types: {n: VARCHAR}").code == 0
    assert rows(reading.project) == [{"n": "1", "t": "a"}, {"n": "2", "t": "b"}]
    assert reading(", header: false").code == 0
    assert rows(reading.project) == [{"column0": 1, "column1": "a"}, {"column0": 2, "column1": "b"}]


def test_types_decide_over_what_cells_hold(reading):
    moment = dt.datetime(2026, 11, 24, 10, 30)  # noqa: DTZ001  Excel knows no time zones
    table = [
        ["number", "price", "exact", "ok", "moment", "text_day", "none"],
        [1, 1.5, 0.1, True, moment, "2026-01-02", None],
        [2, 2, 1 / 3, False, moment, "2026-01-03", None],
    ]
    book(reading.project.root / "data/a.xlsx", {"S": table})
    types = (
        "number: VARCHAR, price: text, exact: 'DECIMAL(4,2)', ok: VARCHAR, moment: DATE, text_day: DATE, none: INTEGER"
    )
    done = reading(f", types: {{{types}}}")
    assert done.code == 0, done.err
    assert rows(reading.project) == [
        {
            "number": str(number),
            "price": price,
            "exact": exact,
            "ok": ok,
            "moment": "2026-11-24",
            "text_day": f"2026-01-0{number + 1}",
            "none": None,
        }
        for number, price, exact, ok in [(1, "1.5", "0.10", "true"), (2, "2", "0.33", "false")]
    ]


@pytest.mark.parametrize(
    ("kind", "cell", "other"),
    [("INTEGER", "x", 1), ("DATE", "7", 7), ("TINYINT", "1000", 1), ("DATE", "2026-13-01", "2026-01-01")],
)
def test_a_cell_that_is_not_of_its_type_is_told(reading, kind, cell, other):
    book(reading.project.root / "data/a.xlsx", {"S": [["id", "v"], [1, other], [2, None]]})
    book(
        reading.project.root / "data/b.xlsx",
        {"S": [["id", "v"], [3, None], [4, int(cell) if cell.isdigit() else cell]]},
    )
    place = "'data/a.xlsx': row 1" if str(other) == cell else "'data/b.xlsx': row 2"
    told = (
        f"{place} of the data has '{cell}' in 'v', which is no {kind}; mend the cell, or take another type in `types`"
    )
    assert told in reading(f", types: {{v: {kind}}}").err


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ([["a", "a"], [1, 2]], "has two columns 'a'"),
        ([["a", None, "b"], [1, 2, 3]], "column 2 has no name in the first row"),
        ([["a"], [1, 2]], "has cells right of the last column"),
        ([], "has an empty sheet"),
    ],
)
def test_a_sheet_that_is_no_table(reading, table, told):
    book(reading.project.root / "data/a.xlsx", {"S": table})
    done = reading()
    assert done.code == 1
    assert told in done.err + done.out
    assert "Traceback" not in done.err


@pytest.mark.parametrize("how", ["cut", "text", "empty"])
def test_a_damaged_file(reading, how):
    path = reading.project.root / "data/a.xlsx"
    book(path, {"S": [["a"], [1]]})
    content = path.read_bytes()
    path.write_bytes({"cut": content[: len(content) // 2], "text": b"a,b\n1,2\n", "empty": b""}[how])
    done = reading()
    assert done.code == 1
    assert "is not an Excel file, or it is damaged" in done.err + done.out
    assert "Traceback" not in done.err


def test_params_of_other_formats(reading):
    reading.project.write("data/a.csv", "a\n1\n")
    done = reading(", sheet: 1", "data/a.csv")
    assert done.code == 3
    assert "'sheet' is for xlsx, and this file is csv" in done.err
    book(reading.project.root / "data/a.xlsx", {"S": [["a"], [1]]})
    done = reading(", delimiter: ';'")
    assert done.code == 3
    assert "'delimiter' is for csv and tsv, and this file is xlsx" in done.err


def test_many_rows(reading):
    book(reading.project.root / "data/a.xlsx", {"S": [["n"], *([n] for n in range(70_000))]})
    assert reading().code == 0
    assert reading.project.fast("query", "select count(*), sum(n) from p.t", "--csv").out.split() == [
        "count_star(),sum(n)",
        "70000,2449965000",
    ]
