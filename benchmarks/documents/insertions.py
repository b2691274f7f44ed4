"""How many texts are embedded when a paragraph is inserted at the top of a long document, cut by `document.chunk`.

    python benchmarks/documents/insertions.py --data FOLDER --bench FOLDER [--documents 100] [--methods heading,sentence]

A paragraph is put above each of the longest documents, each one its own, and one run follows. The chunks of a document that were
not there before are those that had to be embedded; together they are as many as the embedder counted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from engines import DOCUMENTS, Engine

PIPELINE = """\
version: 1
name: insertions
imports: [./steps.py]
tasks:
  files: {{transform: document.files, params: {{path: docs/}}}}
  texts: {{transform: document.parse, inputs: [files]}}
  chunks: {{transform: document.chunk, inputs: [texts], params: {{method: {method}, size: {size}}}}}
  vectors:
    transform: vector.embed
    inputs: [chunks]
    params: {{provider: function, function: "steps:embed", dimensions: 256, normalize: false, batch_size: 2048}}
"""
SIZES = {"tokens": 250}


def texts_of(project: Path) -> dict[str, set[str]]:
    """Return the names of the chunks of each document. Another process reads them: see rows.py."""
    code = (
        "import json, sys; from mmetl import Project; t = Project.open(sys.argv[1]).artifact('chunks').to_arrow();"
        " print(json.dumps([t.column(c).to_pylist() for c in ('path', 'text')]))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(project)], capture_output=True, text=True, check=True)
    found = defaultdict(set)
    for path, text in zip(*json.loads(done.stdout), strict=True):
        found[path].add(text)
    return found


def measure(method: str, data: Path, work: Path, bench: Path, number: int) -> str:
    """Return a line of the table."""
    engine = Engine("mmetl-light", work / method, bench, sys.executable)
    (engine.folder / "pipeline.yaml").write_text(PIPELINE.format(method=method, size=SIZES.get(method, 1000)))
    engine.docs.mkdir()
    files = (p for p in data.rglob("*") if p.suffix in DOCUMENTS)
    for n, path in enumerate(sorted(files, key=lambda p: p.stat().st_size, reverse=True)[:number]):
        (engine.docs / f"{n:04d}{path.suffix}").write_bytes(path.read_bytes())
    engine.update()
    before = texts_of(engine.folder)
    for n, path in enumerate(engine.files()):
        path.write_bytes(f"This is paragraph {n}, which nobody has read yet.\n\n".encode() + path.read_bytes())
    embedded = engine.update().embedded
    after = texts_of(engine.folder)
    known = set().union(*before.values())
    new = {path: len(texts - known) for path, texts in after.items()}
    shares = [new[path] / len(after[path]) for path in after]
    assert embedded == len(set().union(*after.values()) - known), "what was embedded is not what was new"
    sizes = sorted(len(t) for t in after.values())
    return (
        f"| {method} | {len(after)} | {sizes[0]} to {sizes[-1]} | {embedded} | {statistics.median(new.values()):g} |"
        f" {max(new.values())} | {max(shares):.1%} |"
    )


def main() -> None:
    """Measure each method."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--bench", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("benchmarks/work/insertions"))
    parser.add_argument("--documents", type=int, default=100)
    parser.add_argument("--methods", default="heading,sentence,tokens,recursive")
    given = parser.parse_args()
    print(
        "| method | documents | chunks of one | embedded | median | most | greatest share |\n|---|---|---|---|---|---|---|"
    )
    for method in given.methods.split(","):
        print(measure(method, given.data, given.work.resolve(), given.bench, given.documents), flush=True)


if __name__ == "__main__":
    main()
