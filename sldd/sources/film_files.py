"""Find the films of a folder that no table lists, by content, and count its other files.

Archives export DICOM files without an ending, systems leave hidden files beside each (``._IM1.png``), and hospitals
keep masks in a folder below the films. A name alone says too little, and what is passed over is missed later.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sldd.errors import InputError
from sldd.io.radiograph import exists, is_film
from sldd.io.safe_path import linked_outside

ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm", ".dicom", ".nii", ".nii.gz", ".npy")
"""Of files that are films by their name. An .npz archive may be anything, and is a film only where a table names it."""

_SYSTEM = {"__MACOSX", "@eaDir", "$RECYCLE.BIN", "lost+found"}
"""Folders of systems; that of Synology's servers has a small JPEG of every film."""
_KINDS = r"masks?|seg|segs|segmentations?|annotations?|rois?|contours?|ground[-_ ]?truth"
_MASKS = re.compile(rf"(^|.*[-_ ])({_KINDS})", re.IGNORECASE)
"""A folder's name: ``masks``, ``lung_masks``."""
_MASK_OF = re.compile(rf".*[-_ .]({_KINDS})|({_KINDS})[-_ .].*", re.IGNORECASE)
"""A file's name without its ending: ``1_mask``, ``mask_1``."""
_LINKS = "folders that are links, with all that is in them"
_ORDER = (
    "hidden files", "files in folders of masks", "masks by their names", "directories of discs", _LINKS, "other files",
)  # fmt: skip


@dataclass(frozen=True)
class FilmFiles:
    """The films of a folder in the order of their names, and how many files of which kind are none."""

    paths: list[Path]
    left_out: dict[str, int]

    def in_words(self) -> str:
        """``2 hidden files, 6 files in folders of masks``; empty where nothing was left out."""
        return left_out_words(self.left_out)


def left_out_words(left_out: dict[str, int]) -> str:
    """Words for the files left out, as of ``FilmFiles.in_words``."""
    return ", ".join(f"{count:,} {kind if count > 1 else _one(kind)}" for kind, count in left_out.items() if count)


def find_films(
    folder: Path, *, received: bool = False, named: Callable[[Sequence[str]], int] = lambda _: 0
) -> FilmFiles:
    """Look through a folder and those below.

    Args:
        named: how many of a file's folders, from the top, are called after a class. Such a folder holds films even if
            it is called as masks are (``seg``: segmented cells), and so do its files whose names say mask.
        received: whether the folder is a stranger's: a film that is a link out of it is refused then, unopened.

    Raises:
        InputError: there is no film, or a link as above.
    """
    found: list[Path] = []
    left_out: Counter[str] = Counter(dict.fromkeys(_ORDER, 0))
    first_linked: int | None = None
    for path in sorted(folder.rglob("*")):
        kind = _kind(path.relative_to(folder), named)
        if not exists(path):
            if kind is None and path.is_symlink() and path.is_dir():  # nothing looks into it
                left_out[_LINKS] += 1
            continue
        outside = received and linked_outside(folder, path)  # which is not opened, so its name alone says film
        if kind is None and not path.name.lower().endswith(ENDINGS) and (outside or not is_film(path)):
            kind = "other files"
        if kind is not None:
            left_out[kind] += 1
            continue
        found.append(path)
        if outside and first_linked is None:
            first_linked = len(found)
    if first_linked is not None:
        raise InputError(
            f"{folder}: file {first_linked} of {len(found)} by name is a link that leads out of the folder"
        )
    films = FilmFiles(found, dict(left_out))
    if not found:
        rest = films.in_words()
        raise InputError(
            f"{folder}: no PNG, JPEG, TIFF, DICOM, NIfTI or .npy file in it" + (f", only {rest}" if rest else "")
        )
    return films


def _kind(path: Path, named: Callable[[Sequence[str]], int]) -> str | None:
    """What a file is that is no film, by its name and those of its folders; None where it may be one."""
    if any(part.startswith(".") or part in _SYSTEM for part in path.parts):
        return "hidden files"
    folders = path.parts[:-1]
    like_masks = [_MASKS.fullmatch(part) is not None for part in folders]
    of_class = named(folders)
    if any(like_masks[of_class:]):
        return "files in folders of masks"
    like_mask = _MASK_OF.fullmatch(path.stem.removesuffix(".nii")) and path.name.lower().endswith(ENDINGS)
    if like_mask and not any(like_masks):
        return "masks by their names"
    return "directories of discs" if path.name.upper() == "DICOMDIR" else None


def _one(kind: str) -> str:
    singular = {
        "masks by their names": "mask by its name",
        "directories of discs": "directory of a disc",
        _LINKS: "folder that is a link, with all that is in it",
        "DICOM files without an image": "DICOM file without an image",
    }
    return singular.get(kind, kind.replace("files", "file", 1))
