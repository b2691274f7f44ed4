"""Credentials in texts: tokens of services by their known forms, private keys, passwords in addresses and in settings."""

from __future__ import annotations

import re
from collections.abc import Iterator

_TOKENS = re.compile(
    r"(?<![A-Za-z0-9_])(?:"
    r"(?:AKIA|ASIA|AROA|AIDA)[A-Z2-7]{16}"  # Amazon: ids of access keys
    r"|gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255}"  # GitHub
    r"|glpat-[\w-]{20,64}"  # GitLab
    r"|xox[abeprs]-[A-Za-z0-9-]{10,255}"  # Slack
    r"|[rs]k_(?:live|test)_[A-Za-z0-9]{16,255}"  # Stripe
    r"|AIza[\w-]{35}|ya29\.[\w-]{20,512}"  # Google
    r"|sk-(?:[a-z0-9]{2,12}-){0,2}[A-Za-z0-9_-]{32,255}"  # services of language models
    r"|pypi-AgE[\w-]{32,512}|npm_[A-Za-z0-9]{36}|hf_[A-Za-z]{34}|dckr_pat_[\w-]{20,64}"  # registries
    r"|SG\.[\w-]{16,64}\.[\w-]{16,64}"  # SendGrid
    r"|eyJ[\w-]{8,4096}\.eyJ[\w-]{8,8192}\.[\w-]{8,2048}"  # JSON Web Tokens
    r")(?![A-Za-z0-9_])"
)
_PRIVATE_KEY = re.compile(
    r"-----BEGIN (?P<kind>(?:[A-Z0-9]{2,16} ){0,3}PRIVATE KEY(?: BLOCK)?)-----(?:"
    r"[^-]*(?:-(?!----)[^-]*)*-----END (?P=kind)-----"
    r"|(?:(?:\s|\\n)*(?:(?<=\n)|(?<=\\n))"
    r"(?:[A-Za-z0-9+/=]{16,128}|[A-Za-z0-9+/=]{1,128}(?=\s*\n|\\n|\Z)|[A-Z][A-Za-z-]{1,32}:[^\n]{0,256}))*)"
)
"""To its last line; one that is cut off, to where its lines no longer look like those of a key."""
_IN_ADDRESS = re.compile(r"(?<=://)[^\s/:@]{1,128}:(?P<password>[^\s/@]{1,256})(?=@)")
_IN_HEADER = re.compile(r"\b(?:Bearer|Basic|token)[ ]+(?P<value>[A-Za-z0-9+/_.~-]{20,4096}={0,2})(?![\w=])")
_NAMED = re.compile(
    r"(?:password|passwd|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key|auth[_-]?key|credential)s?"
    r"(?:_?id)?[\"']?[ \t]{0,4}(?::=|=>|[:=])[ \t]{0,4}"
    r"(?:\"(?P<double>[^\"\s]{6,512})\"|'(?P<single>[^'\s]{6,512})'|(?P<bare>[^\s\"'`,;()\[\]{}<>]{8,512}))",
    re.IGNORECASE,
)
_REFERENCE = re.compile(r"\$|\{\{|%\(|<|os\.|env\b|\*{3}|x{4}|\.{3}", re.IGNORECASE)
"""A value that names another, or that has been taken out already."""
_MIXED = re.compile(r"(?=.*\d)(?=.*[A-Za-z])[^.]*$|(?=.*[^\w.])(?=.*\d)")


def find_keys(text: str) -> Iterator[tuple[int, int]]:
    """Yield the places of credentials."""
    yield from (m.span() for m in _TOKENS.finditer(text))
    if "-----BEGIN" in text:
        yield from (m.span() for m in _PRIVATE_KEY.finditer(text))
    if "://" in text:
        yield from (m.span() for m in _IN_ADDRESS.finditer(text) if not _REFERENCE.search(m["password"]))
    yield from (m.span("value") for m in _IN_HEADER.finditer(text) if _looks_random(m["value"]))
    for found in _NAMED.finditer(text):
        group = found.lastgroup or "bare"
        value = found[group]
        if not _REFERENCE.search(value) and (group != "bare" or _looks_random(value)):
            yield found.span(group)


def _looks_random(value: str) -> bool:
    """Tell whether a text without quotes is a credential, not a word of prose or code: it mixes letters and digits."""
    return bool(_MIXED.match(value))
