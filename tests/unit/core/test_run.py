"""What a run does beside deciding: selection, order, retries, time limits, leftovers, secrets, logs."""

from __future__ import annotations

import os
import sqlite3
import time

import pytest
from harness import Project, grow_old

CHAIN = """\
  a: {transform: shell.run, params: {command: "echo a > a.txt", outputs: [a.txt]}}
  b: {transform: shell.run, params: {command: "cat a.txt > b.txt", inputs: [a.txt], outputs: [b.txt]}}
  c: {transform: shell.run, params: {command: "cat b.txt > c.txt", inputs: [b.txt], outputs: [c.txt]}}
  x: {transform: shell.run, params: {command: "echo x > x.txt", outputs: [x.txt]}}
"""


@pytest.fixture
def chain(empty: Project) -> Project:
    """Three tasks in a row, and one beside them."""
    empty.tasks(CHAIN)
    return empty


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        (["b"], "b"),
        (["+b"], "a b"),
        (["b+"], "b c"),
        (["+b+"], "a b c"),
        (["x", "+a"], "a x"),
        (["p:b"], "b"),
        (["+p:b"], "a b"),
        (["a", "c"], "a c"),
    ],
)
def test_select(chain: Project, select: list[str], expected: str) -> None:
    """`+NAME` adds what it needs, `NAME+` what needs it; nothing else is looked at."""
    chain.run()
    for path in ("a.txt", "b.txt", "c.txt", "x.txt"):
        (chain.root / path).unlink()
    argv = [word for name in select for word in ("--select", name)]
    if expected[0] == "b":
        chain.write("a.txt", "a\n")
    if expected == "a c":
        chain.write("b.txt", "a\n")
    assert chain.run(*argv) == dict.fromkeys(expected.split(), "restored")


def test_selected_task_without_its_input(chain: Project) -> None:
    """It fails, and says what to run."""
    done = chain.fast("run", "--select", "b", "--json")
    (task,) = done.json()["tasks"]
    assert (done.code, task["error"]) == (1, "input a.txt is missing; run what makes it: --select +b")


def test_force_takes_the_named_only(chain: Project) -> None:
    """What `+` adds is not forced; a forced task is computed, not restored."""
    chain.run()
    assert chain.run("--force", "--select", "+b") == {"a": "fresh", "b": "ran"}
    assert chain.run("--force", "--select", "p:b") == {"b": "ran"}
    assert chain.run("--force") == {"a": "ran", "b": "ran", "c": "ran", "x": "ran"}
    assert set(chain.run().values()) == {"fresh"}


def test_jobs_run_side_by_side(empty: Project) -> None:
    """Two tasks that wait for each other finish only if both run at the same time."""
    body = "  {0}: {{transform: shell.run, timeout_s: 10, params: {{command: 'echo > {0}.go; while [ ! -e {1}.go ]; do sleep 0.01; done; echo > {0}.txt', outputs: [{0}.txt]}}}}\n"
    empty.tasks(body.format("a", "b") + body.format("b", "a"))
    assert empty.run("--jobs", "2") == {"a": "ran", "b": "ran"}
    assert empty.run("--jobs", "2") == {"a": "fresh", "b": "fresh"}


def test_jobs_keep_the_order_of_needs(chain: Project) -> None:
    """More threads change nothing in the result."""
    assert chain.run("--jobs", "4") == dict.fromkeys("abcx", "ran")
    assert chain.read("c.txt") == "a\n"
    chain.edit("pipeline.yaml", "echo a >", "echo A >")
    assert chain.run("--jobs", "4") == {"a": "ran", "b": "ran", "c": "ran", "x": "fresh"}
    assert chain.read("c.txt") == "A\n"


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_keep_going(chain: Project, jobs: str) -> None:
    """Without it the first failure ends the run, with it only what needs the failed task is left."""
    chain.edit("pipeline.yaml", "cat a.txt > b.txt", "exit 1")
    assert chain.run("--jobs", jobs, "--keep-going") == {"a": "ran", "b": "failed", "c": "blocked", "x": "ran"}
    chain.edit("pipeline.yaml", "echo x >", "echo y >")
    if jobs == "1":
        assert chain.run() == {"a": "fresh", "b": "failed", "c": "blocked", "x": "skipped"}


