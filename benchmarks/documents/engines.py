"""The engines of the benchmark: mmETL with each kind of index, the floor scripts, CocoIndex. Each has documents of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
MMETL = str(Path(sys.executable).with_name("mmetl"))
DOCUMENTS = (".md", ".rst", ".html")
MB = 1024
QUIET = {"DO_NOT_TRACK": "1", "COCOINDEX_DISABLE_USAGE_TRACKING": "1", "RUST_LOG": "error"}

SCALING = """

SCALE = 1.0


def scaled(vectors):
    return vectors * SCALE
"""
"""What a change of the embedder's code changes: a constant and a helper in a module that it imports."""

INDEXES = {"light": "", "text": ", text: chunk", "lancedb": ", target: lancedb"}
"""Kind of index -> further params. Only `lancedb` holds what the floor scripts' table holds: texts and vectors."""

SIZES = {
    "mmetl": ("pipeline.yaml", "size: {}"),
    "memo": ("memo.py", "BATCH = {}, "),
    "coco": ("coco.py", "size={},"),
    "plain": ("plain.py", "size={},"),
}


class Used(NamedTuple):
    """What one command cost: CPU and wall seconds, peak memory; how many texts it embedded."""

    cpu: float
    wall: float
    peak_mb: float
    embedded: int


class Engine:
    """One engine in a folder of its own.

    Args:
        name: `mmetl-light`, `mmetl-text`, `mmetl-lancedb`, or the name of a script.
        work: the folder of all engines.
        bench: the folder of the scripts.
        python: the interpreter of the scripts.
    """

    def __init__(self, name: str, work: Path, bench: Path, python: str) -> None:
        self.name, self.kind = name, name.partition("-")[0]
        self.folder = work / name
        self.docs, self.state, self.counts = self.folder / "docs", self.folder / "state", work / f"{name}.count"
        self._python = python
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        (self.folder / "mmcommon.py").write_text((bench / "mmcommon.py").read_text() + SCALING)
        if self.kind == "mmetl":
            shutil.copy(HERE / "steps.py", self.folder)
            whole = (HERE / "pipeline.yaml").read_text()
            more = INDEXES[name.partition("-")[2]]
            (self.folder / "pipeline.yaml").write_text(whole.replace("path: index/", f"path: index/{more}"))
        else:
            self.state.mkdir()
            script = (bench / f"{name}.py").read_text()
            script = script.replace("raw_embed, ", "raw_embed, scaled, ", 1).replace(
                "raw_embed\n", "raw_embed, scaled\n", 1
            )
            script = re.sub(r"raw_embed\(texts\)(.*# EMBED)", r"scaled(raw_embed(texts))\1", script)
            (self.folder / f"{name}.py").write_text(script)

    @property
    def command(self) -> list[str]:
        """The command that brings the store up to date."""
        return [MMETL, "run"] if self.kind == "mmetl" else [self._python, f"{self.name}.py", "docs", "state"]

    def start_over(self) -> None:
        """Forget everything."""
        for folder in (".mmetl", "index", "state"):
            shutil.rmtree(self.folder / folder, ignore_errors=True)
        if self.kind != "mmetl":
            self.state.mkdir()

    def update(self, *more: str) -> Used:
        """Run the command to its end. Exits with what it said if it failed."""
        self.counts.unlink(missing_ok=True)
        started = time.perf_counter()
        with open(self.folder / "said.txt", "w+", encoding="utf-8") as said:
            process = self.begin(*more, said=said)
            _, status, used = os.wait4(process.pid, 0)
            if status:
                said.seek(0)
                sys.exit(f"{self.name}: {said.read()}")
        wall = time.perf_counter() - started
        return Used(used.ru_utime + used.ru_stime, wall, used.ru_maxrss / MB, self.embedded())

    def begin(self, *more: str, said: object = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        """Start the command, in a process group of its own."""
        environment = {**os.environ, **QUIET, "MM_COUNT": str(self.counts), "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.Popen(
            [*self.command, *more], cwd=self.folder, env=environment, stdout=said, stderr=said, start_new_session=True
        )

    def embedded(self) -> int:
        """Return how many texts the last run has embedded so far."""
        lines = self.counts.read_text().splitlines() if self.counts.exists() else []
        return sum(int(line.split()[1]) for line in lines if line.startswith("embed"))

    def files(self) -> list[Path]:
        """Return the documents, sorted."""
        return sorted(p for p in self.docs.rglob("*") if p.suffix in DOCUMENTS and p.is_file())

    def edit(self, file: str, old: str, new: str) -> None:
        """Change a text of the engine's code."""
        path = self.folder / file
        text = path.read_text()
        assert old in text, (self.name, file, old)
        path.write_text(text.replace(old, new))

    def resize(self, old: int, new: int) -> None:
        """Change the size of a chunk."""
        file, text = SIZES[self.kind]
        self.edit(file, text.format(old), text.format(new))

    def reembed(self) -> None:
        """Change the body of the embedding function."""
        path = self.folder / ("steps.py" if self.kind == "mmetl" else f"{self.name}.py")
        text, found = re.subn(r"(\w*\.?scaled\(.*# EMBED)", r"-\1", path.read_text())
        assert found == 1, self.name
        path.write_text(text)

    def rows(self) -> list[tuple[str, set[str]]]:
        """Return what each store of the engine holds, as lines (see rows.py)."""
        if self.kind != "mmetl":
            return [("table", self._lines(self._python, "lance", str(self.state / "lance"), "chunks"))]
        found = [("artifact", self._lines(sys.executable, "artifact", str(self.folder)))]
        if self.name.endswith("text"):
            found.append(("index", self._lines(sys.executable, "light", str(self.folder / "index"))))
        if self.name.endswith("lancedb"):
            found.append(("index", self._lines(sys.executable, "lance", str(self.folder / "index"), "rows")))
        return found

    def _lines(self, python: str, *arguments: str) -> set[str]:
        asked = [python, str(HERE / "rows.py"), *arguments]
        done = subprocess.run(asked, capture_output=True, text=True, check=True, env={**os.environ, **QUIET})
        return set(done.stdout.splitlines())


def wrong(held: Sequence[tuple[str, set[str]]], expected: set[str]) -> int:
    """Return in how many rows a store differs from what it ought to hold; of a light index, which has no vectors, by the texts."""
    bare = {" ".join([*line.split(" ")[:-1], "-"]) for line in expected}
    return sum(len(lines ^ (bare if any(line.endswith(" -") for line in lines) else expected)) for _, lines in held)
