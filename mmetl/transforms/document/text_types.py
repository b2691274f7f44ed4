"""Which kind of text a text is: by how it looks where that is certain, else by the name of its file."""

from __future__ import annotations

import os
import re

PLAIN = "text/plain"
HTML = "text/html"
MARKDOWN = "text/markdown"
RST = "text/x-rst"
MAIL = "message/rfc822"
MAILBOX = "application/mbox"
NOTEBOOK = "application/x-ipynb+json"

_EXTENSIONS: dict[str, str] = {
    ".md": MARKDOWN,
    ".markdown": MARKDOWN,
    ".mdx": MARKDOWN,
    ".rst": RST,
    ".rest": RST,
    ".csv": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".json": "application/json",
    ".jsonl": "application/x-ndjson",
    ".ndjson": "application/x-ndjson",
    ".ipynb": NOTEBOOK,
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".toml": "application/toml",
    ".xml": "application/xml",
    ".tex": "text/x-tex",
    ".css": "text/css",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".jsx": "text/javascript",
    ".ts": "text/x-typescript",
    ".tsx": "text/x-typescript",
    ".py": "text/x-python",
    ".pyi": "text/x-python",
    ".sh": "text/x-shellscript",
    ".bash": "text/x-shellscript",
    ".sql": "text/x-sql",
    ".c": "text/x-c",
    ".h": "text/x-c",
    ".cc": "text/x-c++",
    ".cpp": "text/x-c++",
    ".hpp": "text/x-c++",
    ".cs": "text/x-csharp",
    ".go": "text/x-go",
    ".java": "text/x-java",
    ".kt": "text/x-kotlin",
    ".lua": "text/x-lua",
    ".php": "text/x-php",
    ".pl": "text/x-perl",
    ".r": "text/x-r",
    ".rb": "text/x-ruby",
    ".rs": "text/x-rust",
    ".scala": "text/x-scala",
    ".swift": "text/x-swift",
}
_MAIL_EXTENSIONS = (".eml", ".mail", ".mht", ".mhtml")
_HTML_EXTENSIONS = (".html", ".htm", ".xhtml")
_PROLOGUE = re.compile(r"(?:\s|<!--.*?-->|<\?.*?\?>)*", re.DOTALL)
_HTML_START = re.compile(r"<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE)
_SVG_START = re.compile(r"(?:<!doctype\s+svg\b[^>]*>\s*)?<svg\b", re.IGNORECASE)
_TAG = re.compile(r"</?[a-zA-Z][\w-]*(?:\s[^<>]*)?/?>")
_SHEBANG = re.compile(r"#!\s*\S*/(?:env\s+(?:-S\s+)?)?([a-z]+)")
_INTERPRETERS = {
    "python": "text/x-python",
    "pypy": "text/x-python",
    "sh": "text/x-shellscript",
    "bash": "text/x-shellscript",
    "zsh": "text/x-shellscript",
    "node": "text/javascript",
    "perl": "text/x-perl",
    "ruby": "text/x-ruby",
}
_SEPARATOR = re.compile(r"From \S+ .*\d\d:\d\d.*\n")
"""The line before each message of a mailbox: who sent it, and when (RFC 4155)."""
_HEADER = re.compile(r"([!-9;-~]+):[ \t]?.*")
_ENVELOPE = frozenset({"from", "to", "cc", "subject", "date", "message-id"})
_TRANSPORT = frozenset({"message-id", "received", "return-path", "mime-version", "delivered-to", "dkim-signature"})


def text_type(text: str, name: str = "") -> str:
    """Return the media type of a text by its start and, between kinds of text that look alike, its file's name."""
    extension = os.path.splitext(name)[1].lower()
    known = _EXTENSIONS.get(extension)
    # A program or a page about HTML may start with it; in files of these kinds it is no evidence.
    marked = None if known and known != "application/xml" else _markup(text, extension)
    if marked:
        return marked
    if known:
        return known
    separator = _SEPARATOR.match(text)
    if separator and _is_mail(text[separator.end() :], sure=True):
        return MAILBOX
    if _is_mail(text, sure=extension in _MAIL_EXTENSIONS):
        return MAIL
    shebang = _SHEBANG.match(text)
    return _INTERPRETERS.get(shebang[1], PLAIN) if shebang else PLAIN


def _markup(text: str, extension: str) -> str | None:
    prologue = _PROLOGUE.match(text)
    start = prologue.end() if prologue else 0
    if _HTML_START.match(text, start):
        return HTML
    if _SVG_START.match(text, start):
        return "image/svg+xml"
    if extension in _HTML_EXTENSIONS and _TAG.search(text):
        return HTML
    return "application/xml" if text.lstrip().startswith("<?xml") else None


def _is_mail(text: str, *, sure: bool) -> bool:
    """Tell whether a text starts with the headers of an e-mail.

    Args:
        text: the start of the text.
        sure: whether its name says so; then two usual headers are enough, else there must be signs of a mail program.
    """
    names: set[str] = set()
    for line in text.split("\n"):
        header = _HEADER.fullmatch(line.rstrip("\r"))
        if header:
            names.add(header[1].lower())
        elif not names or line[:1] not in (" ", "\t"):
            if line.strip():
                return False
            break
    if sure:
        return len(names & (_ENVELOPE | _TRANSPORT)) >= 2
    return "from" in names and bool(names & _TRANSPORT) and len(names & _ENVELOPE) >= 2
