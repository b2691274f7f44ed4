"""Texts to chunks to vectors, step by step, beside the floor scripts that do the same by hand. See ../README.md.

    python benchmarks/documents/run.py --data FOLDER --bench FOLDER [--peers plain,memo --python BIN] [--work FOLDER]

--data: a folder of .md, .rst or .html files. --bench: the folder of `mmcommon.py`, `plain.py` and `memo.py`.
--python: an interpreter that has what the floor scripts need (wordllama, lancedb, pyarrow, xxhash).

After each step all rows of mmETL, vectors too, are compared with a build from scratch. Nothing is timed by a test.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
MMETL = [str(Path(sys.executable).with_name("mmetl"))]
MB = 1024
KILLED_AT = 0.5  # of all texts


@dataclass
class Used:
    """What one command cost. `embedded` counts texts."""

    cpu: float
    seconds: float
    peak_mb: float
    embedded: int


def measured(argv: Sequence[str], cwd: Path, counts: Path) -> Used:
    """Run a command to its end."""
    counts.unlink(missing_ok=True)
    started = time.perf_counter()
    process = subprocess.Popen(
        argv, cwd=cwd, env={**os.environ, "MM_COUNT": str(counts)}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(argv)}: {said.decode()}")
    return Used(used.ru_utime + used.ru_stime, time.perf_counter() - started, used.ru_maxrss / MB, embedded(counts))


def embedded(counts: Path) -> int:
    """Return how many texts were embedded."""
    lines = counts.read_text().splitlines() if counts.exists() else []
    return sum(int(line.split()[1]) for line in lines if line.startswith("embed"))


class Bench:
    """The project, and the same documents from scratch."""

    def __init__(self, work: Path, data: Path, bench: Path) -> None:
        shutil.rmtree(work, ignore_errors=True)
        self.root, self.counts = work / "project", work / "counts.txt"
        self.docs = self.root / "docs"
        shutil.copytree(data, self.docs)
        for file in (bench / "mmcommon.py", HERE / "steps.py", HERE / "pipeline.yaml"):
            shutil.copy(file, self.root)
        self.scratch = work / "scratch"
        self.chosen = random.Random(0)

    def files(self) -> list[Path]:
        """Return the documents, sorted."""
        return sorted(p for p in self.docs.rglob("*") if p.suffix in {".md", ".rst", ".html"})

    def some(self, number: int) -> list[Path]:
        """Choose documents."""
        return self.chosen.sample(self.files(), number)

    def edit(self, file: str, old: str, new: str) -> None:
        """Change a text of the project."""
        path = self.root / file
        text = path.read_text()
        assert old in text, (file, old)
        path.write_text(text.replace(old, new))

    def wrong_rows(self) -> int:
        """Return how many rows differ from those of a build from scratch."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        shutil.copytree(self.root, self.scratch, ignore=shutil.ignore_patterns(".mmetl", "__pycache__"))
        measured([*MMETL, "run"], self.scratch, self.counts)
        return compared(self.root, self.scratch)[0]


def compared(ours: Path, theirs: Path) -> tuple[int, int]:
    """Return how many rows of two projects differ, and how many texts the second has.

    Another process does it: what is measured here would else begin with the memory that the rows took.
    """
    done = subprocess.run(
        [sys.executable, __file__, "--compare", str(ours), str(theirs)], capture_output=True, text=True, check=True
    )
    wrong, texts = done.stdout.split()
    return int(wrong), int(texts)


def rows(root: Path) -> set[tuple[object, ...]]:
    """Return all rows of the last task, vectors as bytes."""
    import numpy as np

    from mmetl import Project

    table = Project.open(root).artifact("vectors").to_arrow()
    vectors = np.asarray(table.column("vector").combine_chunks().flatten()).reshape(table.num_rows, -1)
    others = table.drop_columns(["vector"]).to_pylist()
    return {(*map(str, row.values()), vector.tobytes()) for row, vector in zip(others, vectors, strict=True)}


def append(paths: Sequence[Path], text: str = "\nEdited.\n") -> None:
    """Add a text to documents."""
    for path in paths:
        path.write_bytes(path.read_bytes() + text.encode())


def insert_above(path: Path) -> None:
    """Put a paragraph at the top of a document."""
    path.write_bytes(b"A paragraph that nobody has read yet.\n\n" + path.read_bytes())


def delete(paths: Sequence[Path]) -> None:
    """Remove documents."""
    for path in paths:
        path.unlink()


def longest(bench: Bench) -> Path:
    """Return the longest document."""
    return max(bench.files(), key=lambda p: p.stat().st_size)


def more(bench: Bench) -> None:
    """Make five times as many documents: the buckets are cut anew."""
    for path in bench.files():
        for copy in range(4):
            name = path.with_name(f"{path.stem}-copy{copy}{path.suffix}")
            name.write_bytes(path.read_bytes() + f"\nCopy {copy}.\n".encode())


