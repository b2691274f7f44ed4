"""What must not be passed on: e-mail addresses, phone numbers, card and bank numbers, keys and passwords, found in texts.

Every pattern starts at a border that it looks behind for, and repeats a bounded number of times: the search is linear in the
text, however hostile it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from mmetl.transforms.document.credentials import find_keys


class Span(NamedTuple):
    """A place in a text, in characters, and what stands there."""

    start: int
    end: int
    kind: str


Finder = Callable[[str], Iterable[tuple[int, int]]]

_EMAIL = re.compile(
    r"(?<![\w.%+'-])(?P<local>[\w%+-](?:[\w.%+'-]{0,62}[\w%+-])?)"
    r"(?:@|[ ]?[(\[](?:at|AT)[)\]][ ]?)"
    r"(?:\w(?:[\w-]{0,61}\w)?\.){1,8}(?P<top>[^\W\d_]{2,24})(?![\w@-])"
)
_NO_TOP_LEVEL = frozenset({"png", "jpg", "jpeg", "gif", "svg", "webp", "ico", "css", "js", "ts", "html", "htm"})
"""`icon@2x.png` is a picture for screens of a higher resolution."""
_REPOSITORY = frozenset({"git", "hg", "svn"})
"""Who is named in the address of a repository (`git@host:path`) is nobody."""

_USER = re.compile(r"://[^\s/]*\Z")
"""Before the user of `https://user@host/path`, who is no address either."""

_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?:[ ]?[A-Z0-9]{4}){2,7}(?:[ ]?[A-Z0-9]{1,3})?(?![A-Za-z0-9])")
_IBAN_LENGTHS = {
    country: length
    for length, countries in {
        15: "NO",
        16: "BE",
        18: "DK FI FO GL NL",
        19: "SI MK",
        20: "AT BA EE KZ LT LU XK",
        21: "CH HR LI LV",
        22: "BG BH CR DE GB GE IE ME RS VA",
        23: "AE GI IL IQ OM TL",
        24: "AD CZ ES MD PK RO SA SE SK TN VG",
        25: "LY PT ST",
        26: "IS TR",
        27: "FR GR IT MC MR SM",
        28: "AL AZ BY CY DO GT HU LB PL SV",
        29: "BR EG PS QA UA",
        30: "JO KW MU",
        31: "MT SC",
        32: "LC",
    }.items()
    for country in countries.split()
}

_CARD = re.compile(r"(?<![\w.,+-])[2-6]\d{3}(?:[ -]?\d){8,15}(?![\w-])(?!\.\d)")
_ISSUERS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})"  # Visa
    r"|(?:5[1-5]\d{2}|222[1-9]|22[3-9]\d|2[3-6]\d{2}|27[01]\d|2720)\d{12}"  # Mastercard
    r"|3[47]\d{13}"  # American Express
    r"|3(?:0[0-5]|[68]\d)\d{11}"  # Diners Club
    r"|(?:6011|64[4-9]\d|65\d{2}|35(?:2[89]|[3-8]\d)|62\d{2})\d{12,15}"  # Discover, JCB, UnionPay
    r"|(?:5018|5020|5038|5893|6304|6759|676[1-3])\d{8,15}"  # Maestro
)

_PHONE = re.compile(
    r"(?:(?<![\w+])(?=\+)|(?<![\w.,+=/#:-]))(?:"
    r"(?:\+|00(?=[1-9]))[1-9]\d{0,2}(?P<abroad>(?:[ ./-]{0,2}(?:\(\d{1,5}\)|\d)){6,14})"
    r"|\(0\d{1,5}\)(?:[ /-]?\d){4,9}"
    r"|0[1-9]\d{0,4}(?:[ ]?/[ ]?|[ -])\d(?:[ -]?\d){4,9}"
    r"|(?:1[ .-])?(?:\([2-9]\d{2}\)[ ]?|[2-9]\d{2}[.-])[2-9]\d{2}[ .-]\d{4}"
    r")(?![\w-])(?!\.\d)"
)
_CALLED = re.compile(
    r"\b(?:tel|telephone|telefon|phone|mobile|cell|fax|call|text|whatsapp|dial)\b(?:[ ]?(?:no|nr|number)\b)?[.:]{0,2}"
    r"[ ]{0,2}(?:me |us |at |on |:)?(?P<number>\(?\+?\d(?:[ ./()-]{0,2}\d){5,14})(?![\w-])(?!\.\d)",
    re.IGNORECASE,
)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}|\d{2}[.-]\d{2}[.-]\d{4}")


def luhn(digits: str) -> bool:
    """Tell whether the last digit is the check digit of the others, as in ISO/IEC 7812.

    >>> luhn("4111111111111111"), luhn("4111111111111112")
    (True, False)
    """
    doubled = (2 * int(d) for d in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(d - 9 if d > 9 else d for d in doubled)) % 10 == 0


def iban_length(found: str) -> int:
    """Return how many characters of what may be an IBAN are one; 0 if they are none (ISO 13616: modulo 97 is 1)."""
    length = _IBAN_LENGTHS.get(found[:2], 0)
    taken, signs = 0, 0
    while signs < length and taken < len(found):
        signs += found[taken] != " "
        taken += 1
    number = found[:taken].replace(" ", "")
    if not length or signs < length or (taken < len(found) and found[taken] != " "):
        return 0
    return taken if int("".join(str(int(c, 36)) for c in number[4:] + number[:4])) % 97 == 1 else 0


def find_emails(text: str) -> Iterator[tuple[int, int]]:
    """Yield the places of e-mail addresses, `name (at) host.org` among them."""
    if "@" not in text and "(at)" not in text.lower() and "[at]" not in text.lower():
        return
    for found in _EMAIL.finditer(text):
        user = found["local"].lower() in _REPOSITORY or _USER.search(text, max(0, found.start() - 256), found.start())
        if found["top"].lower() not in _NO_TOP_LEVEL and not user:
            yield found.span()


def find_ibans(text: str) -> Iterator[tuple[int, int]]:
    """Yield the places of IBANs whose check digits are right."""
    for found in _IBAN.finditer(text):
        if length := iban_length(found[0]):
            yield found.start(), found.start() + length


def find_cards(text: str) -> Iterator[tuple[int, int]]:
    """Yield the places of card numbers: an issuer's first digits and length, and a right check digit."""
    for found in _CARD.finditer(text):
        digits = found[0].replace(" ", "").replace("-", "")
        if _ISSUERS.fullmatch(digits) and luhn(digits):
            yield found.span()


