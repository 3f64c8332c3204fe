"""Where patients come from: one file a source. ``open_source`` picks by the settings."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from sldd.cohort import Film, Source, SplitSettings
from sldd.errors import InputError
from sldd.sources.folder import FolderSource
from sldd.sources.phantom import PhantomSettings, phantom_label, phantom_patient


@dataclass(frozen=True)
class DataSettings:
    """Which patients a study is about."""

    source: Literal["phantom", "folder"] = "phantom"
    root: str | None = None
    """Folder that holds ``manifest.csv``, for ``source: folder``."""
    phantom: PhantomSettings = field(default_factory=PhantomSettings)
    split: SplitSettings = field(default_factory=SplitSettings)
    cache: str | None = None
    """Folder for decoded radiographs, on a local disk of every node; the user's cache folder unless given."""


class PhantomSource:
    """Phantom patients, drawn on demand (``sldd.sources.phantom``)."""

    def __init__(self, settings: PhantomSettings) -> None:
        self._settings = settings
        self.patient_ids = [f"PHANTOM-{i:05d}" for i in range(settings.patients)]
        self.films = [Film(i, phantom_label(i), None, f"phantom {i}") for i in range(settings.patients)]

    def fingerprint(self) -> str:
        """SHA-256 of the settings and of the first patient's pixels, which change when the generator does."""
        pixels, mask = self.read(0)
        digest = hashlib.sha256(json.dumps(asdict(self._settings), sort_keys=True).encode())
        digest.update(pixels.tobytes())
        digest.update(mask.tobytes())
        return digest.hexdigest()

    def read(self, film: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw one patient."""
        return phantom_patient(self._settings, film)


def open_source(settings: DataSettings) -> Source:
    """The source that the settings name.

    Raises:
        InputError: ``data.root`` is missing or not a cohort folder.
    """
    if settings.source == "phantom":
        return PhantomSource(settings.phantom)
    if settings.root is None:
        raise InputError("data.root: not given; name the folder that holds manifest.csv (data.root=FOLDER)")
    return FolderSource(Path(settings.root).expanduser())
