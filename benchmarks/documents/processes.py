"""What worker processes bring: tasks over a folder of texts, computed here, and in as many processes as there are cores.

    python benchmarks/documents/processes.py --data FOLDER [--copies 4]

A task of a run with `--jobs N` has one N-th of the cores; with as many jobs as cores it has one, and starts no process. It needs a machine
with nothing else to do. CPU is that of all processes.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import time
from pathlib import Path

from engines import DOCUMENTS

PIPELINE = """\
version: 1
name: processes
imports: [./own.py]
tasks:
  files: {transform: document.files, params: {path: docs/}}
  texts: {transform: document.parse, inputs: [files]}
  chunks: {transform: document.chunk, inputs: [texts]}
  tokens: {transform: document.chunk, inputs: [texts], params: {method: tokens, size: 250}}
  redacted: {transform: document.redact, inputs: [texts]}
  own: {transform: own.heavy, inputs: [texts], params: {drop: [text]}}
"""
OWN = """\
from collections import Counter

from mmetl import Items, register_transform


def top(text):
    words = list(Counter(text.lower().split()))[:95]
    return str(sum(len(set(a) & set(b)) for a in words for b in words))


@register_transform("own.heavy", items=Items(reads=["text"], makes={"top": "string"}, batch_rows=128, parallel=True))
def heavy(batch):
    return {"top": [top(t) for t in batch.column("text").to_pylist()]}
"""


def measure(project: Path, task: str, jobs: int) -> tuple[float, float]:
    """Return the seconds of the clock, and of CPU, that a task takes."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    argv = ["mmetl", "run", "--force", "--select", f"processes:{task}", "--jobs", str(jobs)]
    subprocess.run(argv, cwd=project, check=True, capture_output=True)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - started, cpu


def main() -> None:
    """Print a line for each task."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("benchmarks/work/processes"))
    parser.add_argument("--copies", type=int, default=4)
    parser.add_argument("--tasks", default="chunks,tokens,redacted,own")
    given = parser.parse_args()
    shutil.rmtree(given.work, ignore_errors=True)
    docs = given.work / "docs"
    docs.mkdir(parents=True)
    (given.work / "pipeline.yaml").write_text(PIPELINE)
    (given.work / "own.py").write_text(OWN)
    for copy in range(given.copies):
        for path in given.data.rglob("*"):
            if path.suffix in DOCUMENTS:
                (docs / f"{copy}-{path.name}").write_bytes(b"copy %d\n" % copy + path.read_bytes())
    subprocess.run(["mmetl", "run", "--select", "+processes:texts"], cwd=given.work, check=True, capture_output=True)
    cores = os.cpu_count() or 1
    print(f"| task | one process: s (CPU s) | {cores} cores: s (CPU s) |\n|---|---|---|")
    for task in given.tasks.split(","):
        one, many = measure(given.work, task, cores), measure(given.work, task, 1)
        print(f"| {task} | {one[0]:.1f} ({one[1]:.1f}) | {many[0]:.1f} ({many[1]:.1f}) |", flush=True)


if __name__ == "__main__":
    main()
