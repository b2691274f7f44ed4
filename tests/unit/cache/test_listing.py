"""Which files a glob stands for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mmetl.cache.listing import is_glob, list_files, matches
from mmetl.errors import TaskError

FILES = [
    "a.csv",
    "b.csv",
    "c.txt",
    ".hidden.csv",
    "d/a.csv",
    "d/e/a.csv",
    "d/e/b.txt",
    "d/.h/a.csv",
    ".mmetl/a.csv",
    ".mmetl/x/a.csv",
    "d/.mmetl/a.csv",
    "[x].csv",
    "é.csv",
    "Z.csv",
    "10.csv",
    "9.csv",
]

GLOBS = {
    "*.csv": "10.csv 9.csv Z.csv [x].csv a.csv b.csv é.csv",
    "?.csv": "9.csv Z.csv a.csv b.csv é.csv",
    "[ab].csv": "a.csv b.csv",
    "[!a-z].csv": "9.csv Z.csv é.csv",
    "[[]x].csv": "[x].csv",
    "*": "10.csv 9.csv Z.csv [x].csv a.csv b.csv c.txt é.csv",
    "d/*.csv": "d/a.csv",
    "*/a.csv": "d/a.csv",
    "*/*/*.csv": "d/e/a.csv",
    "**/a.csv": "a.csv d/a.csv d/e/a.csv",
    "d/**/a.csv": "d/a.csv d/e/a.csv",
    "d/**": "d/a.csv d/e/a.csv d/e/b.txt",
    "**/e/**": "d/e/a.csv d/e/b.txt",
    "**/e/*.txt": "d/e/b.txt",
    ".*.csv": ".hidden.csv",
    "d/.h/*.csv": "d/.h/a.csv",
    "d/.*/*.csv": "d/.h/a.csv d/.mmetl/a.csv",
    ".mmetl/*.csv": "",
    ".*/*.csv": "",
    ".mmetl/**": "",
    "a.csv/*": "",
    "nowhere/*.csv": "",
    "*.parquet": "",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with files of many kinds."""
    root = tmp_path / "root"
    for name in FILES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("")
    return root


@pytest.mark.parametrize(("pattern", "expected"), GLOBS.items())
def test_listing(root: Path, pattern: str, expected: str) -> None:
    """Listings are sorted by bytes; wildcards stay in one folder, skip hidden names, and never match the state folder."""
    assert " ".join(list_files(str(root), pattern)) == expected


def test_names_that_are_not_utf8_are_sorted_by_bytes(tmp_path: Path) -> None:
    """As all others are: what stands for such a byte in a text has its place elsewhere."""
    for name in ("a", "🎉", "\udcff"):
        (tmp_path / name).write_text("")
    assert list_files(str(tmp_path), "*") == ("a", "🎉", "\udcff")


@pytest.mark.parametrize(("pattern", "expected"), GLOBS.items())
def test_matching_agrees_with_listing(pattern: str, expected: str) -> None:
    """A glob stands for an output that is not there yet exactly if it would list it."""
    assert sorted((f for f in FILES if matches(f, pattern)), key=os.fsencode) == expected.split()


def test_absolute_pattern(root: Path) -> None:
    """Files outside the project are named by absolute paths."""
    assert list_files("/nowhere", f"{root}/[ab].csv") == (f"{root}/a.csv", f"{root}/b.csv")
    assert list_files("/nowhere", f"{root}/**/b.txt") == (f"{root}/d/e/b.txt",)


def test_linked_folder_inside_the_project(root: Path) -> None:
    """A link is followed once, under its own name."""
    (root / "link").symlink_to("d")
    assert list_files(str(root), "link/*.csv") == ("link/a.csv",)
    assert list_files(str(root), "**/a.csv") == ("a.csv", "d/a.csv", "d/e/a.csv", "link/a.csv", "link/e/a.csv")


def test_linked_files(root: Path, tmp_path: Path) -> None:
    """A link to a file is a file; one that leads nowhere is not."""
    (tmp_path / "outside.csv").write_text("")
    (root / "l1.csv").symlink_to("a.csv")
    (root / "l2.csv").symlink_to("nowhere")
    assert list_files(str(root), "l*.csv") == ("l1.csv",)


@pytest.mark.parametrize("target", [".", "..", "../.."])
def test_loop_is_reported(root: Path, target: str) -> None:
    """A link back to a folder above it would be followed for ever."""
    (root / "d/e/loop").symlink_to(target)
    with pytest.raises(TaskError) as caught:
        list_files(str(root), "**/a.csv")
    assert str(caught.value) == "error: the link 'd/e/loop' leads back to a folder above it\nhelp: remove the link"


@pytest.mark.parametrize("pattern", ["**/*.csv", "*/*.csv", "out/*.csv", "o*/*.csv"])
def test_link_out_of_the_project_is_reported(root: Path, tmp_path: Path, pattern: str) -> None:
    """What lies outside is not read under a name inside."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret.csv").write_text("")
    (root / "out").symlink_to(tmp_path / "outside")
    with pytest.raises(TaskError) as caught:
        list_files(str(root), pattern)
    help_ = "name that folder itself as an absolute path"
    assert str(caught.value) == f"error: the link 'out' leaves the project\nhelp: {help_}"


def test_link_into_the_state_folder_lists_nothing(root: Path) -> None:
    """A glob never reads mmETL's own files, by whatever name."""
    (root / "own").symlink_to(".mmetl")
    assert ".mmetl" not in " ".join(list_files(str(root), "*/*.csv"))
    assert list_files(str(root), "own/*.csv") == ()


@pytest.mark.parametrize(
    ("path", "expected"), [("a/b", False), ("a*", True), ("a?", True), ("[a]", True), ("]", False)]
)
def test_is_glob(path: str, expected: bool) -> None:
    """A wildcard makes a glob."""
    assert is_glob(path) is expected
