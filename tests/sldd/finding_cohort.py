"""A cohort of films with findings, made of noise in which each finding brightens a place of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sldd.data.cohort import Cohort
from sldd.rng import stream

CLASSES = ["Mass", "Edema", "Hernia"]


def finding_cohort(folder: Path, labels: list[list[float]], patients: list[int], side: int = 16) -> Cohort:
    """``labels`` (films, 3): 0, 1 or NaN."""
    pixels = stream(0, "films").integers(90, 110, (len(labels), side, side)).astype(np.uint8)
    for film, findings in zip(pixels, labels, strict=True):
        for number, finding in enumerate(findings):
            if finding == 1:
                film[4 * number : 4 * number + 4, 4:12] = 220
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pixels.bin").write_bytes(pixels.tobytes())
    counts = [film.astype(float) for film in pixels]
    return Cohort(
        folder=folder,
        fingerprint="noise",
        dtype="uint8",
        shapes=[[side, side]] * len(labels),
        film_patients=patients,
        has_mask=[False] * len(labels),
        labels=[0] * (max(patients) + 1),
        splits=[None] * (max(patients) + 1),
        sums=[float(film.sum()) for film in counts],
        square_sums=[float((film**2).sum()) for film in counts],
        classes=list(CLASSES),
        findings=[[None if value != value else value for value in row] for row in labels],
    )
