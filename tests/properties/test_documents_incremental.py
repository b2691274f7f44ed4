"""Documents of many formats through every item-wise transform and target: after any edits and kill -9, all is as from scratch."""

from __future__ import annotations

import json
import random
import shutil
import sys
import time
from pathlib import Path

import pytest
from harness import Project
from layered import kill_tree
from test_items_incremental import manifests

sys.path.append(str(Path(__file__).parents[1] / "unit/transforms/document"))
import document_formats as formats

PIPELINE = """\
version: 1
name: p
tasks:
  files: {{transform: document.files, params: {{path: docs/, exclude: ["docs/*.skip"]}}}}
  texts: {{transform: document.parse, inputs: [files], params: {{on_error: quarantine, max_fraction: 1, max_mb: {max_mb}}}}}
  clean: {{transform: document.clean, inputs: [texts]}}
  redacted: {{transform: document.redact, inputs: [clean], params: {{into: masked, kinds: [{kinds}]}}}}
  facts: {{transform: document.extract, inputs: [texts], params: {{fields: {{number: "{field}"}}, drop: [text]}}}}
  names: {{transform: document.entities, inputs: [clean], params: {{patterns: {{number: "{field}"}}}}}}
  unique: {{transform: document.deduplicate, inputs: [clean], params: {{keep: {keep}}}}}
  chunks: {{transform: document.chunk, inputs: [clean], params: {{size: {size}, method: {method}}}}}
  vectors: {{transform: vector.embed, inputs: [chunks], params: {{provider: function, function: "./own.py:embed", dimensions: 4}}}}
  loud: {{transform: own.shout, inputs: [chunks]}}
  index: {{transform: vector.index, inputs: [vectors], params: {{path: index/, text: text, ann_above: {ann_above}}}}}
  pages: {{transform: document.export, inputs: [redacted], params: {{path: pages/, content: masked, format: {format}}}}}
imports: [./own.py]
"""
CHOICES = {
    "max_mb": ["50", "0.002"],
    "kinds": ["email", "email, phone"],
    "field": ["[0-9]+", "[a-z]+[0-9]"],
    "keep": ["first", "all"],
    "size": ["60", "200"],
    "method": ["heading", "sentence", "recursive"],
    "ann_above": ["5", "100000"],
    "format": ["md", "txt"],
}
OWN = """\
import hashlib
from mmetl import Items, register_transform

MARK = "!"


def embed(texts):
    return [[byte + 1 for byte in hashlib.sha256((text + MARK).encode()).digest()[:4]] for text in texts]


@register_transform("own.shout", items=Items(reads=["text"], makes={"loud": "string"}, batch_rows=7))
def shout(batch):
    return {"loud": [text.upper() + MARK for text in batch.column("text").to_pylist()]}
"""
TABLES = ("files", "texts", "clean", "redacted", "facts", "names", "unique", "chunks", "vectors", "loud")


def markdown(text):
    return f"# Title\n\n{text}\n\n## Below\n\nMail ann@example.org or call +49 30 1234567.\n".encode()


KINDS = {
    "md": markdown,
    "rst": lambda text: f"Title\n=====\n\n{text}\n\nBelow\n-----\n\nMore words.\n".encode(),
    "txt": lambda text: text.encode("utf-16"),
    "py": lambda text: f'"""{text}"""\n\n\ndef f():\n    return 1\n'.encode(),
    "html": lambda text: formats.HTML.replace("Some", text).encode(),
    "eml": lambda text: formats.mail().replace(b"plain words", text.encode()),
    "pdf": lambda text: formats.pdf(text, "Page two."),
    "docx": formats.docx,
    "bin": lambda text: b"\0\1\2" + text.encode(),
    "pdf.pdf": lambda text: formats.pdf(text)[:60],
    "skip": lambda text: text.encode(),
}


