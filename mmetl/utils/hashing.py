"""Hashes of bytes and texts. XXH3 resists accidents, not attackers; SHA-256 is for what somebody might want to forge, or to turn back."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import xxhash

_PLAIN = json.JSONEncoder(default=dict)


def canonical_encoder(default: Callable[[Any], Any] | None = None) -> json.JSONEncoder:
    """Return what makes JSON text that does not depend on the order of keys. `default` says what stands for other values."""
    return json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=default)


_CANONICAL = canonical_encoder()


def sha256_hex(data: bytes) -> str:
    """Return the SHA-256 of `data` as 64 hexadecimal digits."""
    import hashlib  # loads OpenSSL, 4 ms; few no-ops have need of it

    return hashlib.sha256(data).hexdigest()


def xxh3_hex(data: bytes) -> str:
    """Return the XXH3-128 of `data` as 32 hexadecimal digits."""
    return xxhash.xxh3_128_hexdigest(data)


def to_json(value: Any) -> str:
    """Return JSON text, with mappings of any kind as objects. `json.dumps` makes an encoder for each call with options."""
    return _PLAIN.encode(value)


def canonical_json(value: Any) -> str:
    """Return JSON text that does not depend on the order in which keys were written."""
    return _CANONICAL.encode(value)


def fingerprint_json(domain: str, value: Any) -> str:
    """Return the XXH3-128 of a JSON value; `domain` keeps equal values of different meaning apart."""
    return fingerprint_text(domain, canonical_json(value))


def fingerprint_text(domain: str, text: str) -> str:
    """Return the same of a JSON value that is a canonical text already."""
    return xxhash.xxh3_128_hexdigest(f"{domain}\0{text}".encode())