def test_retries(empty: Project) -> None:
    """A task is tried again as often as it says, and no oftener; each failed attempt is in its log."""
    task = "  a: {transform: shell.run, retries: 1, params: {command: 'echo >> tries; [ $(wc -l < tries) -ge NEEDED ] && echo > a.txt', outputs: [a.txt]}}\n"
    empty.tasks(task.replace("NEEDED", "2"))
    done = empty.fast("run", "--json")
    assert done.outcomes() == {"a": "ran"}
    log = empty.read(f".mmetl/logs/{done.json()['run_id']}/p.a.log")
    assert log == "attempt 1 failed: the command exited with 1\n"
    (empty.root / "tries").unlink()
    empty.tasks(task.replace("NEEDED", "9"))
    assert empty.run() == {"a": "failed"}
    assert empty.read("tries") == "\n\n"


LIMITS = {
    "shell": "{transform: shell.run, timeout_s: 0.3, params: {command: 'sleep 30 & wait', outputs: [a.txt]}}",
    "python": "{transform: python.run, timeout_s: 0.3, params: {function: 'busy:spin', outputs: [a.txt]}}",
    "blocked python": "{transform: python.run, timeout_s: 0.3, params: {function: 'busy:sleep', outputs: [a.txt]}}",
}


@pytest.mark.parametrize("task", LIMITS.values(), ids=LIMITS.keys())
def test_time_limit(empty: Project, task: str) -> None:
    """A task that takes too long fails, and does not go on in the background."""
    empty.write(
        "busy.py",
        "import time\ndef spin():\n    try:\n        while True: pass\n    except Exception: pass\n"
        "def sleep():\n    for _ in range(3000): time.sleep(0.01)\n",
    )
    empty.tasks(f"  a: {task}\n")
    begun = time.monotonic()
    done = empty.fast("run", "--json")
    assert time.monotonic() - begun < 4
    assert done.json()["tasks"][0]["error"] == "it took longer than its timeout_s of 0.3"
    assert done.outcomes() == {"a": "failed"}


def test_cache_false(empty: Project) -> None:
    """Its outputs are no parts, and it is never restored: a lost output is made again by running it."""
    empty.tasks(
        "  a: {transform: shell.run, cache: false, params: {command: 'echo >> n; echo a > a.txt', outputs: [a.txt]}}\n"
    )
    assert empty.run() == {"a": "ran"}
    assert empty.run() == {"a": "fresh"}
    assert [p for p in (empty.root / ".mmetl").glob("parts/*/*") if p.is_file()] == []
    (empty.root / "a.txt").unlink()
    assert empty.dry() == {"a": "ran"}
    assert empty.run() == {"a": "ran"}
    assert empty.read("n") == "\n\n"


def test_a_result_without_a_cache_is_never_restored(empty: Project) -> None:
    """Not even when the task may be restored later; nor does it take what was made when it might."""
    task = "  a: {{transform: tabular.sql, cache: {0}, params: {{sql: select 1 as n}}, files: [x]}}\n"
    for cache, text in (("false", "1"), ("false", "2"), ("true", "1")):
        empty.tasks(task.format(cache))
        empty.write("x", text)
        assert empty.run() == {"a": "ran"}
    empty.write("x", "3")
    empty.run()
    empty.write("x", "1")
    assert empty.run() == {"a": "restored"}
    empty.tasks(task.format("false"))
    empty.write("x", "3")
    assert empty.run() == {"a": "ran"}


@pytest.mark.parametrize("retries", [0, 1])
def test_nothing_half_written_stays(empty: Project, retries: int) -> None:
    """What a failed attempt has written is neither there afterwards, nor taken for what the next one writes."""
    command = "test -e tried && exit $(cat tried); echo > a.txt; echo 0 > tried; exit 3"
    empty.tasks(
        f"  a: {{transform: shell.run, retries: {retries}, params: {{command: '{command}', outputs: [a.txt]}}}}\n"
    )
    (told,) = empty.fast("run", "--json").json()["tasks"]
    assert told["error"].startswith("it did not write its output 'a.txt'" if retries else "the command exited with 3")
    assert not (empty.root / "a.txt").exists()


