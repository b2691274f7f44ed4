"""An incremental run equals a run from scratch, whatever was edited in between; and a second run does nothing."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from inside import from_scratch, outcomes, run_here, tree, worked, write_pipeline

SETTINGS = settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate, Phase.shrink],
)

CODE = """\
import helpers

PREFIX = {constant!r}

# {comment}
def decorate(line):
    return PREFIX + helpers.twice(line) + "{body}"

def build(out, ins, suffix):
    with open(out, "w") as f:
        for path in ins:
            with open(path) as g:
                f.writelines(decorate(line.rstrip()) + suffix + "\\n" for line in g)
"""
HELPERS = """\
def twice(line):
    return line * {times}

def never_called(line):
    return {unused}
"""
NAMES = ("a", "b", "c", "d")
WORDS = st.sampled_from(["one", "two", "six", "ten\nlines", ""])


class World:
    """A small project whose every part can be edited."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "src").mkdir(parents=True)
        self.code: dict[str, Any] = {"constant": "p", "comment": "c", "body": ";", "times": 2, "unused": 1}
        self.globs = {"low": "src/[ab]*.txt"}
        self.suffixes = {"low": "!"}
        self.shell = {"words": "cat"}
        self.places = {"words": "words.sh", "count": "count.sh"}
        self.merged = "merged"
        for name in ("a", "b", "c"):
            self.write(name, f"{name}\n")

    def source(self, name: str) -> Path:
        return self.root / f"src/{name}.txt"

    def write(self, name: str, text: str) -> None:
        self.source(name).write_text(text)

    def save(self) -> None:
        """Write code and YAML as they are now."""
        (self.root / "work.py").write_text(CODE.format(**self.code))
        (self.root / "helpers.py").write_text(HELPERS.format(**self.code))
        tasks: dict[str, Any] = {}
        for name, glob in self.globs.items():
            out = f"out/{name}.txt"
            args = {"out": out, "ins": self.listed(glob), "suffix": self.suffixes[name]}
            params = {"function": "work:build", "args": args, "inputs": [glob], "outputs": [out]}
            tasks[f"t_{name}"] = {"transform": "python.run", "params": params}
        for name, command in self.shell.items():
            ins = [f"out/{n}.txt" for n in self.globs]
            out = f"out/{self.places[name]}"
            text = f"cat {' '.join(ins)} src/*.txt | {command} > {out}"
            params = {"command": text, "inputs": [*ins, "src/*.txt"], "outputs": [out]}
            tasks[f"s_{name}"] = {"transform": "shell.run", "params": params}
        ins = [f"out/{self.places[n]}" for n in self.shell]
        params = {"command": ["sh", "-c", f"sort {' '.join(ins)} > out/all"], "inputs": ins, "outputs": ["out/all"]}
        tasks[self.merged] = {"transform": "shell.run", "params": params}
        lines = {"path": "out/*.sh", "format": "csv", "header": False, "names": ["line"], "types": {"line": "VARCHAR"}}
        tasks["lines"] = {"transform": "tabular.read", "params": lines}
        tasks["listed"] = {"transform": "tabular.write", "inputs": ["lines"], "params": {"path": "out/lines.ndjson"}}
        write_pipeline(self.root, tasks)

    def listed(self, glob: str) -> list[str]:
        return sorted(p.relative_to(self.root).as_posix() for p in self.root.glob(glob))


def edit_source(world: World, name: str, text: str) -> None:
    world.write(name, text)


def delete_source(world: World, name: str) -> None:
    if name not in ("a", "c"):  # a source that lists nothing is refused
        world.source(name).unlink(missing_ok=True)


def touch(world: World, name: str) -> None:
    if world.source(name).exists():
        os.utime(world.source(name))


def edit_code(world: World, part: str, value: int) -> None:
    strings = {"constant", "comment", "body"}
    world.code[part] = f"{part[0]}{value}" if part in strings else value


def set_task(world: World, name: str, glob: str, suffix: str) -> None:
    world.globs[name], world.suffixes[name] = glob, suffix


def drop_task(world: World, name: str) -> None:
    if len(world.globs) > 1:
        world.globs.pop(name, None)


def set_shell(world: World, name: str, command: str) -> None:
    world.shell[name] = command


def drop_shell(world: World, name: str) -> None:
    if len(world.shell) > 1:
        world.shell.pop(name, None)


def move(world: World, name: str, place: str) -> None:
    """Let a shell task write another file: the old one must feed nobody."""
    world.places[name] = f"{name}{place}"


def rename(world: World, name: str) -> None:
    world.merged = name


def tamper(world: World, name: str) -> None:
    if (world.root / "out" / name).exists():
        (world.root / "out" / name).write_text("tampered\n")


def remove_output(world: World, name: str) -> None:
    (world.root / "out" / name).unlink(missing_ok=True)


def edit(function: Any, *parts: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.tuples(st.just(function), *parts)


SOURCES, TASKS, SHELLS = st.sampled_from(NAMES), st.sampled_from(["low", "high"]), st.sampled_from(["words", "count"])
OUTPUTS = st.sampled_from(["low.txt", "words.sh", "all"])
EDITS = st.one_of(
    edit(edit_source, SOURCES, WORDS),
    edit(delete_source, SOURCES),
    edit(touch, SOURCES),
    edit(edit_code, st.sampled_from(["constant", "comment", "body", "times", "unused"]), st.integers(1, 3)),
    edit(set_task, TASKS, st.sampled_from(["src/*.txt", "src/[ab]*.txt", "src/[!b].txt"]), st.sampled_from("!?")),
    edit(drop_task, TASKS),
    edit(set_shell, SHELLS, st.sampled_from(["cat", "wc -l", "sort -u"])),
    edit(drop_shell, SHELLS),
    edit(move, SHELLS, st.sampled_from([".sh", "2.sh", ".other"])),
    edit(rename, st.sampled_from(["merged", "final"])),
    edit(tamper, OUTPUTS),
    edit(remove_output, OUTPUTS),
)


@SETTINGS
@given(st.lists(st.lists(EDITS, min_size=1, max_size=3), min_size=2, max_size=6))
def test_incremental_equals_from_scratch(steps):
    """Over edits of sources, code, params, task names and file sets, with deleted and changed outputs."""
    folder = Path(tempfile.mkdtemp(prefix="mmetl-prop-"))
    try:
        world = World(folder / "live")
        world.save()
        run_here(world.root)
        for edits in steps:
            for function, *values in edits:
                function(world, *values)
            world.save()
            run_here(world.root)
            scratch = from_scratch(world.root, folder / "scratch")
            assert set(outcomes(scratch).values()) <= {"ran", "restored"}
            expected = tree(folder / "scratch/out")  # what dropped tasks wrote stays until `clean --orphans`
            assert {name: data for name, data in tree(world.root / "out").items() if name in expected} == expected
            assert worked(run_here(world.root)) == {}
    finally:
        shutil.rmtree(folder)
