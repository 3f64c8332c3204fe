"""Real radiographs for tests, where they are there: ``$SLDD_DATA``, or ``../shared/data`` beside the project."""

from __future__ import annotations

import os
from pathlib import Path

DATA = Path(os.environ.get("SLDD_DATA", Path(__file__).parents[2] / "shared" / "data"))