def test_output_no_longer_declared(empty: Project) -> None:
    """It is removed if it has the bytes that we wrote, else kept and reported."""
    task = "  a: {transform: shell.run, params: {command: 'for f in a b c; do echo $f > $f.txt; done', outputs: [a.txt, b.txt, c.txt]}}\n"
    empty.tasks(task)
    empty.run()
    empty.write("c.txt", "mine")
    empty.tasks(task.replace("a b c", "a").replace(", b.txt, c.txt", ""))
    done = empty.fast("run")
    assert done.code == 0
    assert not (empty.root / "b.txt").exists()
    assert empty.read("c.txt") == "mine"
    line = "left c.txt: no task declares it any more, and it was changed since mmETL wrote it"
    assert line in done.err.splitlines()
    assert line in empty.fast("status").out.splitlines()
    assert "left b.txt" not in done.err
    assert "left" not in empty.fast("run").err


def test_output_that_moved_to_another_task(empty: Project) -> None:
    """A file that another task declares now is no leftover."""
    one = "  {}: {{transform: shell.run, params: {{command: 'echo x > {}', outputs: [{}]}}}}\n"
    empty.tasks(one.format("a", "x.txt", "x.txt"))
    empty.run()
    empty.tasks(one.format("a", "y.txt", "y.txt") + one.format("b", "x.txt", "x.txt"))
    assert empty.run() == {"a": "ran", "b": "restored"}
    assert empty.read("x.txt") == empty.read("y.txt") == "x\n"
    assert set(empty.run().values()) == {"fresh"}


def test_foreign_file_in_the_place_of_an_output(chain: Project) -> None:
    """What mmETL did not write is moved away, never overwritten; so is an output that somebody edited."""
    chain.write("a.txt", "precious")
    assert chain.run("--select", "a") == {"a": "ran"}
    assert chain.read(".mmetl/replaced/a.txt") == "precious"
    assert chain.read("a.txt") == "a\n"
    chain.write("a.txt", "edited")
    assert chain.run("--select", "a") == {"a": "restored"}
    assert chain.read(".mmetl/replaced/a.txt.1") == "edited"
    chain.edit("pipeline.yaml", "echo a >", "echo b >")
    assert chain.run("--select", "a") == {"a": "ran"}
    assert not (chain.root / ".mmetl/replaced/a.txt.2").exists()


def test_stale_output_is_not_taken_for_a_new_one(chain: Project) -> None:
    """A command that no longer writes its output fails, though the old file was there."""
    chain.run()
    chain.edit("pipeline.yaml", "echo a > a.txt", "true")
    done = chain.fast("run", "--json", "--select", "a")
    assert done.json()["tasks"][0]["error"] == (
        "it did not write its output 'a.txt'; outputs are relative to the project's folder"
    )


SECRET = "correct-horse-battery"
SECRETS = """\
  a:
    transform: shell.run
    params: {command: "printf %s '${secret:API_KEY}' | wc -c > a.txt", outputs: [a.txt]}
  b:
    transform: python.run
    params: {function: "keys:use", args: {key: "${secret:API_KEY}", literal: "$${secret:API_KEY}"}, outputs: [b.txt]}
"""


def test_secrets_reach_the_task_and_nothing_else(empty: Project) -> None:
    """Neither state, plan, logs nor output of any command holds the value; another value changes nothing."""
    empty.write(
        "keys.py",
        "def use(key, literal):\n    with open('b.txt', 'w') as f:\n        f.write(f'{len(key)} {literal}')\n",
    )
    empty.tasks(SECRETS)
    said = [empty.fast("run", "--json", env={"API_KEY": SECRET})]
    assert said[0].outcomes() == {"a": "ran", "b": "ran"}
    assert empty.read("a.txt").strip() == str(len(SECRET))
    assert empty.read("b.txt") == f"{len(SECRET)} ${{secret:API_KEY}}"
    said += [empty.fast(*argv, env={"API_KEY": SECRET}) for argv in (["status"], ["why", "a"], ["dry-run"])]
    assert not any(SECRET in s.out + s.err for s in said)
    files = [f for f in (empty.root / ".mmetl").rglob("*") if f.is_file()]
    assert [f for f in files if SECRET.encode() in f.read_bytes()] == []
    assert empty.run(env={"API_KEY": "another"}) == {"a": "fresh", "b": "fresh"}
    assert empty.dry() == {"a": "fresh", "b": "fresh"}


