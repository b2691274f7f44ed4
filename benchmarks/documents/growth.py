"""How the cost of a run grows with the number of documents: small synthetic ones, 1,000 to 100,000. See ../README.md.

    python benchmarks/documents/growth.py --bench FOLDER [--sizes 1000,10000,100000] [--engine mmetl-light]

Beside each no-op stands what it cannot be cheaper than: a process that lists the folder and asks for the state of every file.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

from engines import MB, Engine, Used

WORDS = 60
VOCABULARY = 5000
FOLDER_FILES = 500
LISTING = "import os, sys\nfor d, _, files in os.walk(sys.argv[1]):\n for f in files: os.stat(os.path.join(d, f))"


def generate(folder: Path, number: int) -> None:
    """Write documents of one paragraph, the same ones each time."""
    chosen = random.Random(number)
    words = ["".join(chosen.choices("abcdefghijklmnopqrstuvwxyz", k=chosen.randint(3, 9))) for _ in range(VOCABULARY)]
    for n in range(number):
        path = folder / f"{n // FOLDER_FILES:04d}" / f"{n:06d}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# Document {n}\n\n{' '.join(chosen.choices(words, k=WORDS))}.\n")


def listed(folder: Path) -> Used:
    """Measure the bare listing."""
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-S", "-E", "-c", LISTING, str(folder)])
    _, _, used = os.wait4(process.pid, 0)
    return Used(used.ru_utime + used.ru_stime, time.perf_counter() - started, used.ru_maxrss / MB, 0)


def edit(engine: Engine, number: int, turn: int) -> Used:
    """Edit one document, and run."""
    path = next(engine.docs.rglob(f"{(number // 3 + turn):06d}.md"))
    path.write_text(f"{path.read_text()}\nEdited {turn}.\n")
    return engine.update()


def main() -> None:
    """Measure each size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("benchmarks/work/growth"))
    parser.add_argument("--sizes", default="1000,10000,100000")
    parser.add_argument("--engine", default="mmetl-light")
    parser.add_argument("--python", default=sys.executable, help="of a script")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    print(
        "| documents | full: CPU s | full: MB | bare listing | no-op | no-op: MB | edit 1 | edit 1: MB | embedded |"
        "\n|---|---|---|---|---|---|---|---|---|",
        flush=True,
    )
    for number in map(int, given.sizes.split(",")):
        engine = Engine(given.engine, given.work.resolve() / str(number), given.bench, given.python)
        generate(engine.docs, number)
        full = engine.update()
        engine.update()  # after it no file's time is too young for its fingerprint to be kept
        turns = range(given.rounds)
        bare, noop = [listed(engine.docs) for _ in turns], [engine.update() for _ in turns]
        edits = [edit(engine, number, turn) for turn in turns]
        cpu = [f"{statistics.median(u.cpu for u in used):.2f}" for used in (bare, noop, edits)]
        peak = [f"{max(u.peak_mb for u in used):.0f}" for used in (noop, edits)]
        embedded = max(u.embedded for u in edits)
        cells = [f"{number:,}", f"{full.cpu:.1f}", f"{full.peak_mb:.0f}", cpu[0], cpu[1], peak[0], cpu[2], peak[1]]
        print(f"| {' | '.join(cells)} | {embedded} |", flush=True)


if __name__ == "__main__":
    main()