def find_phones(text: str) -> Iterator[tuple[int, int]]:
    """Yield the places of phone numbers: international, in usual national forms, or behind a word such as `tel`."""
    for found in _PHONE.finditer(text):
        if not _DATE.match(found[0]):
            yield found.span()
    for found in _CALLED.finditer(text):
        if not _DATE.fullmatch(found["number"]):
            yield found.span("number")


FINDERS: dict[str, Finder] = {
    "key": find_keys,
    "iban": find_ibans,
    "card": find_cards,
    "email": find_emails,
    "phone": find_phones,
}
"""By kind. Where two kinds meet, the one that stands first here gives the name."""


def own_finder(pattern: str, flags: int = 0) -> Finder:
    """Return a finder of a regular expression; of its first group, where it has one."""
    compiled = re.compile(pattern, flags)
    group = 1 if compiled.groups else 0

    def find(text: str) -> Iterator[tuple[int, int]]:
        return (m.span(group) for m in compiled.finditer(text) if m.end(group) > m.start(group))

    return find


def find_spans(text: str, finders: Sequence[tuple[str, Finder]], allowed: Callable[[str], bool]) -> list[Span]:
    """Return what any of the finders found, in order; places that overlap are one, so that nothing of either is left.

    Args:
        text: to be looked through.
        finders: kind and finder; of places that overlap the kind that comes first here counts.
        allowed: tells whether a found text may stay.
    """
    found = [
        (start, end, rank)
        for rank, (_, find) in enumerate(finders)
        for start, end in find(text)
        if not allowed(text[start:end])
    ]
    joined: list[tuple[int, int, int]] = []
    for start, end, rank in sorted(found):
        if joined and start < joined[-1][1]:
            first, last, before = joined[-1]
            joined[-1] = (first, max(end, last), min(rank, before))
        else:
            joined.append((start, end, rank))
    return [Span(start, end, finders[rank][0]) for start, end, rank in joined]