def test_secret_in_the_error_of_a_task(empty: Project) -> None:
    """A function that raises with the secret in its message, or prints it, does not bring it into state or logs."""
    empty.write("keys.py", "def use(key, literal):\n    print(key)\n    raise ValueError(f'bad key {key}')\n")
    empty.tasks(SECRETS.partition("  b:")[1] + SECRETS.partition("  b:")[2])
    done = empty.fast("run", env={"API_KEY": SECRET})
    assert done.code == 1
    assert SECRET not in done.out + done.err
    files = [f for f in (empty.root / ".mmetl").rglob("*") if f.is_file()]
    assert [f.name for f in files if SECRET.encode() in f.read_bytes()] == []


def test_secret_that_a_command_prints(empty: Project) -> None:
    """It is taken out of the log and of the error's last lines, whether the command fails or not."""
    task = "  a: {transform: shell.run, params: {command: 'echo key ${secret:API_KEY}; exit N'}}\n"
    for code in "01":
        empty.tasks(task.replace("exit N", f"exit {code}"))
        done = empty.fast("run", "--json", env={"API_KEY": SECRET})
        assert done.code == int(code)
        assert empty.read(f".mmetl/logs/{done.json()['run_id']}/p.a.log").startswith("key ***\n")
        assert done.json()["tasks"][0]["error"] == ("the command exited with 1: key ***" if done.code else None)


def test_secret_that_is_not_set(empty: Project) -> None:
    """Only the task that needs it fails, when it runs."""
    empty.tasks(SECRETS.partition("  b:")[0])
    done = empty.fast("run", "--json")
    assert done.json()["tasks"][0]["error"] == (
        "secret 'API_KEY' is not set; set the environment variable 'API_KEY' where mmetl runs"
    )


def test_log_of_each_task(empty: Project) -> None:
    """What a task prints goes to its own file, on several threads too; a silent task has none."""
    empty.write(
        "talk.py",
        "import sys, time\ndef talk(word):\n    for _ in range(20):\n        print(word)\n        time.sleep(0.001)\n    print('err', file=sys.stderr)\n",
    )
    task = "  {0}: {{transform: python.run, params: {{function: 'talk:talk', args: {{word: {0}}}}}}}\n"
    empty.tasks(
        task.format("aa")
        + task.format("bb")
        + "  cc: {transform: shell.run, params: {command: 'echo cc; echo e >&2'}}\n"
        "  dd: {transform: shell.run, params: {command: 'true'}}\n"
    )
    done = empty.fast("run", "--json", "--jobs", "2")
    folder = f".mmetl/logs/{done.json()['run_id']}"
    assert done.err == ""
    assert empty.read(f"{folder}/p.aa.log") == "aa\n" * 20 + "err\n"
    assert empty.read(f"{folder}/p.bb.log") == "bb\n" * 20 + "err\n"
    assert empty.read(f"{folder}/p.cc.log") == "cc\ne\n"
    assert (
        empty.root.joinpath(folder, "p.dd.log").read_text() == ""
        if os.path.exists(empty.root / folder / "p.dd.log")
        else True
    )


def test_traceback_of_a_function_is_in_its_log(project: Project) -> None:
    """The summary has one sentence, the log the whole."""
    project.edit("steps.py", "    # a comment", "    raise ValueError('no')")
    done = project.fast("run", "--json")
    assert done.json()["tasks"][0]["error"] == "ValueError: no"
    log = project.read(f".mmetl/logs/{done.json()['run_id']}/p.first.log")
    assert "Traceback" in log
    assert 'steps.py", line 9, in copy' in log


GLOB = """\
  a: {transform: shell.run, params: {command: "cat data/*.txt > a.txt || echo none > a.txt", inputs: ['data/*.txt'], outputs: [a.txt]}}
"""


