"""A seeded order that depends on nothing but what is ordered."""

from __future__ import annotations

import hashlib


def rank(seed: int, key: str) -> bytes:
    """Where `key` stands in the order of `seed`."""
    return hashlib.sha256(f"{seed}\n{key}".encode("utf-8", "surrogatepass")).digest()
