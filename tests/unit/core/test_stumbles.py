"""What people who used mmETL for the first time stumbled over; each once was wrong."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from harness import DODO, Project

EXITS = "import sys\n\n\ndef rows():\n    sys.exit({})\n"
TABLE = "  rows: {transform: tabular.python, params: {function: 'exits:rows'}}\n"


@pytest.mark.parametrize("code", ["0", "3", "'gone'"])
def test_exit_in_a_function_fails_its_task(empty: Project, code: str) -> None:
    """It neither ends the run nor decides its exit code."""
    empty.write("exits.py", EXITS.format(code))
    empty.tasks(TABLE)
    done = empty.fast("run", "--json")
    assert done.code == 1
    assert done.json()["tasks"][0]["error"] == f"it called sys.exit({code})"


def test_exit_in_an_imported_module_is_a_problem(empty: Project) -> None:
    empty.write("exits.py", "import sys\nsys.exit(0)\n")
    empty.write("pipeline.yaml", f"version: 1\nname: p\nimports: [./exits.py]\ntasks:\n{TABLE}")
    done = empty.fast("validate")
    assert done.code == 3
    assert "importing './exits.py' failed: SystemExit: 0" in done.err


def test_error_of_a_row_names_file_and_line(empty: Project) -> None:
    """In the summary, not only in the log."""
    empty.write("a.csv", "id,v\n1,2\n3,4,5\n")
    empty.tasks("  a: {transform: tabular.read, params: {path: a.csv}}\n")
    done = empty.fast("run", "--json")
    assert done.json()["tasks"][0]["error"].startswith("a.csv:3:1: ")


@pytest.mark.parametrize("path", ["out/", "out/${secret:TOKEN}.txt"])
def test_output_that_cannot_be(empty: Project, path: str) -> None:
    empty.tasks(f"  a: {{transform: shell.run, params: {{command: 'true', outputs: ['{path}']}}}}\n")
    done = empty.fast("validate")
    assert done.code == 3
    assert f"pipeline.yaml:4:65: error: '{path}'" in done.err


def test_folder_in_the_place_of_an_output(empty: Project) -> None:
    """It is left alone, and named."""
    (empty.root / "out").mkdir()
    empty.tasks("  a: {transform: shell.run, params: {command: 'true', outputs: [out]}}\n")
    done = empty.fast("run", "--json")
    assert done.json()["tasks"][0]["error"] == "its output 'out' is a folder; declare each file that the task writes"


def test_a_declaration_that_goes_is_a_reason(empty: Project) -> None:
    """An unset variable has no value before or after; that it is no longer declared is said."""
    task = "  a: {transform: shell.run, env: [NOT_SET], params: {command: 'true'}}\n"
    empty.tasks(task)
    empty.run()
    empty.tasks(task.replace("env: [NOT_SET], ", ""))
    assert empty.fast("dry-run", "--json").reasons()["a"] != []


def test_arguments_that_do_not_fit(empty: Project) -> None:
    """Told with both sides."""
    empty.write("exits.py", "def rows(a, b):\n    return []\n")
    empty.tasks(TABLE.replace("'}}", "', args: {a: 1}}}"))
    done = empty.fast("run", "--json")
    assert done.json()["tasks"][0]["error"] == (
        "'rows' cannot be called: missing a required argument: 'b'; it takes: a, b; the task gives: a"
    )


def test_doit_run_always_runs(project: Project) -> None:
    """`doit run -a` is what `--force` is."""
    project.write("dodo.py", "from mmetl.core.build import DOIT_CONFIG, task_pipelines\n")
    project.run()
    assert project.doit("run", "-a").code == 0
    assert set(project.fast("status", "--json").outcomes().values()) == {"ran"}


def test_preview_of_cleaned_tasks(project: Project) -> None:
    """All of them would be restored, also those that need others."""
    project.run()
    project.fast("clean")
    assert set(project.dry().values()) == set(project.run().values()) == {"restored"}


def test_pipeline_is_found_from_a_subfolder(project: Project) -> None:
    (project.root / "sub").mkdir()
    project.write("mmetl.yml", "version: 1\n")
    assert project.mmetl("validate", "pipeline.yaml", cwd="sub").code == 0


def test_clean_before_the_first_run_makes_nothing(empty: Project) -> None:
    empty.write("mmetl.yml", "version: 1\n")
    assert empty.fast("clean").code == 0
    assert not (empty.root / ".mmetl").exists()


def test_unclosed_quote_among_many_files(empty: Project) -> None:
    """No row is lost in silence, however many files are read at once."""
    for n in range(8):
        empty.write(f"d/{n}.csv", f"id,t\n{n},a\n")
    empty.write("d/9.csv", 'id,t\n8,x\n9,"y\n10,z\n')
    empty.tasks("  r: {transform: tabular.read, params: {path: 'd/*.csv'}}\n")
    done = empty.fast("run", "--json")
    assert done.code == 1
    assert "d/9.csv:3" in done.json()["tasks"][0]["error"]


def test_rows_seen_to_vanish_do_not_come_back(empty: Project) -> None:
    """After a full read without rows there is no watermark; the next read is full, not the continuation of an older one."""
    with closing(sqlite3.connect(empty.root / "d.db", isolation_level=None)) as db:
        db.execute("create table t (id integer primary key, ts integer)")
        db.execute("insert into t values (1, 10), (2, 20)")
        empty.tasks(
            "  r: {transform: tabular.read, key: id, params: {path: d.db, table: t, watermark: {column: ts}}}\n"
        )
        empty.run()
        db.execute("delete from t")
        empty.run("--force", "--allow-shrink", "r")
        db.execute("insert into t values (3, 30)")
        assert empty.run() == {"r": "ran"}
    assert empty.fast("show", "r", "--json").out == '{"id": 3, "ts": 30}\n'


def test_leftover_that_is_now_a_source_stays(empty: Project) -> None:
    write = "  a: {{transform: shell.run, params: {{command: 'echo 1 > {0}', outputs: [{0}]}}}}\n"
    empty.tasks(write.format("data.csv"))
    empty.run()
    copy = "  b: {transform: shell.run, params: {command: cp data.csv c, inputs: [data.csv], outputs: [c]}}\n"
    empty.tasks(write.format("other.csv") + copy)
    assert empty.run() == {"a": "ran", "b": "ran"}
    assert empty.read("data.csv") == "1\n"
    assert empty.run() == {"a": "fresh", "b": "fresh"}


def test_any_exception_fails_its_task_only(empty: Project) -> None:
    empty.write("steps.py", "import asyncio\n\n\ndef stop():\n    raise asyncio.CancelledError\n")
    empty.tasks(
        "  a: {transform: python.run, params: {function: 'steps:stop'}}\n"
        "  b: {transform: shell.run, params: {command: 'true'}}\n"
    )
    assert empty.fast("run", "-k", "-j", "2", "--json").outcomes() == {"a": "failed", "b": "ran"}


def test_secrets_show_in_no_form(empty: Project) -> None:
    """Not as Python and JSON write one, and not the rest of one that begins as another does."""
    empty.write(
        "steps.py",
        "import json\n\n\ndef fail(*, odd, long):\n    print(json.dumps(odd), long)\n    raise ValueError(odd, long)\n",
    )
    empty.tasks(
        "  a:\n    transform: python.run\n    params: {function: 'steps:fail',"
        " args: {odd: '${secret:ODD_KEY}', long: '${secret:LONG_KEY}${secret:SHORT_KEY}'}}\n"
    )
    secrets = {"ODD_KEY": 'topsy"turvy\\end', "SHORT_KEY": "begin", "LONG_KEY": "begin-and-rest"}
    done = empty.fast("run", env=secrets)
    assert done.code == 1
    state = b"".join(p.read_bytes() for p in (empty.root / ".mmetl").rglob("*") if p.is_file())
    for text in ("topsy", "turvy", "and-rest"):
        assert text.encode() not in state
        assert text not in done.out + done.err


def test_secret_of_several_lines_shows_nowhere(empty: Project) -> None:
    """Not in its lines, not as Python writes it."""
    empty.write("steps.py", "def fail(x):\n    print(x)\n    raise ValueError(repr(x))\n")
    empty.tasks(
        "  a: {transform: shell.run, params: {command: [sh, -c, 'echo \"$1\"; exit 1', x, '${secret:MY_KEY}']}}\n"
        "  b: {transform: python.run, params: {function: 'steps:fail', args: {x: '${secret:MY_KEY}'}}}\n"
    )
    done = empty.mmetl("run", "-k", env={"MY_KEY": "BEGINKEY\nAAAABBBB\nENDKEY"})
    assert done.code == 1
    state = b"".join(p.read_bytes() for p in (empty.root / ".mmetl").rglob("*") if p.is_file())
    for line in ("BEGINKEY", "AAAABBBB", "ENDKEY"):
        assert line not in done.err + done.out
        assert line.encode() not in state


PRINTS = """\
import os
import subprocess
import sys


