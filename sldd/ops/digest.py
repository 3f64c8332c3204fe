"""Digest of whatever decides a result, by which results are found again."""

from __future__ import annotations

import hashlib
import json


def digest(*parts: object) -> str:
    """SHA-256, in hexadecimal digits, over parts that JSON knows: the same in every process."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
