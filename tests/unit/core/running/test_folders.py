"""A partitioned write: only partitions that changed are written, those that vanish are removed."""

from __future__ import annotations

import pyarrow.dataset as ds
import pytest

from tests.harness import Project

ROWS = "  t: {transform: tabular.read, params: {path: t.csv}}\n"
WRITE = (
    "  w: {{transform: tabular.write, inputs: [t], params: {{path: {0}, partition_by: [year, region], format: {1}}}}}\n"
)
COUNT = "  n: {transform: shell.run, params: {command: 'find out -type f | sort > n.txt', inputs: ['out/**/*.parquet'], outputs: [n.txt]}}\n"
DATA = "year,region,v\n2024,a b,1\n2023,,2\n2024,a b,3\n"
EU, NONE = "out/f/year=2024/region=a%20b/data.parquet", "out/f/year=2023/region=__HIVE_DEFAULT_PARTITION__/data.parquet"


@pytest.fixture
def flights(empty: Project) -> Project:
    """A table in two partitions, and a task that lists them."""
    empty.write("t.csv", DATA)
    empty.tasks(ROWS + WRITE.format("out/f", "parquet") + COUNT)
    assert set(empty.run().values()) == {"ran"}
    return empty


def files(project: Project) -> list[str]:
    return sorted(str(p.relative_to(project.root)) for p in (project.root / "out").rglob("*") if p.is_file())


def test_hive_layout(flights: Project) -> None:
    """Arrow reads it back; the reader of a glob goes after the writer; the second run is fresh."""
    rows = ds.dataset(flights.root / "out/f", partitioning="hive").to_table().sort_by("v").to_pylist()
    assert [(r["year"], r["region"], r["v"]) for r in rows] == [(2024, "a b", 1), (2023, None, 2), (2024, "a b", 3)]
    assert flights.read("n.txt") == f"{NONE}\n{EU}\n"
    assert set(flights.run().values()) == {"fresh"}


def test_only_what_changed(flights: Project) -> None:
    """An unchanged partition is not touched, one that vanishes goes with its empty folders."""
    before = (flights.root / EU).stat()
    flights.write("t.csv", DATA.replace("2023,,2", "2022,x,2"))
    assert set(flights.run().values()) == {"ran"}
    after = (flights.root / EU).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert files(flights) == ["out/f/year=2022/region=x/data.parquet", EU]
    assert not (flights.root / "out/f/year=2023").exists()
    flights.write("t.csv", DATA)
    assert flights.run()["w"] == "restored"
    assert files(flights) == [NONE, EU]


def test_deleted_and_edited(flights: Project) -> None:
    """Both are put back; the edited file is moved aside."""
    (flights.root / NONE).unlink()
    flights.write(EU, "mine")
    assert flights.dry()["w"] != "fresh"
    assert flights.run()["w"] == "restored"
    assert set(flights.run().values()) == {"fresh"}
    assert flights.read(f".mmetl/replaced/{EU}") == "mine"


def test_foreign_and_edited_files_stay(flights: Project) -> None:
    """A vanished partition that somebody edited is kept and told, as is a file that nobody wrote."""
    flights.write(NONE, "mine")
    flights.write("out/f/note.txt", "note")
    flights.write("t.csv", DATA.replace("2023,,2\n", ""))
    out = flights.fast("run", "--select", "t w")
    assert out.code == 0
    assert f"kept in 'out/f/', and not written by this task: out/f/note.txt, {NONE}" in " ".join(
        (out.out + out.err).split()
    )
    assert flights.read(NONE) == "mine"


def test_renamed_task_takes_over(flights: Project) -> None:
    """The files of the task that had the folder are known for ours."""
    text = ROWS + WRITE.format("out/f", "parquet").replace("  w:", "  x:") + COUNT
    flights.tasks(text)
    assert flights.run()["x"] == "restored"
    assert files(flights) == [NONE, EU]
    flights.write("t.csv", DATA.replace("2023,,2\n", ""))
    flights.run()
    assert files(flights) == [EU]
    assert flights.fast("clean", "--orphans").code == 0
    assert files(flights) == [EU]
    assert set(flights.run().values()) == {"fresh"}


def test_another_recipe(flights: Project) -> None:
    """Its files are no leftovers of the one before: those that come out the same are not touched."""
    before = (flights.root / EU).stat()
    flights.edit("pipeline.yaml", "format: parquet", "format: parquet, order_by: [v]")
    assert flights.run()["w"] == "ran"
    assert (flights.root / EU).stat() == before


