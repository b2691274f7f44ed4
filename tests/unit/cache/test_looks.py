"""How a folder that an engine keeps looks, without asking the engine."""

from __future__ import annotations

from pathlib import Path

from harness import grow_old

from mmetl.cache.fingerprints import MISSING
from mmetl.cache.looks import look_of


def test_what_changes_the_look(tmp_path: Path) -> None:
    """A file that is new, gone, renamed, longer, or written again with as many bytes; reading changes nothing."""
    folder = tmp_path / "index"
    assert look_of(str(folder)) == MISSING
    (folder / "deep").mkdir(parents=True)
    looks = [look_of(str(folder))]

    def look() -> None:
        looks.append(look_of(str(folder)))
        assert look_of(str(folder)) == looks[-1]
        grow_old()

    for text in ("one", "two", "three"):
        (folder / "deep/a").write_text(text)
        look()
    (folder / "deep/a").rename(folder / "deep/b")
    look()
    (folder / "deep/b").rename(folder / "b")
    look()
    (folder / "c").write_text("")
    look()
    assert len(set(looks)) == len(looks)
    (folder / "c").unlink()
    assert look_of(str(folder)) == looks[-2]
