"""Data settings, and the source of patients that they name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Le

from sldd.data.split import SplitSettings
from sldd.errors import InputError
from sldd.io.film import CHANNELS, Colours, Source
from sldd.sources.chexpert import CheXpertSettings, read_chexpert
from sldd.sources.classes import ClassesSettings, lists_classes, read_classes
from sldd.sources.folder import MANIFEST, FolderSource
from sldd.sources.hospital import HospitalSettings, read_hospital
from sldd.sources.medmnist import MedMnistSettings, MedMnistSource
from sldd.sources.nih import NihSettings, read_nih
from sldd.sources.phantom import PhantomSettings, PhantomSource
from sldd.sources.subset import PartOfPatients

Kind = Literal["folder", "hospital", "nih", "chexpert", "medmnist", "classes"]

TOLD_WHOLE = ("nih", "chexpert", "hospital", "medmnist", "classes")
"""Sources of films with findings or a class, scaled to ``DataSettings.film_size``; the others have patches."""


@dataclass(frozen=True)
class DataSettings:
    """Which patients a study is about."""

    source: Literal["phantom", "folder", "nih", "chexpert", "hospital", "medmnist", "classes"] = "phantom"
    """The last five have films with findings, one value a class, instead of patients with a label and organ masks;
    films of ``classes`` have one of them each."""
    root: str | None = None
    """Folder that holds ``manifest.csv``, for ``source: folder``, or the source's label table; for ``medmnist`` a file
    or the folder that it is alone in; for ``classes`` a table's folder, or one with a folder for each class."""
    film_size: Annotated[int, Ge(16), Le(4096)] = 512
    """Longest side, in pixels, at which films with findings or a class are kept; smaller ones stay as they are."""
    channels: Colours = "gray"
    """``gray`` reads films in colour as their brightness; ``rgb`` reads red, green and blue of 8 bit, and no gray film.
    A file of ``medmnist`` has to be what this says."""
    slice: Annotated[float, Ge(0), Le(1)] | None = None
    """Of volumes (sets of MedMNIST in three dimensions, DICOM files of several frames, NIfTI, NumPy arrays; sources
    ``medmnist`` and ``classes``) the slice that is read: 0 the first, 0.5 the middle one, 1 the last. Along the first
    axis; of NIfTI axial slices from the lowest to the highest. Unless given, volumes are refused."""
    part: str | None = None
    """``1/3``: the first of three equal parts of the patients, who are drawn into them by chance."""
    phantom: PhantomSettings = field(default_factory=PhantomSettings)
    nih: NihSettings = field(default_factory=NihSettings)
    chexpert: CheXpertSettings = field(default_factory=CheXpertSettings)
    hospital: HospitalSettings = field(default_factory=HospitalSettings)
    medmnist: MedMnistSettings = field(default_factory=MedMnistSettings)
    classes: ClassesSettings = field(default_factory=ClassesSettings)
    split: SplitSettings = field(default_factory=SplitSettings)
    cache: str | None = None
    """Folder for decoded radiographs, on a local disk of every node; the user's cache folder unless given."""


def open_source(settings: DataSettings) -> Source:
    """The source that the settings name.

    Raises:
        InputError: ``data.root`` is missing or not what the source needs, or a row of its table cannot be used.
    """
    whole = _whole(settings)
    return whole if settings.part is None else PartOfPatients(whole, settings.part)


def find_source(folder: Path) -> Kind:
    """The kind of source in a folder, by its tables."""
    if (folder / MANIFEST).is_file():
        return "classes" if lists_classes(folder / MANIFEST) else "folder"
    if folder.is_file() or any(folder.glob("*.npz")):
        return "medmnist"
    if (folder / "labels.csv").is_file():
        return "hospital"
    if any((folder / name).is_file() for name in ("train.csv", "valid.csv")):
        return "chexpert"
    return "nih" if any(folder.glob("*.csv")) else "folder"


def notes_of(source: Source) -> Sequence[str]:
    """What is odd in a source's table and was read all the same, as lines for the user."""
    return getattr(source, "notes", ())


def _whole(settings: DataSettings) -> Source:
    channels = CHANNELS[settings.channels]
    if settings.slice is not None and settings.source not in ("medmnist", "classes"):
        raise InputError("data.slice: is for images of medmnist and classes; leave it out, or use another data.source")
    if settings.source == "phantom":
        if channels > 1:
            raise InputError("data.channels: phantoms are gray; leave it out, or use another data.source")
        return PhantomSource(settings.phantom)
    if settings.root is None:
        raise InputError(
            "data.root: not given; name the folder that holds the files and their table (data.root=FOLDER)"
        )
    root, size = Path(settings.root).expanduser(), settings.film_size
    if not root.exists():
        raise InputError(f"data.root: there is no {root}; name the folder that holds the files and their table")
    if settings.source == "folder":
        return FolderSource(root, channels)
    if settings.source == "nih":
        return read_nih(root, settings.nih, size, channels)
    if settings.source == "chexpert":
        return read_chexpert(root, settings.chexpert, size, channels)
    if settings.source == "hospital":
        return read_hospital(root, settings.hospital, size, channels)
    if settings.source == "classes":
        return read_classes(root, settings.classes, size, channels, settings.slice)
    return MedMnistSource(root, settings.medmnist, size, channels, settings.slice)