def starts():
    subprocess.run(["echo", "of a program"], check=True)


def closes():
    print("before")
    sys.stdout.close()


def replaces():
    sys.stdout = open(os.devnull, "w")


def prints():
    print("after")


def raises():
    raise ValueError("\\x1b[31mred\\x1b[0m\\x00 " + 3000 * "x")
"""


def test_whatever_tasks_do_to_stdout_it_is_for_results(empty: Project) -> None:
    """Nor does what one of them does to `sys.stdout` reach the next one."""
    empty.write("noise.py", PRINTS)
    calls = ("starts", "closes", "replaces", "prints")
    empty.tasks("".join(f"  {c}: {{transform: python.run, params: {{function: 'noise:{c}'}}}}\n" for c in calls))
    done = empty.mmetl("run", "--json")
    assert (done.code, done.json()["status"], done.err) == (0, "succeeded", "of a program\n")
    assert empty.fast("logs").out.endswith("before\n== p:prints: .mmetl/logs/" + done.json()["run_id"] + "/p.prints.log\nafter\n")  # fmt: skip


def test_an_error_cannot_play_with_the_terminal(empty: Project) -> None:
    """Of a long one the log has all."""
    empty.write("noise.py", PRINTS)
    empty.tasks("  raises: {transform: python.run, params: {function: 'noise:raises'}}\n")
    done = empty.fast("run", "--json")
    error = done.json()["tasks"][0]["error"]
    assert (error[:26], len(error), error[-2:]) == ("ValueError: red\\x00 xxxxxx", 1001, "x…")
    assert 3000 * "x" in empty.fast("logs").out


def test_of_a_large_log_only_the_end_is_read(empty: Project) -> None:
    """A log may be larger than memory."""
    empty.tasks("  a: {transform: shell.run, params: {command: 'yes | head -c 100000; printf \"end\\n\"; exit 3'}}\n")
    error = empty.fast("run", "--json").json()["tasks"][0]["error"]
    assert error == "the command exited with 3: y / y / end"


UNDECLARED = """\
  make: {transform: shell.run, always: true, params: {command: 'cat seed > made.txt'}}
  read: {transform: shell.run, depends_on: [make], params: {command: 'cat made.txt > out.txt', inputs: [made.txt], outputs: [out.txt]}}
