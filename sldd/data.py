"""Which patients a study is about: the settings, and the source that they name."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from sldd.cohort import Source
from sldd.errors import InputError
from sldd.sources.folder import FolderSource
from sldd.sources.phantom import PhantomSettings, PhantomSource
from sldd.split import SplitSettings


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