@pytest.mark.parametrize(
    ("before", "after", "refused"), [(3, 0, True), (20, 9, True), (20, 10, False), (19, 1, False), (3, 1, False)]
)
def test_shrunk_source(empty: Project, before: int, after: int, refused: bool) -> None:
    """A source that lists nothing, or under half of at least 20 files, fails its task unless that is allowed."""
    empty.tasks(GLOB)
    for n in range(before):
        empty.write(f"data/{n}.txt", str(n))
    assert empty.run() == {"a": "ran"}
    for n in range(after, before):
        (empty.root / f"data/{n}.txt").unlink()
    done = empty.fast("run", "--json")
    assert done.outcomes() == {"a": "failed" if refused else "ran"}
    if refused and after:
        assert done.json()["tasks"][0]["error"] == (
            f"its source lists {after} files where there were {before}; if that is right: mmetl run --allow-shrink a"
        )
        empty.edit("pipeline.yaml", "tasks:", "tasks:\n  b: {transform: shell.run, params: {command: 'true'}}")
        assert empty.run("--allow-shrink", "b", "--keep-going") == {"a": "failed", "b": "ran"}
        assert empty.run("--allow-shrink", "p:a") == {"a": "ran", "b": "fresh"}
        assert set(empty.run().values()) == {"fresh"}


def test_files_that_are_listed_now_were_named_before(empty: Project) -> None:
    """What a glob lists is compared with all that the last success read."""
    named = ", ".join(f"data/{n}.txt" for n in range(20))
    for n in range(20):
        empty.write(f"data/{n}.txt", str(n))
    empty.tasks(GLOB.replace("'data/*.txt'", named))
    empty.run()
    for n in range(9, 20):
        (empty.root / f"data/{n}.txt").unlink()
    empty.tasks(GLOB)
    assert empty.run() == {"a": "failed"}


def test_missing_folder_is_an_error(empty: Project) -> None:
    """It is not an empty listing."""
    empty.tasks(GLOB)
    done = empty.fast("run", "--json")
    assert (
        done.json()["tasks"][0]["error"]
        == "the folder 'data' of its source is not there; put it back, or mend the path"
    )


def test_input_changed_during_the_action(empty: Project) -> None:
    """Its result is neither recorded as fresh nor kept in the index, even if the change is reverted before the next run."""
    empty.write("in.txt", "one")
    empty.tasks(
        "  a: {transform: shell.run, params: {command: 'printf two > in.txt; cat in.txt > a.txt', inputs: [in.txt], outputs: [a.txt]}}\n"
    )
    done = empty.fast("run", "--json")
    assert done.outcomes() == {"a": "ran"}
    assert done.json()["tasks"][0]["error"] == "in.txt changed while it ran; it will run again"
    empty.write("in.txt", "one")
    assert empty.fast("why", "a").out.splitlines()[1] == "  - an input changed while it ran last time"
    assert empty.dry() == {"a": "ran"}
    with sqlite3.connect(empty.root / ".mmetl/state.db") as db:
        assert db.execute("select count(*) from builds").fetchone() == (0,)


def test_executable_bit_is_restored(empty: Project) -> None:
    """A program that a task made is one again after it was restored."""
    empty.tasks("  a: {transform: shell.run, params: {command: 'echo > a.sh; chmod +x a.sh', outputs: [a.sh]}}\n")
    empty.run()
    (empty.root / "a.sh").unlink()
    assert empty.run() == {"a": "restored"}
    assert os.access(empty.root / "a.sh", os.X_OK)


@pytest.mark.parametrize(("path", "old", "new"), [("steps.py", '"!"', '"?"'), ("helpers.py", "upper", "lower")])
def test_edit_of_equal_length_within_a_second(project: Project, path: str, old: str, new: str) -> None:
    """Bytecode that Python cached for the old text is not run for the new one: it compares whole seconds only."""
    for n in range(2):
        if n:
            project.edit(path, old, new)
        os.utime(project.root / path, ns=(10**18, 10**18 + n))
        assert project.mmetl("run", env={"PYTHONDONTWRITEBYTECODE": ""}).code == 0
    assert project.read("out/first.txt") == ("HELLO?" if path == "steps.py" else "hello!")


