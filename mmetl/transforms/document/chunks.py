"""Cut a text into chunks that fit an embedding model, each with where it stands and below which headings."""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

from mmetl.transforms.document.cuts import (
    LINE,
    PARAGRAPH,
    SENTENCE,
    SEPARATORS,
    SPACE,
    Window,
    behind,
    by_content,
    token_windows,
    windows,
)
from mmetl.transforms.document.headings import Heading, Markup, find_headings, heading_paths
from mmetl.transforms.document.media import DOCX, EPUB, PDF, PPTX, XLSX
from mmetl.transforms.document.text_types import HTML, MAIL, MAILBOX, MARKDOWN, NOTEBOOK, RST

_WITH_HEADINGS = frozenset({MARKDOWN, HTML, MAIL, MAILBOX, PDF, DOCX, PPTX, XLSX, EPUB, NOTEBOOK})
Method = Literal["recursive", "heading", "sentence", "tokens"]


class Chunk(NamedTuple):
    """A piece of a text: `text == whole[start:end]`.

    Attributes:
        start: offset of its first character.
        end: offset behind its last character.
        text: no white space at its ends.
        headings: titles of the headings that it stands below, the outermost first.
    """

    start: int
    end: int
    text: str
    headings: tuple[str, ...]


def markup_of(media_type: str) -> Markup:
    """Return the markup in which a parsed document of this type has its headings."""
    if media_type == RST:
        return "rst"
    return "markdown" if media_type in _WITH_HEADINGS else "none"


def chunk(
    text: str,
    method: Method = "heading",
    size: int = 1000,
    overlap: int = 0,
    markup: Markup = "markdown",
    separators: Sequence[str] = SEPARATORS,
) -> Iterator[Chunk]:
    """Yield the chunks of a text. Together they hold all of it but white space.

    Args:
        text: the text.
        method: `recursive` ends a chunk behind the coarsest separator that its window has. `heading` makes each section a chunk, with its
            subsections where they fit, and cuts those that do not fit. `sentence` ends chunks at the ends of paragraphs or sentences.
            `tokens` is that too, measured in tokens (see cuts.TOKEN). All choose their cuts by content, so that an edit changes the chunks
            around it and few more.
        size: the most characters of a chunk; for `tokens`, the most tokens.
        overlap: how much of the chunk before a chunk may repeat, in the same unit; less than half of `size`.
        markup: how the text marks its headings.
        separators: for `recursive`, the coarsest first.

    Raises:
        ValueError: for a size below 2, or an overlap that is not below half of it.
    """
    if size < 2 or not 0 <= overlap < size / 2:
        raise ValueError(f"overlap ({overlap}) must be below half of size ({size}), and size at least 2")
    headings = find_headings(text, markup)
    if method == "heading":
        return _Sections(text, size, overlap, headings).chunks(0, len(headings) + 1, 0)
    return _with_headings(text, _windows(text, method, size, overlap, separators), headings)


_WORDS = re.compile(r"\S")
_PROSE = by_content(PARAGRAPH, SENTENCE, LINE, SPACE)


def _windows(text: str, method: Method, size: int, overlap: int, separators: Sequence[str]) -> Iterator[Window]:
    if method == "tokens":
        return token_windows(text, size, overlap, _PROSE)
    if method == "sentence":
        return windows(text, 0, len(text), size, overlap, _PROSE, resume=SENTENCE)
    return windows(text, 0, len(text), size, overlap, behind(separators))


def _with_headings(text: str, found: Iterable[Window], headings: Sequence[Heading]) -> Iterator[Chunk]:
    starts = [h.start for h in headings]
    paths = [(), *heading_paths(headings)]
    for window in found:
        new = text[window.new : window.end]
        first = window.new + len(new) - len(new.lstrip())
        yield from _stripped(text, window.start, window.end, paths[bisect.bisect_right(starts, first)])


def _stripped(text: str, start: int, end: int, headings: tuple[str, ...]) -> Iterator[Chunk]:
    """Give the chunk of a window, or none where it is blank."""
    piece = text[start:end]
    inner = piece.strip()
    if inner:
        start += len(piece) - len(piece.lstrip())
        yield Chunk(start, start + len(inner), inner, headings)


class _Sections:
    """The sections of a text. The first, of level 0, is what stands above all headings."""

    def __init__(self, text: str, size: int, overlap: int, headings: Sequence[Heading]) -> None:
        self.text, self.size, self.overlap = text, size, overlap
        self.levels = [0, *(h.level for h in headings)]
        self.paths: list[tuple[str, ...]] = [(), *heading_paths(headings)]
        self.bounds = [0, *(h.start for h in headings), len(text)]
        self.bodies = [0, *(h.end for h in headings)]

    def chunks(self, first: int, last: int, start: int) -> Iterator[Chunk]:
        """Chunk a section with those below it.

        Args:
            first: the section.
            last: the one behind those below it.
            start: where its text starts: at its heading, or at that of the section above if nothing stands between them.
        """
        end = self.bounds[last]
        if first and self._fits(start, end):
            yield from _stripped(self.text, start, end, self.paths[first])
            return
        own = self.bounds[first + 1]
        if first + 1 < last and not _WORDS.search(self.text, self.bodies[first], own):
            own = start
        else:
            for window in windows(self.text, start, own, self.size, self.overlap, _PROSE, resume=SPACE):
                yield from _stripped(self.text, window.start, window.end, self.paths[first])
        child = first + 1
        while child < last:
            behind = next((k for k in range(child + 1, last) if self.levels[k] <= self.levels[child]), last)
            yield from self.chunks(child, behind, own)
            child, own = behind, self.bounds[behind]

    def _fits(self, start: int, end: int) -> bool:
        """Tell whether a part of the text fits into a chunk, without a copy of one that does not."""
        text = self.text
        while start < end and text[start].isspace():
            start += 1
        while start < end and text[end - 1].isspace():
            end -= 1
        return end - start <= self.size