def test_another_folder(flights: Project) -> None:
    """What was written to the old folder goes."""
    flights.tasks(ROWS + WRITE.format("out/g", "csv"))
    flights.run()
    assert [f.replace("csv", "parquet") for f in files(flights)] == [f.replace("/f/", "/g/") for f in (NONE, EU)]
    assert flights.read("out/g/year=2024/region=a%20b/data.csv") == "v\n1\n3\n"


def test_clean(flights: Project) -> None:
    """Files and empty folders go, and come back."""
    assert flights.fast("clean", "w").code == 0
    assert not (flights.root / "out/f").exists()
    assert flights.run()["w"] == "restored"
    assert files(flights) == [NONE, EU]


KILLS = {
    "the first file is there": "put = PartStore.write_out\nPartStore.write_out = lambda *a: (put(*a), os._exit(9))\n",
    "all files are there": "folders.remove_if_ours = lambda *a: os._exit(9)\n",
}


@pytest.mark.parametrize("kill", KILLS.values(), ids=KILLS)
def test_known_after_a_kill(flights: Project, kill: str) -> None:
    """What a killed run has written is removed when it is no part of the table."""
    flights.write("t.csv", DATA.replace("2023,,2", "2022,x,2"))
    flights.write(
        "dies.py",
        "import os, sys\nfrom mmetl.cache.artifacts import PartStore\nfrom mmetl.core.running import folders\n"
        f"{kill}sys.argv = ['mmetl', 'run']\nfrom mmetl.__main__ import main\nmain()\n",
    )
    assert flights.command("python", "dies.py").code == 9
    assert len(files(flights)) == 3
    flights.write("t.csv", DATA)
    assert flights.run()["w"] in {"ran", "restored"}
    assert files(flights) == [NONE, EU]


def test_one_writer_a_folder(flights: Project) -> None:
    """Nobody else writes into it."""
    flights.tasks(ROWS + WRITE.format("out", "csv") + WRITE.format("out/f", "csv").replace("  w:", "  x:"))
    assert "tasks 'w' and 'x' both write into 'out/'" in flights.fast("validate").err


def test_too_many(flights: Project) -> None:
    """The limit is told, and nothing is published."""
    flights.edit("pipeline.yaml", "format: parquet", "max_partitions: 1")
    flights.write("t.csv", DATA + "2021,z,1\n")
    out = flights.fast("run")
    assert out.code == 1
    assert "'year', 'region' would make more than 1 partitions" in " ".join((out.out + out.err).split())
    assert files(flights) == [NONE, EU]


@pytest.mark.parametrize("kind", ["csv", "ndjson", "parquet"])
def test_the_bytes_of_a_plain_write(empty: Project, kind: str) -> None:
    """A partition is what `tabular.write` makes of its rows."""
    sql = "select range % 3 as k, range as v, case when range % 7 = 0 then null else 'a' || chr(10) || '\"' || range end s from range(20000)"
    empty.tasks(
        f"  t:\n    transform: tabular.sql\n    params:\n      sql: |\n        {sql}\n"
        "  one: {transform: tabular.sql, params: {sql: 'select v, s from t where k = 1'}}\n"
        f"  plain: {{transform: tabular.write, inputs: [one], params: {{path: plain.{kind}}}}}\n"
        f"  parts: {{transform: tabular.write, inputs: [t], params: {{path: out, partition_by: [k], format: {kind}}}}}\n"
    )
    assert set(empty.run().values()) == {"ran"}
    assert (empty.root / f"out/k=1/data.{kind}").read_bytes() == (empty.root / f"plain.{kind}").read_bytes()


def test_the_same_folder_twice(flights: Project) -> None:
    """Two tasks of one folder are told, as are a folder and a file inside of it."""
    w = WRITE.format("out/f", "csv")
    flights.tasks(ROWS + w + w.replace("  w:", "  x:"))
    assert "tasks 'w' and 'x' both write into 'out/f/'" in flights.fast("validate").err
    flights.tasks(ROWS + w + "  x: {transform: shell.run, params: {command: x, outputs: [out/f/x.csv]}}\n")
    assert "tasks 'x' and 'w' both write into 'out/f/'" in flights.fast("validate").err
