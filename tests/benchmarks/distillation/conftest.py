"""What the tests of distillation share: digits by chance, as MNIST's files have them."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, random = tmp_path_factory.mktemp("mnist"), np.random.default_rng(0)
    pixels, classes = random.integers(256, size=(10_000, 28, 28), dtype="uint8"), np.arange(10_000, dtype="uint8") % 10
    for name, header, content in (("images-idx3", 16, pixels), ("labels-idx1", 8, classes)):
        with gzip.open(folder / f"t10k-{name}-ubyte.gz", "wb", compresslevel=0) as file:
            file.write(bytes(header) + content.tobytes())
    return folder
