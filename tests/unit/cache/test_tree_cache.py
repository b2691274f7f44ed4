"""What globs stand for, by folder: what is looked into again, and what is told of a change."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mmetl.cache.fingerprints import TICK_NS, FileCache, hash_file
from mmetl.cache.listing import list_files
from mmetl.cache.store import Store
from mmetl.cache.tree_cache import TreeCache, drop_pages, write_trees
from mmetl.cache.trees import Tree

GLOB = "docs/**/*.md"


def age(root: Path) -> None:
    """Wait until no file is too young for its signature to be trusted."""
    newest = max(p.stat().st_ctime_ns for p in root.rglob("*.md"))
    while time.time_ns() - newest < 2 * TICK_NS:
        time.sleep(0.01)


def begin(root: Path) -> TreeCache:
    """Begin as a new process does."""
    return TreeCache(Store(root), FileCache(str(root), {}))


def save(cache: TreeCache, root: Path) -> set[str]:
    """End as a process does; return the folders that there was something to write about."""
    changes = cache.take_changes()
    with Store(root).transaction() as db:
        write_trees(db, changes)
    return {folder for _, folder in changes.folders}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for n in range(9):
        path = tmp_path / f"docs/{n % 3}/{n}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"Text {n}.")
    (tmp_path / "docs/above.md").write_text("Above.")
    (tmp_path / "docs/0/other.txt").write_text("No document.")
    age(tmp_path)
    return tmp_path


def files(tree: Tree) -> dict[str, str]:
    return {folder + name: file.fingerprint for folder, page in tree.walk() for name, file in page.items()}


def expected(root: Path) -> dict[str, str]:
    return {p: hash_file(str(root / p)) for p in list_files(str(root), GLOB)}


def test_a_tree_has_every_file_of_the_glob(root: Path) -> None:
    tree = begin(root).observe(GLOB)
    assert files(tree) == expected(root)
    assert tree.paths() == list(list_files(str(root), GLOB))
    assert list(tree.folders) == ["docs/", "docs/0/", "docs/1/", "docs/2/"]
    assert (tree.files, tree.size_bytes) == (10, 9 * len("Text 0.") + len("Above."))
    found = tree.find("docs/1/4.md")
    assert found is not None
    assert found.size_bytes == len("Text 4.")
    assert tree.find("docs/0/other.txt") is None


def test_a_folder_that_looks_as_it_did_is_not_looked_into(root: Path) -> None:
    first = begin(root)
    tree = first.observe(GLOB)
    assert save(first, root) == {"docs/", "docs/0/", "docs/1/", "docs/2/"}
    second = begin(root)
    assert second.observe(GLOB).fingerprint == tree.fingerprint
    assert files(second.observe(GLOB)) == expected(root)
    assert save(second, root) == set()


CHANGES: dict[str, tuple[Callable[[Path], object], set[str], bool]] = {
    "edited": (lambda root: (root / "docs/1/4.md").write_text("Other."), {"docs/1/"}, True),
    "edited, as long as before": (lambda root: (root / "docs/1/4.md").write_text("Test 4."), {"docs/1/"}, True),
    "touched": (lambda root: os.utime(root / "docs/1/4.md"), {"docs/1/"}, False),
    "added": (lambda root: (root / "docs/1/new.md").write_text("New."), {"docs/1/"}, True),
    "removed": (lambda root: (root / "docs/1/4.md").unlink(), {"docs/1/"}, True),
    "renamed": (lambda root: (root / "docs/1/4.md").rename(root / "docs/1/x.md"), {"docs/1/"}, True),
    "moved": (lambda root: (root / "docs/1/4.md").rename(root / "docs/2/4.md"), {"docs/1/", "docs/2/"}, True),
    "a folder renamed": (lambda root: (root / "docs/1").rename(root / "docs/x"), {"docs/1/", "docs/x/"}, True),
    "a file that does not match": (lambda root: (root / "docs/1/a.txt").write_text("No."), set(), False),
}


@pytest.mark.parametrize("title", CHANGES)
def test_a_change_concerns_its_folder(root: Path, title: str) -> None:
    change, folders, other = CHANGES[title]
    first = begin(root)
    before = first.observe(GLOB)
    save(first, root)
    change(root)
    age(root)
    second = begin(root)
    tree = second.observe(GLOB)
    assert (tree.fingerprint != before.fingerprint) is other
    assert files(tree) == expected(root)
    assert save(second, root) == folders
    third = begin(root)
    assert files(third.observe(GLOB)) == expected(root)
    assert save(third, root) == set()


def test_a_young_file_is_looked_into_again(root: Path) -> None:
    (root / "docs/1/4.md").write_text("Young 1.")
    first = begin(root)
    first.observe(GLOB)
    save(first, root)
    st = (root / "docs/1/4.md").stat()
    (root / "docs/1/4.md").write_text("Young 2.")
    os.utime(root / "docs/1/4.md", ns=(st.st_atime_ns, st.st_mtime_ns))
    assert files(begin(root).observe(GLOB)) == expected(root)


MOVES: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "nothing": (lambda _root: None, []),
    "written": (lambda root: (root / "docs/1/4.md").write_text("Other."), ["docs/1/4.md"]),
    "written with the same bytes": (lambda root: (root / "docs/1/4.md").write_text("Text 4."), ["docs/1/4.md"]),
    "added": (lambda root: (root / "docs/1/new.md").write_text("New."), [GLOB]),
    "removed": (lambda root: (root / "docs/1/4.md").unlink(), [GLOB]),
    "the last one of a folder removed": (lambda root: (root / "docs/above.md").unlink(), [GLOB]),
}


@pytest.mark.parametrize("saved", [True, False])
@pytest.mark.parametrize("title", MOVES)
def test_what_was_written_since(root: Path, title: str, saved: bool) -> None:
    cache = begin(root)
    if saved:
        cache.observe(GLOB)
        save(cache, root)
        cache = begin(root)
    tree = cache.observe(GLOB)
    change, moved = MOVES[title]
    change(root)
    assert cache.moved(GLOB, tree) == moved


def test_what_was_written_since_by_what_was_young(root: Path) -> None:
    (root / "docs/1/4.md").write_text("Young.")
    cache = begin(root)
    tree = cache.observe(GLOB)
    assert cache.moved(GLOB, tree) == []
    (root / "docs/1/4.md").write_text("Other.")
    assert cache.moved(GLOB, tree) == ["docs/1/4.md"]


def test_another_process_that_has_seen_the_change_does_not_hide_it(root: Path) -> None:
    first = begin(root)
    first.observe(GLOB)
    save(first, root)
    ours = begin(root)
    tree = ours.observe(GLOB)
    (root / "docs/1/4.md").write_text("Other.")
    age(root)
    theirs = begin(root)
    theirs.observe(GLOB)
    save(theirs, root)
    assert "docs/1/4.md" in ours.moved(GLOB, tree)
    assert files(tree)["docs/1/4.md"] != expected(root)["docs/1/4.md"], "what was observed stays as it was"


def test_only_some_files_are_asked_about(root: Path) -> None:
    cache = begin(root)
    tree = cache.observe(GLOB)
    for name in ("1/4.md", "2/5.md"):
        (root / "docs" / name).write_text("Other.")
    assert cache.moved_among(GLOB, tree, ["docs/1/4.md", "docs/1/7.md"]) == ["docs/1/4.md"]


def test_files_and_folders_are_left_out(root: Path) -> None:
    cache = begin(root)
    tree = cache.observe(GLOB)
    assert cache.without(tree, ["docs/none.md", "elsewhere/1.md"], "") is tree
    less = cache.without(tree, ["docs/1/4.md", "docs/above.md"], "docs/2/")
    left = {p: f for p, f in expected(root).items() if p not in {"docs/1/4.md", "docs/above.md"} and "/2/" not in p}
    assert files(less) == left
    assert list(less.folders) == ["docs/0/", "docs/1/"]
    for name in ("1/4.md", "above.md", "2/5.md", "2/new.md"):
        (root / "docs" / name).write_text("Other.")
    assert cache.moved(GLOB, less) == []
    (root / "docs/1/7.md").write_text("Other.")
    assert cache.moved(GLOB, less) == ["docs/1/7.md"]


def test_pages_that_nothing_has_are_dropped(root: Path) -> None:
    for text in ("one", "two"):
        (root / "docs/1/4.md").write_text(text)
        cache = begin(root)
        tree = cache.observe(GLOB)
        save(cache, root)
    with Store(root).transaction() as db:
        before = {p for (p,) in db.execute("select fingerprint from pages")}
        drop_pages(db)
        left = {p for (p,) in db.execute("select fingerprint from pages")}
    assert left == {e.page for e in tree.folders.values()}
    assert len(before) == len(left) + 1


def test_names_that_are_not_utf8_are_told(root: Path) -> None:
    os.makedirs(os.fsencode(str(root / "docs")) + b"/\xff")
    Path(os.fsdecode(os.fsencode(str(root / "docs")) + b"/\xff/a.md")).write_text("Hm.")
    cache = begin(root)
    tree = cache.observe(GLOB)
    assert [why for _, why in tree.unusable()] == ["! its name is not UTF-8"]
    assert "docs/\udcff/" not in save(cache, root)
