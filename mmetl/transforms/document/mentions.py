"""Which of the mentions that were found count, and how they are called."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from mmetl.transforms.document.gazetteer import Mention
from mmetl.utils.hashing import xxh3_hex

Finder = Callable[[str], Iterable[Mention]]
NAME_DIGITS = 16


def find_mentions(
    text: str, finders: Sequence[Finder], *, longest: bool, more: Iterable[Mention] = ()
) -> list[Mention]:
    """Return the mentions in a text, in order.

    Args:
        text: to be looked through.
        finders: of mentions; where two are equally long at one place, the finder that comes first counts.
        longest: whether of mentions that overlap only the one that starts first counts, and of these the longest; else all.
        more: mentions that are known already, which count last.
    """
    ranked = [(rank, n, m) for rank, find in enumerate(finders) for n, m in enumerate(find(text))]
    ranked += [(len(finders), n, m) for n, m in enumerate(more)]
    ranked.sort(key=lambda found: (found[2].start, -found[2].end, found[0], found[1]))
    found: list[Mention] = list(dict.fromkeys(m for _, _, m in ranked))
    return list(_apart(found)) if longest else found


def _apart(mentions: Iterable[Mention]) -> Iterator[Mention]:
    end = 0
    for mention in mentions:
        if mention.start >= end:
            end = mention.end
            yield mention


def mention_names(text: str, mentions: Iterable[Mention]) -> list[str]:
    """Return a name for each mention that does not depend on where it stands: the hash of what it says, and which one it is."""
    seen: dict[str, int] = {}
    names = []
    for start, end, label, entity in mentions:
        name = xxh3_hex("\0".join((label, entity, text[start:end])).encode())[:NAME_DIGITS]
        seen[name] = seen.get(name, 0) + 1
        names.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return names
