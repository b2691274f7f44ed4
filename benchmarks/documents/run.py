"""Texts to chunks to vectors to an index, step by step: mmETL, the floor scripts and CocoIndex in turn. See ../README.md.

    python benchmarks/documents/run.py --data FOLDER --bench FOLDER --python BIN [--engines NAMES] [--steps NAMES]

--data: a folder of .md, .rst or .html files. --bench: the folder of `mmcommon.py`, `plain.py`, `memo.py` and `coco.py`.
--python: an interpreter that has what the scripts need (wordllama, lancedb, pyarrow, xxhash; cocoindex for `coco`).

Steps that change the code build on one another: `helper changed` supposes `constant changed`. After each step every row of every engine, vectors too, is compared with what the documents come to when they are read, split and
embedded by nobody's engine (reference.py). CPU seconds are those of the whole process; of steps that are repeated, the median.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from engines import HERE, Engine, Used, wrong

KILLED_AT = 0.5  # of all texts
COPIES = 4


class Step(NamedTuple):
    """What is changed before a run.

    Attributes:
        change: called with an engine, and with a generator of random numbers that is the same for all engines.
        often: whether it is repeated.
        size: of a chunk afterwards.
        factor: what the vectors are multiplied by afterwards.
    """

    change: Callable[[Engine, random.Random], object]
    often: bool = False
    size: int = 1000
    factor: float = 1.0


def append(paths: Sequence[Path], text: str = "\nEdited.\n") -> None:
    """Add a text to documents."""
    for path in paths:
        path.write_bytes(path.read_bytes() + text.encode())


def some(engine: Engine, chosen: random.Random, share: float = 0.0) -> list[Path]:
    """Choose one document, or a share of them."""
    files = engine.files()
    return chosen.sample(files, max(1, int(len(files) * share)))


def add(engine: Engine, chosen: random.Random) -> None:
    """Write a document that was not there."""
    (engine.docs / f"new-{chosen.random()}.md").write_text(
        f"# New\n\nA document that was not there. {chosen.random()}\n"
    )


def delete(engine: Engine, chosen: random.Random) -> None:
    """Remove a document."""
    some(engine, chosen)[0].unlink()


def rename(engine: Engine, chosen: random.Random) -> None:
    """Give a document another name."""
    path = some(engine, chosen)[0]
    path.rename(path.with_name(f"renamed-{path.name}"))


def more(engine: Engine, _: random.Random) -> None:
    """Make five times as many documents: the buckets are cut anew."""
    for path in engine.files():
        for copy in range(COPIES):
            other = path.with_name(f"{path.stem}-copy{copy}{path.suffix}")
            other.write_bytes(path.read_bytes() + f"\nCopy {copy}.\n".encode())


def fewer(engine: Engine, _: random.Random) -> None:
    """Remove them again."""
    for path in engine.files():
        if "-copy" in path.stem:
            path.unlink()


def nothing(_engine: Engine, _chosen: random.Random) -> None:
    """Change nothing."""


SCALED = "return vectors * SCALE"
STEPS = {
    "full": Step(lambda engine, _: engine.start_over(), often=True),
    "no-op": Step(nothing, often=True),
    "touch all": Step(lambda engine, _: [os.utime(p) for p in engine.files()], often=True),
    "edit 1": Step(lambda engine, chosen: append(some(engine, chosen)), often=True),
    "edit 1 %": Step(lambda engine, chosen: append(some(engine, chosen, 0.01)), often=True),
    "add 1": Step(add, often=True),
    "delete 1": Step(delete, often=True),
    "rename 1": Step(rename, often=True),
    "chunk size changed": Step(lambda engine, _: engine.resize(1000, 800), size=800),
    "changed back": Step(lambda engine, _: engine.resize(800, 1000)),
    "comment in the code": Step(lambda engine, _: engine.edit("mmcommon.py", SCALED, f"# As they are.\n    {SCALED}")),
    "constant changed": Step(lambda engine, _: engine.edit("mmcommon.py", "SCALE = 1.0", "SCALE = 2.0"), factor=2.0),
    "helper changed": Step(lambda engine, _: engine.edit("mmcommon.py", SCALED, f"{SCALED} / 2")),
    "body changed": Step(lambda engine, _: engine.reembed(), factor=-1.0),
    "growth": Step(more, factor=-1.0),
    "shrinkage": Step(fewer, factor=-1.0),
}


class Reference:
    """A process that tells what a store ought to hold."""

    def __init__(self, work: Path, bench: Path) -> None:
        self._out = work / "expected.txt"
        paths = os.pathsep.join([str(bench), str(HERE)])
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "reference.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": paths},
        )

    def rows(self, docs: Path, step: Step) -> tuple[set[str], int]:
        """Return the rows of a folder as lines, and how many different texts they have."""
        assert self._process.stdin
        assert self._process.stdout
        asked = {"docs": str(docs), "size": step.size, "factor": step.factor, "out": str(self._out)}
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        texts = json.loads(self._process.stdout.readline())["texts"]
        return set(self._out.read_text().splitlines()), texts

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()


def show(engine: str, step: str, used: Sequence[Used], wrong_rows: str) -> None:
    """Print a line of the table: medians, and how many texts were embedded each time."""
    cpu, wall = (statistics.median(u[i] for u in used) for i in (0, 1))
    peak = max(u.peak_mb for u in used)
    embedded = "/".join(f"{n:,}" for n in sorted({u.embedded for u in used}))
    print(f"| {engine} | {step} | {cpu:.2f} | {wall:.1f} | {peak:.0f} | {embedded} | {wrong_rows} |", flush=True)


def do(name: str, engines: Sequence[Engine], reference: Reference, rounds: int) -> None:
    """Do a step with each engine in turn, and compare all rows."""
    step = STEPS[name]
    used: dict[str, list[Used]] = {e.name: [] for e in engines}
    differ = dict.fromkeys(used, 0)
    turns = rounds if step.often else 1
    for turn in range(turns):
        for engine in engines:
            if engine.name == "plain" and name != "full":
                continue
            step.change(engine, random.Random(f"{name} {turn}"))
            more = ("--allow-shrink", "files") if engine.kind == "mmetl" and name == "shrinkage" else ()
            used[engine.name].append(engine.update(*more))
            if turn == turns - 1:
                differ[engine.name] = wrong(engine.rows(), reference.rows(engine.docs, step)[0])
    for engine in engines:
        if used[engine.name]:
            show(engine.name, name, used[engine.name], f"{differ[engine.name]:,}")


def kill(engine: Engine, reference: Reference, last: Step) -> None:
    """Kill a full run when half of the texts are embedded, run again, and compare. `last` is the step before."""
    expected, needed = reference.rows(engine.docs, last)
    if engine.kind != "mmetl":
        needed = len(expected)
    engine.start_over()
    engine.counts.unlink(missing_ok=True)
    process = engine.begin()
    while engine.embedded() < needed * KILLED_AT and process.poll() is None:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = engine.embedded()
    again = engine.update()
    twice = (before + again.embedded - needed) / needed
    told = f"{before:,} before, {again.embedded:,} after, of {needed:,}: {twice:.1%} twice"
    print(
        f"| {engine.name} | kill -9 at half | {again.cpu:.2f} | | | {told} | {wrong(engine.rows(), expected):,} |",
        flush=True,
    )


def main() -> None:
    """Do all steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--bench", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("benchmarks/work/documents"))
    parser.add_argument(
        "--python", action="append", default=[], metavar="[ENGINE=]BIN", help="of all scripts, or of one"
    )
    parser.add_argument("--engines", default="mmetl-light,mmetl-text,mmetl-lancedb,plain,memo")
    parser.add_argument("--steps", default=",".join([*STEPS, "kill -9 at half"]))
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    pythons = dict(p.split("=", 1) if "=" in p else ("", p) for p in given.python)
    work, bench = given.work.resolve(), given.bench.resolve()
    engines = []
    for name in given.engines.split(","):
        engine = Engine(name, work, bench, pythons.get(name, pythons.get("", sys.executable)))
        subprocess.run(["cp", "-r", str(given.data), str(engine.docs)], check=True)
        engines.append(engine)
    reference = Reference(work, bench)
    print(
        "| engine | step | CPU s | wall s | peak MB | embedded | wrong rows |\n|---|---|---|---|---|---|---|",
        flush=True,
    )
    last = Step(nothing)
    for name in given.steps.split(","):
        if name in STEPS:
            last = STEPS[name]
            do(name, engines, reference, given.rounds)
        else:
            for engine in engines:
                if engine.name != "plain":
                    kill(engine, reference, last)
    reference.close()


if __name__ == "__main__":
    main()
