"""An OpenAI-compatible endpoint that makes vectors: asked in batches, not too often, and again when it is busy."""

from __future__ import annotations

import datetime as dt
import email.utils
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from email.message import Message
from http.client import HTTPException, HTTPMessage
from typing import IO, Any

from mmetl.contracts.items import TOKEN_BYTES, BusyError
from mmetl.errors import TaskError

BUSY = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
OF_THE_TEXT = frozenset({400, 413, 422})
"""What a service answers to a text that it does not take; and to a wrong model or param: see `Service._refuse`."""

LATER_S = 120.0  # a service that asks for more patience than that is taken as busy, and asked again after it
SAID = 500  # characters of what a service says that a message repeats
PROBE = "a"


class RefusedTextError(Exception):
    """The service takes other texts, and not this one."""


class Service:
    """An endpoint, `POST {base_url}/embeddings`.

    Args:
        base_url: such as `https://api.openai.com/v1`.
        model: its name.
        api_key: sent as a bearer token; empty: none.
        dimensions: asked for, where the model can.
        per_minute: requests at most; 0: no limit.
        timeout_s: how long it may say nothing.
        stopped: set when the run is interrupted.
        spent: is told after each answer how many tokens it took, by the service's own count where it gives one.

    Raises:
        TaskError: for a key that cannot be sent.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        api_key: str,
        dimensions: int | None,
        per_minute: int,
        timeout_s: float,
        stopped: threading.Event,
        spent: Callable[[int], None] = lambda _tokens: None,
    ) -> None:
        if not api_key.isascii() or not api_key.isprintable():
            # Told by the library that sends it, it would be told with the key.
            raise TaskError("`api_key` has characters that no key has", help="is there a line end behind it?")
        self._url = f"{base_url.rstrip('/')}/embeddings"
        self._body = {"model": model, "encoding_format": "float"} | ({"dimensions": dimensions} if dimensions else {})
        self._headers = {"Content-Type": "application/json"} | (
            {"Authorization": f"Bearer {api_key}"} if api_key else {}
        )
        self._timeout_s, self._stopped = timeout_s, stopped
        self._pause = 60.0 / per_minute if per_minute else 0.0
        self._next = 0.0
        self._lock = threading.Lock()
        self._answered = False
        self._open = urllib.request.build_opener(_NoRedirect).open
        self._spent = spent

    def __call__(self, texts: Sequence[str]) -> list[Any]:
        """Return what the service gives for each text: a list of numbers, or nothing of use.

        Raises:
            BusyError: where it may answer later.
            RefusedTextError: where it does not take one of the texts.
            TaskError: where it refuses all, or its answer is none.
        """
        answer = self._ask(texts)
        self._spent(_tokens(answer, texts))
        try:
            found = answer["data"]
            at = {int(d.get("index", n)): d["embedding"] for n, d in enumerate(found)}
            vectors = [at[n] for n in range(len(texts))]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            shown = json.dumps(answer)[:SAID]
            raise TaskError(
                f"{self._url} did not answer with {len(texts)} vectors, but with {shown}", help="see `base_url`"
            ) from error
        self._answered = True
        return vectors

    def _ask(self, texts: Sequence[str]) -> Any:
        """Return the service's answer, as JSON."""
        self._wait()
        body = json.dumps({**self._body, "input": list(texts)}).encode()
        request = urllib.request.Request(self._url, body, self._headers)  # noqa: S310  the author's own URL
        try:
            with self._open(request, timeout=self._timeout_s) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            with error:
                said = error.read(SAID).decode("utf-8", "replace").strip()
            told = f"HTTP {error.code}{f': {said}' if said else ''}"
            if error.code in BUSY:
                raise BusyError(told, self._later(error.headers)) from error
            raise self._refuse(error.code, told, texts) from error
        except (OSError, HTTPException) as error:  # URLError and TimeoutError are OSErrors
            raise BusyError(str(getattr(error, "reason", None) or error or type(error).__name__)) from error
        try:
            return json.loads(text)
        except ValueError as error:
            shown = text[:SAID].decode("utf-8", "replace")
            raise TaskError(f"{self._url} did not answer with JSON: {shown}", help="see `base_url`") from error

    def _refuse(self, code: int, told: str, texts: Sequence[str]) -> Exception:
        """Return what to raise for a refusal: is it the text, or would the service refuse any?"""
        every = TaskError(f"{self._url} refused: {told}", help="see `model`, `api_key` and `base_url`")
        if code not in OF_THE_TEXT:
            return every
        if not self._answered and list(texts) != [PROBE]:
            try:
                self([PROBE])
            except TaskError:
                return every
        return RefusedTextError(told) if self._answered else every

    def _wait(self) -> None:
        """Wait until the next request may be made."""
        with self._lock:
            now = time.monotonic()
            wait = self._next - now
            self._next = max(now, self._next) + self._pause
        if wait > 0 and self._stopped.wait(wait):
            raise TaskError("the run was interrupted")

    def _later(self, headers: Message) -> float:
        """Return for how many seconds the service wants to be left alone."""
        said = headers.get("Retry-After") or ""
        try:
            seconds = float(said) if said.replace(".", "", 1).isdigit() else _until(said)
        except (TypeError, ValueError):
            return 0.0
        return min(max(seconds, 0.0), LATER_S)


def _tokens(answer: Any, texts: Sequence[str]) -> int:
    """Return the tokens that a service says it took; where it says nothing, an estimate."""
    usage: Any = answer.get("usage") if isinstance(answer, dict) else None
    said = usage if isinstance(usage, dict) else {}
    for tokens in (said.get("total_tokens"), said.get("prompt_tokens")):
        if type(tokens) is int:
            return tokens
    return sum(-(-len(t.encode()) // TOKEN_BYTES) for t in texts)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follow no redirect: it would take the key to another host."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        """Say that there is nowhere to go: the redirect is then an error like any other."""


def _until(date: str) -> float:
    """Return the seconds until a date as HTTP writes it. Raises ValueError for other text."""
    then = email.utils.parsedate_to_datetime(date)
    return (then - dt.datetime.now(dt.UTC)).total_seconds()
