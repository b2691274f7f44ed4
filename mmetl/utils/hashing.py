"""Hashes of bytes and texts. XXH3 resists accidents, not attackers; SHA-256 is for what others may write to."""

from __future__ import annotations

import json
from typing import Any

import xxhash


def sha256_hex(data: bytes) -> str:
    """Return the SHA-256 of `data` as 64 hexadecimal digits."""
    import hashlib  # loads OpenSSL, 10 ms; a no-op has no need of it

    return hashlib.sha256(data).hexdigest()


def xxh3_hex(data: bytes) -> str:
    """Return the XXH3-128 of `data` as 32 hexadecimal digits."""
    return xxhash.xxh3_128_hexdigest(data)


def canonical_json(value: Any) -> str:
    """Return JSON text that does not depend on the order in which keys were written."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def fingerprint_json(domain: str, value: Any) -> str:
    """Return the XXH3-128 of a JSON value; `domain` keeps equal values of different meaning apart."""
    return xxhash.xxh3_128_hexdigest(f"{domain}\0{canonical_json(value)}".encode())