"""


@pytest.mark.parametrize("command", [("mmetl", "run"), ("doit", "run")])
def test_a_file_that_a_task_before_it_writes_without_saying_so(empty: Project, command: tuple[str, str]) -> None:
    """`depends_on` is enough: previously it was taken as it was before that task ran, in the first run as missing."""
    empty.write("dodo.py", DODO)
    empty.tasks(UNDECLARED)
    for seed in ("one", "two", "two"):
        empty.write("seed", seed)
        done = empty.command(*command)
        assert (done.code, empty.read("out.txt")) == (0, seed), done.err
    assert empty.fast("status", "--json").outcomes()["make"] == "ran"
    assert empty.dry() == {"make": "ran", "read": "ran"}  # it waits


def test_the_first_output_in_a_folder_that_the_task_reads(empty: Project) -> None:
    """It is no change of the source: previously the task ran a second time in the next run."""
    empty.write("in/a.txt", "a")
    empty.tasks("""\
  join: {transform: shell.run, params: {command: 'cat in/a.txt > in/all.txt', inputs: [in/*.txt], outputs: [in/all.txt]}}
  rows: {transform: tabular.sql, params: {sql: "select 1 as a, 2 as b"}}
  cut: {transform: tabular.write, inputs: [rows], files: ['in/**/*'], params: {path: in/cut, partition_by: [a]}}
""")
    done = empty.fast("run", "--json")
    assert done.json()["tasks"][0] | {"seconds": 0} == {
        "task": "join",
        "outcome": "ran",
        "reasons": ["it never ran"],
        "rows": 0,
        "seconds": 0,
        "error": None,
    }
    assert set(empty.run().values()) == {"fresh"}
