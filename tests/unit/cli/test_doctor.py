"""`mmetl doctor`: what is wrong is found, and how to mend it is told."""

from __future__ import annotations

import sqlite3
from importlib.metadata import version
from pathlib import Path

import pytest
from harness import Project

TASKS = "  t: {transform: tabular.read, key: id, params: {path: t.csv}}\n"


@pytest.fixture
def table(empty: Project) -> Project:
    empty.write("t.csv", "id\n1\n2\n")
    empty.tasks(TASKS)
    empty.run()
    return empty


def findings(project: Project, *argv: str) -> dict[str, dict[str, str]]:
    """Return name -> finding."""
    return {f["name"]: f for f in project.fast("doctor", "--json", *argv).json()["findings"]}


def parts(project: Project) -> list[Path]:
    return [p for p in (project.root / ".mmetl/parts").rglob("*") if p.is_file()]


def test_a_project_that_is_well(table: Project) -> None:
    """Versions, state, parts, disk; nothing is changed by looking."""
    found = findings(table)
    assert found["mmetl"]["value"] == version("mmetl")
    assert found["duckdb"] == {
        "group": "extra tabular", "name": "duckdb", "value": version("duckdb"), "state": "good", "help": "",
    }  # fmt: skip
    assert found["integrity"]["value"] == "ok"
    assert (found["tasks"]["value"], found["runs"]["value"], found["run lock"]["value"]) == ("1", "1", "free")
    assert found["parts"]["value"].startswith("1, ")
    assert found["free"]["value"].endswith("B")
    assert {f["state"] for f in found.values()} <= {"good", "missing"}
    done = table.fast("doctor")
    assert (done.code, done.err) == (0, "")
    assert done.out.endswith("nothing is wrong\n")
    assert table.run() == {"t": "fresh"}


def test_before_the_first_run(empty: Project) -> None:
    """There is no state, and none is made."""
    assert findings(empty)["state file"]["value"] == "none: nothing ran here yet"
    assert not (empty.root / ".mmetl").exists()


def test_missing_extras_are_told_with_what_installs_them(table: Project) -> None:
    """It is no fault: nobody may need them."""
    for found in findings(table).values():
        if found["state"] == "missing":
            extra = found["group"].removeprefix("extra ")
            assert (found["value"], found["help"]) == ("not installed", f"pip install 'mmetl[{extra}]'")


def test_deep_finds_damaged_parts(table: Project) -> None:
    """Every part is hashed: exit code 1, the part and whose it is, and how to mend it."""
    (part,) = parts(table)
    text = part.read_bytes()
    part.chmod(0o644)
    part.write_bytes(text[:-1] + bytes([text[-1] ^ 1]))
    assert table.fast("doctor").code == 0
    done = table.fast("doctor", "--deep")
    path = part.relative_to(table.root)
    assert done.code == 1
    assert "! damaged" in done.out
    assert f"{path} of p:t  (rm {path}; mmetl run makes it anew)\n" in done.out
    assert done.out.endswith("2 wrong\n")
    part.unlink()
    assert table.run() == {"t": "ran"}
    assert table.fast("doctor", "--deep").code == 0


def test_a_missing_part(table: Project) -> None:
    """It is seen without reading anything."""
    (part,) = parts(table)
    part.unlink()
    found = findings(table)["missing"]
    assert (found["value"], found["state"], found["help"]) == (f"{part.name} of p:t", "bad", "mmetl run makes it anew")


def test_a_damaged_state_file(table: Project) -> None:
    """It is told, with the rest: no other command would say more."""
    table.write(".mmetl/state.db", "no database " * 1000)
    for suffix in ("-wal", "-shm"):
        (table.root / f".mmetl/state.db{suffix}").unlink(missing_ok=True)
    done = table.fast("doctor")
    assert done.code == 1
    assert "is damaged" in done.out
    assert "move it away to start over" in done.out


def test_pages_that_are_damaged(table: Project) -> None:
    """What opens well may be damaged further in."""
    with sqlite3.connect(table.root / ".mmetl/state.db") as db:
        db.execute("pragma wal_checkpoint(truncate)")
        (page,) = db.execute("select rootpage from sqlite_master where name = 'events'").fetchone()
        (size,) = db.execute("pragma page_size").fetchone()
    with (table.root / ".mmetl/state.db").open("r+b") as f:
        f.seek((page - 1) * size)
        f.write(b"\xff" * size)
    done = table.fast("doctor")
    assert done.code == 1
    assert "! " in done.out


def test_a_newer_state_file(table: Project) -> None:
    """It is refused as everywhere."""
    with sqlite3.connect(table.root / ".mmetl/state.db") as db:
        db.execute("pragma user_version = 99")
    done = table.fast("doctor")
    assert (done.code, "was written by a newer mmETL" in done.out) == (1, True)
