"""What turns texts into vectors: a model in a wheel, a folder with a model, a service, or a function of the project."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from mmetl.contracts.items import BusyError
from mmetl.errors import MissingError, TaskError

Vectors = np.ndarray[Any, np.dtype[np.float32]]
Embedder = Callable[[Sequence[str]], Vectors]
"""Texts to vectors of shape (texts, dimensions), in the same order."""

ANSWER_S = 60.0
BUSY = frozenset({408, 409, 425, 429, 500, 502, 503, 504})


@cache
def offline(dimensions: int) -> Embedder:
    """Return the model that ships in the package `wordllama`: static token embeddings, no network."""
    try:
        import wordllama
    except ModuleNotFoundError as error:
        raise MissingError("'wordllama' is not installed", help="pip install 'mmetl[vectors]'") from error
    # Left to itself it looks in a folder that the wheel does not have, and then asks the network.
    folder = Path(wordllama.__file__).parent
    model: Any = wordllama.WordLlama.load(cache_dir=folder, disable_download=True, trunc_dim=dimensions)
    # The batch is padded to its longest text: small ones waste little, and a text's vector is the same in any.
    return lambda texts: np.asarray(model.embed(list(texts), norm=False, batch_size=32), np.float32)


@cache
def local(folder: str) -> Embedder:
    """Return a sentence-transformers model of a folder."""
    try:
        from sentence_transformers import SentenceTransformer
    except ModuleNotFoundError as error:
        raise MissingError(
            "'sentence-transformers' is not installed", help="pip install sentence-transformers"
        ) from error
    model = SentenceTransformer(folder, local_files_only=True)
    return lambda texts: np.asarray(model.encode(list(texts), show_progress_bar=False), np.float32)


class Service:
    """An OpenAI-compatible endpoint, `POST {base_url}/embeddings`.

    Args:
        base_url: such as `https://api.openai.com/v1`.
        model: its name.
        api_key: sent as a bearer token; empty: none.
        dimensions: asked for, where the model can.
        per_minute: requests at most; 0: no limit.
    """

    def __init__(self, base_url: str, model: str, api_key: str, dimensions: int | None, per_minute: int) -> None:
        self._url = f"{base_url.rstrip('/')}/embeddings"
        self._model, self._key, self._dimensions = model, api_key, dimensions
        self._pause = 60.0 / per_minute if per_minute else 0.0
        self._next = 0.0
        self._lock = threading.Lock()

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors of the texts.

        Raises:
            BusyError: where it may answer later.
            TaskError: where it refuses, or its answer is none.
        """
        self._wait()
        body: dict[str, Any] = {"model": self._model, "input": list(texts), "encoding_format": "float"}
        if self._dimensions:
            body["dimensions"] = self._dimensions
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self._key}"} if self._key else {})
        request = urllib.request.Request(self._url, json.dumps(body).encode(), headers)  # noqa: S310  the author's own URL
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:  # noqa: S310
                found = json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            said = error.read(500).decode("utf-8", "replace")
            if error.code in BUSY:
                self._later(error.headers.get("Retry-After"))
                raise BusyError(f"HTTP {error.code}") from error
            raise TaskError(
                f"{self._url} refused: HTTP {error.code}: {said}", help="see `model`, `api_key` and `base_url`"
            ) from error
        except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
            raise BusyError(str(getattr(error, "reason", error))) from error
        except (ValueError, KeyError) as error:
            raise TaskError(f"{self._url} did not answer with embeddings: {error}", help="see `base_url`") from error
        in_order = sorted(found, key=lambda d: d["index"])
        if len(in_order) != len(texts):
            raise TaskError(f"{self._url} returned {len(in_order)} vectors for {len(texts)} texts")
        return np.array([d["embedding"] for d in in_order], np.float32)

    def _wait(self) -> None:
        with self._lock:
            now = time.monotonic()
            wait = self._next - now
            self._next = max(now, self._next) + self._pause
        if wait > 0:
            time.sleep(wait)

    def _later(self, retry_after: str | None) -> None:
        if retry_after and retry_after.isdigit():
            with self._lock:
                self._next = max(self._next, time.monotonic() + min(int(retry_after), ANSWER_S))
