"""E-mail: who, when, about what, and its text."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage

from mmetl.transforms.document.parsed import Parsed, Unreadable

_HEADERS = ("from", "to", "cc", "date", "message-id", "in-reply-to")


def parse_mail(data: bytes) -> Parsed:
    """Parse an e-mail: its subject as the heading, then its text, the plain one where there are two. Attachments are named only."""
    try:
        message = email.message_from_bytes(data, policy=email.policy.default)
        body = message.get_body(preferencelist=("plain", "html"))
        metadata = {name: str(message[name]).strip() for name in _HEADERS if message[name]}
        subject = " ".join(str(message["subject"] or "").split())
        names = [part.get_filename() or part.get_content_type() for part in message.iter_attachments()]
        text = _text(body) if isinstance(body, EmailMessage) else ""
    except (ValueError, LookupError, AttributeError, TypeError, RecursionError) as error:
        raise Unreadable(f"the e-mail is damaged: {error}") from None
    if names:
        metadata["attachments"] = ", ".join(names)
    heading = f"# {subject}\n\n" if subject else ""
    return Parsed((heading + text).strip(), subject or None, None, metadata)


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
