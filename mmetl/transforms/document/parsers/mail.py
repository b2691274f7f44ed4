"""E-mail: who, when, about what, and its text; one message, or a mailbox of them."""

from __future__ import annotations

import email
import email.policy
import itertools
import re
from email.message import EmailMessage

from mmetl.transforms.document.parsed import Parsed, Unreadable, join_pages
from mmetl.transforms.document.parsers.texts import decoded

_HEADERS = ("from", "to", "cc", "date", "message-id", "in-reply-to")
_WHO = ("from", "to", "cc", "date")
NO_SUBJECT = "(no subject)"
_SEPARATOR = re.compile(rb"(?:\A|\n\r?\n)(From \S+ [^\n]*\d\d:\d\d[^\n]*\n)")
_QUOTED = re.compile(rb"^>(>*From )", re.MULTILINE)


def parse_mail(data: bytes) -> Parsed:
    """Parse an e-mail: its subject as the heading, then its text, the plain one where there are two and it says something.

    Attachments are named only; a text between them, without a name, is part of what is said.
    """
    subject, text, metadata = _read(data)
    heading = f"# {subject}\n\n" if subject else ""
    return Parsed((heading + text).strip(), subject or None, None, metadata)


def parse_mailbox(data: bytes) -> Parsed:
    """Parse the messages of a mailbox, one below the other, each under its subject and with who wrote it, to whom and when.

    One that cannot be parsed is there as it stands in the file.

    Source: RFC 4155; a line that begins like a separator was quoted by its writer, as in the variant `mboxrd`.
    """
    starts = [found.start(1) for found in _SEPARATOR.finditer(data)]
    messages = [data[start:end] for start, end in itertools.pairwise([*starts, len(data)])]
    text, pages = join_pages([_section(message.partition(b"\n")[2]) for message in messages])
    return Parsed(text, metadata={"messages": str(len(messages))}, pages=pages)


def _section(message: bytes) -> str:
    data = _QUOTED.sub(rb"\1", message)
    try:
        subject, text, said = _read(data)
    except Unreadable:
        return decoded(data)[0].strip()
    names = [*_WHO, *(["attachments"] if "attachments" in said else [])]
    lines = "\n".join(f"{name.capitalize()}: {' '.join(said[name].split())}" for name in names if name in said)
    return "\n\n".join(filter(None, [f"# {subject or NO_SUBJECT}", lines, text]))


def _read(data: bytes) -> tuple[str, str, dict[str, str]]:
    """Return the subject, the text and what else is known of an e-mail. Raises Unreadable."""
    try:
        message = email.message_from_bytes(data, policy=email.policy.default)
        metadata = {name: str(message[name]).strip() for name in _HEADERS if message[name]}
        subject = " ".join(str(message["subject"] or "").split())
        bodies = [message.get_body(preferencelist=(kind,)) for kind in ("plain", "html")]
        said = [(_text(body), body) for body in bodies if isinstance(body, EmailMessage)]
        first, body = next((one for one in said if one[0]), ("", None))
        others = [part for part in _parts(message) if not any(inner is body for inner in part.walk())]
        more = [part for part in others if _is_said(part)]
        names = [part.get_filename() or part.get_content_type() for part in others if part not in more]
        text = "\n\n".join(filter(None, [first, *map(_text, more)]))
    except (ValueError, LookupError, AttributeError, TypeError, RecursionError) as error:
        raise Unreadable(f"the e-mail is damaged: {error}") from None
    if names:
        metadata["attachments"] = ", ".join(names)
    return subject, text, metadata


def _parts(message: EmailMessage) -> list[EmailMessage]:
    """Return the texts and attachments of a message."""
    mixed = message.get_content_type() == "multipart/mixed"
    return [p for p in (message.iter_parts() if mixed else message.iter_attachments()) if isinstance(p, EmailMessage)]


def _is_said(part: EmailMessage) -> bool:
    """Tell whether a part beside the first text is a text of its own: some programs put attachments between two."""
    return part.get_content_maintype() == "text" and not part.get_filename() and not part.is_attachment()


def _text(body: EmailMessage) -> str:
    payload = body.get_payload(decode=True)
    data = payload if isinstance(payload, bytes) else b""
    charset = body.get_content_charset() or "utf-8"
    try:
        text = data.decode(charset, "replace")
    except LookupError:
        text = data.decode("latin-1")
    if body.get_content_type() != "text/html":
        return text.replace("\r\n", "\n").strip()
    from mmetl.transforms.document.parsers.html import markdown_of

    return markdown_of(text).text
