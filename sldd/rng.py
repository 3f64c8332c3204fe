"""Named, seeded streams of random numbers.

Every random choice has a name ("start", "noise", "batch" ...) and a seed, and is drawn from a counter-based
generator that is made anew for it. Nothing keeps a random state, so nothing has to be saved to resume: batch 417
is batch 417 whether or not the run was cut at 416.
"""

from __future__ import annotations

import hashlib

import numpy as np


def bits(seed: int, *name: str | int) -> np.random.Philox:
    """The raw bit generator of a stream: the same bits under every NumPy version, device and thread count."""
    text = "/".join(str(part) for part in (seed, *name))
    key = hashlib.blake2b(text.encode(), digest_size=16).digest()
    return np.random.Philox(key=int.from_bytes(key, "little"))


def stream(seed: int, *name: str | int) -> np.random.Generator:
    """A generator for the stream ``name`` of ``seed``."""
    return np.random.Generator(bits(seed, *name))