@pytest.mark.parametrize(
    ("old", "new", "said"), [(0o755, 0o644, "is not executable any more"), (0o644, 0o755, "was made executable")]
)
def test_mode_alone_is_tampering(empty: Project, old: int, new: int, said: str) -> None:
    """Executable or not counts, as in git; the rest of the mode is the user's."""
    empty.tasks(
        f"  a: {{transform: shell.run, params: {{command: 'echo > a; echo > b; chmod {old:o} b', outputs: [a, b]}}}}\n"
    )
    empty.run()
    grow_old()
    assert empty.run() == {"a": "fresh"}
    (empty.root / "b").chmod(old & ~0o044)
    assert empty.run() == {"a": "fresh"}
    (empty.root / "b").chmod(new)
    asked = empty.fast("dry-run", "--json")
    assert (asked.outcomes(), asked.reasons()) == ({"a": "restored"}, {"a": [f"output b {said}"]})
    assert empty.run() == {"a": "restored"}
    assert (empty.root / "b").stat().st_mode & 0o777 == old
    assert empty.run() == {"a": "fresh"}
    assert not (empty.root / ".mmetl/replaced").exists()


def test_mode_of_an_input_does_not_count(project: Project) -> None:
    project.run()
    (project.root / "in.txt").chmod(0o755)
    assert project.run() == {"first": "fresh", "second": "fresh"}


def test_restored_file_has_the_mode_that_new_files_have(empty: Project) -> None:
    empty.tasks("  a: {transform: shell.run, params: {command: 'echo > a; echo > b; chmod 755 b', outputs: [a, b]}}\n")
    empty.run()
    before = os.umask(0o027)
    try:
        (empty.root / "a").unlink()
        (empty.root / "b").unlink()
        assert empty.run() == {"a": "restored"}
    finally:
        os.umask(before)
    assert [(empty.root / n).stat().st_mode & 0o777 for n in "ab"] == [0o640, 0o750]


@pytest.mark.parametrize("keep_going", [(), ("--keep-going",)])
def test_blocked_task_keeps_its_state(chain: Project, keep_going: tuple[str, ...]) -> None:
    """Its action never began: after a revert it is as fresh as before, even if nothing can be restored."""
    chain.edit("pipeline.yaml", "  c: {", "  c: {cache: false, ")
    chain.edit("pipeline.yaml", "  x: {", "  x: {cache: false, ")
    chain.run()
    before = chain.read("pipeline.yaml")
    chain.edit("pipeline.yaml", "echo a > a.txt", "exit 3")
    for n in "cx":
        chain.edit("pipeline.yaml", f"> {n}.txt", f">> {n}.txt")
    expected = {"a": "failed", "b": "blocked", "c": "blocked", "x": "ran" if keep_going else "skipped"}
    assert chain.run(*keep_going) == expected
    assert "params.command changed" in chain.fast("why", "c").out.splitlines()[1]
    chain.write("pipeline.yaml", before)
    expected = {"a": "restored", "b": "fresh", "c": "fresh", "x": "ran" if keep_going else "fresh"}
    assert chain.run() == expected


def test_empty_source_that_is_allowed(empty: Project) -> None:
    """A glob that lists nothing any more is run with `--allow-shrink`, and then as fresh as any other."""
    for n in "ab":
        empty.write(f"in/{n}.csv", "k\n1\n")
    empty.tasks(
        "  a: {transform: shell.run, params: {command: 'ls in > n.txt', inputs: ['in/*.csv'], outputs: [n.txt]}}\n"
    )
    empty.run()
    for n in "ab":
        (empty.root / f"in/{n}.csv").unlink()
    done = empty.fast("run", "--json")
    assert done.json()["tasks"][0]["error"] == (
        "its source lists 0 files where there were 2; if that is right: mmetl run --allow-shrink a"
    )
    assert empty.run("--allow-shrink", "a") == {"a": "ran"}
    assert empty.read("n.txt") == ""
    assert empty.run() == {"a": "fresh"}
    empty.edit("pipeline.yaml", "ls in ", "ls  in ")
    assert empty.dry() == {"a": "ran"}
    assert empty.run() == {"a": "ran"}
    empty.fast("forget", "a")
    done = empty.fast("run", "--json")
    assert (
        done.json()["tasks"][0]["error"]
        == "input in/*.csv is missing; no task of this pipeline writes it; check the path"
    )
    assert empty.run("--allow-shrink", "a") == {"a": "ran"}