def fewer(bench: Bench) -> None:
    """Remove them again."""
    delete([path for path in bench.files() if "-copy" in path.stem])


def steps(bench: Bench) -> Mapping[str, Callable[[], object]]:
    """Return what is changed before each run."""
    one_percent = max(1, len(bench.files()) // 100)
    return {
        "full": lambda: None,
        "no-op": lambda: None,
        "touch all": lambda: [os.utime(p) for p in bench.files()],
        "edit 1": lambda: append(bench.some(1)),
        "edit 1 %": lambda: append(bench.some(one_percent)),
        "add 1": lambda: (bench.docs / "new.md").write_text("# New\n\nA document that was not there.\n"),
        "delete 1": lambda: delete(bench.some(1)),
        "rename 1": lambda: (p := bench.some(1)[0]).rename(p.with_name(f"renamed-{p.name}")),
        "paragraph on top": lambda: insert_above(longest(bench)),
        "chunk size changed": lambda: bench.edit("pipeline.yaml", "size: 1000", "size: 800"),
        "changed back": lambda: bench.edit("pipeline.yaml", "size: 800", "size: 1000"),
        "comment in the code": lambda: bench.edit(
            "steps.py", "    return scaled", "    # as they are\n    return scaled"
        ),
        "constant changed": lambda: bench.edit("steps.py", "SCALE = 1.0", "SCALE = 2.0"),
        "helper changed": lambda: bench.edit("steps.py", "return vectors * SCALE", "return vectors * SCALE / 2"),
        "body changed": lambda: bench.edit("steps.py", "scaled(mmcommon", "-scaled(mmcommon"),
        "growth": lambda: more(bench),
        "shrinkage": lambda: fewer(bench),
    }


def killed(bench: Bench) -> tuple[int, int, int]:
    """Kill a full run at half; return texts embedded before, after, and needed in all."""
    shutil.rmtree(bench.root / ".mmetl", ignore_errors=True)
    bench.counts.unlink(missing_ok=True)
    _, needed = compared(bench.scratch, bench.scratch)
    process = subprocess.Popen(
        [*MMETL, "run"], cwd=bench.root, env={**os.environ, "MM_COUNT": str(bench.counts)}, stderr=subprocess.DEVNULL
    )
    while embedded(bench.counts) < needed * KILLED_AT and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = embedded(bench.counts)
    return before, measured([*MMETL, "run"], bench.root, bench.counts).embedded, needed


def floor(peer: str, python: str, bench_folder: Path, data: Path, work: Path) -> None:
    """Measure a floor script on the steps that it knows."""
    docs, state, counts = work / f"{peer}-docs", work / f"{peer}-state", work / "counts.txt"
    for folder in (docs, state):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(data, docs)
    state.mkdir()
    files = sorted(p for p in docs.rglob("*") if p.suffix in {".md", ".rst", ".html"})
    chosen = random.Random(0)
    changes: dict[str, Callable[[], object]] = {
        "full": lambda: None,
        "no-op": lambda: None,
        "touch all": lambda: [os.utime(p) for p in files],
        "edit 1": lambda: append(chosen.sample(files, 1)),
        "edit 1 %": lambda: append(chosen.sample(files, max(1, len(files) // 100))),
    }
    for name in ("full",) if peer == "plain" else changes:
        changes[name]()
        used = measured([python, str(bench_folder / f"{peer}.py"), str(docs), str(state)], bench_folder, counts)
        print(f"| {peer} | {name} | {used.cpu:.2f} | {used.peak_mb:.0f} | {used.embedded:,} | |", flush=True)


def main() -> None:
    """Run all steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--bench", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("benchmarks/work/documents"))
    parser.add_argument("--peers", default="")
    parser.add_argument("--python", default=sys.executable)
    if sys.argv[1:2] == ["--compare"]:
        ours, theirs = (rows(Path(folder)) for folder in sys.argv[2:])
        print(len(ours ^ theirs), len({row[2] for row in theirs}))
        return
    given = parser.parse_args()
    bench = Bench(given.work.resolve(), given.data, given.bench)
    print("| engine | step | CPU s | peak MB | embedded | wrong rows |\n|---|---|---|---|---|---|")
    for name, change in steps(bench).items():
        change()
        used = measured([*MMETL, "run", "--allow-shrink", "files"], bench.root, bench.counts)
        print(
            f"| mmetl | {name} | {used.cpu:.2f} | {used.peak_mb:.0f} | {used.embedded:,} | {bench.wrong_rows()} |",
            flush=True,
        )
    before, after, needed = killed(bench)
    again = f"{after:,} after {before:,} of {needed:,}"
    print(f"| mmetl | kill -9 at half, run again | | | {again} | {bench.wrong_rows()} |", flush=True)
    for peer in filter(None, given.peers.split(",")):
        floor(peer, given.python, given.bench, given.data, given.work.resolve())


if __name__ == "__main__":
    main()