class Library:
    """A project and what its sources say."""

    def __init__(self, project, rng):
        self.project, self.rng, self.docs = project, rng, project.root / "docs"
        self.chosen = {name: values[0] for name, values in CHOICES.items()}
        self.mark = "!"
        self.docs.mkdir(parents=True)
        for n in range(25):
            self.put(n)
        self.save()

    def put(self, number):
        kind = self.rng.choice(list(KINDS))
        words = " ".join(
            self.rng.choice(["one", "two", "alpha7", "42", "same"]) for _ in range(self.rng.choice([1, 5, 400]))
        )
        (self.docs / f"{number}.{kind}").write_bytes(KINDS[kind](words))

    def edit(self):
        """Change something."""
        rng, there = self.rng, sorted(self.docs.iterdir())
        match rng.choice(["put", "put", "many", "drop", "rename", "copy", "param", "param", "code"]):
            case "put":
                self.put(rng.randrange(40))
            case "many":
                for n in range(100, 100 + rng.randrange(5, 60)):
                    self.put(n)
            case "drop":
                for path in rng.sample(there, min(len(there) - 5, rng.randrange(1, 20))):
                    path.unlink()
            case "rename":
                path = rng.choice(there)
                path.rename(self.docs / f"renamed{rng.randrange(9)}{path.suffix}")
            case "copy":
                path = rng.choice(there)
                shutil.copy(path, self.docs / f"copy{rng.randrange(9)}{path.suffix}")
            case "param":
                name = rng.choice(list(CHOICES))
                self.chosen[name] = rng.choice(CHOICES[name])
            case "code":
                self.mark = rng.choice("!?")
        self.save()

    def save(self):
        self.project.write("pipeline.yaml", PIPELINE.format(**self.chosen))
        self.project.write("own.py", OWN.replace('MARK = "!"', f'MARK = "{self.mark}"'))

    def killed_run(self):
        """Run, and kill -9 at any moment: while it starts, computes, writes an index, or when it is over."""
        process = self.project.start("run", "--allow-shrink", "files")
        time.sleep(self.rng.random() * 4)
        kill_tree(process)

    def run(self):
        done = self.project.fast("run", "--json", "--allow-shrink", "files")
        assert done.code == 0, done.err + done.out
        assert set(self.project.run().values()) == {"fresh"}


def found(project):
    """Return all that a project has made: rows of tables, those set aside, what the index finds, the files of the folder."""

    def lines(*argv):
        done = project.fast(*argv, "--json", "--limit", "0") if argv[0] == "show" else project.fast(*argv, "--json")
        assert done.code == 0, done.err
        return done.out

    rows = {t: sorted(lines("show", t).splitlines()) for t in TABLES}
    hits = json.loads(lines("search", "index", "words one two", "-k", "5000", "--mode", "text"))["hits"]
    aside = sorted(project.fast("quarantine", "show", "texts", "--json", "--limit", "1000").out.splitlines())
    folder = project.root / "pages"
    pages = {
        str(p.relative_to(folder)): p.read_bytes() for p in folder.glob("**/*") if p.is_file() and "/." not in str(p)
    }
    return {**rows, "index": sorted(json.dumps(hit["row"]) for hit in hits), "aside": aside, "pages": pages}


@pytest.mark.parametrize("seed", range(2))
def test_any_edits_and_kills(empty, seed):
    pytest.importorskip("kreuzberg")
    pytest.importorskip("usearch")
    rng = random.Random(seed)
    project = Project(empty.root / "a")
    library = Library(project, rng)
    if rng.random() < 0.5:
        library.killed_run()
    library.run()
    for _ in range(4):
        for _ in range(rng.randrange(1, 5)):
            library.edit()
            if rng.random() < 0.3:
                library.killed_run()
        library.run()
    scratch = Project(empty.root / "b")
    ignored = shutil.ignore_patterns(".mmetl", "index", "pages")
    shutil.copytree(project.root, scratch.root, ignore=ignored)
    assert set(scratch.run().values()) == {"ran"}
    ours, theirs = found(project), found(scratch)
    assert {name for name in ours if ours[name] != theirs[name]} == set()
    assert not (project.root / ".mmetl/replaced").exists()
    ours, theirs = manifests(project), manifests(scratch)
    if ours["files"] == theirs["files"]:  # the source is cut into as many buckets
        assert ours == theirs
