"""Draw one radiograph's votes: its windows voted N and P, the score, and the call.

    python -m sldd.overlay package.safetensors RADIOGRAPH --out overlay.png
    python -m sldd.overlay package.safetensors RADIOGRAPH --mask MASK --out overlay.png      with the organ's outline
    python -m sldd.overlay package.safetensors RADIOGRAPH --start start.safetensors --out overlay.png

What it writes is a patient's radiograph: only its owner can read the file, nothing in it names the patient, and it is
never written into a study's folder, which is what people share.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from sldd.errors import InputError
from sldd.io.mask import read_mask
from sldd.ops.layout import to_channels_last
from sldd.package import Package
from sldd.package.apply.films import read_for
from sldd.package.apply.vote_map import FilmVotes, film_votes
from sldd.package.apply.vote_picture import draw, in_words
from sldd.package.rebuild.rebuild import rebuild

_OWNER_ONLY = 0o600
_STUDY = "study.yaml"


def overlay(
    package: Path, radiograph: Path, *, mask: Path | None = None, start: str | None = None
) -> tuple[FilmVotes, Image.Image]:
    """Votes of a package's network on a radiograph, and their picture.

    Args:
        start: the file of weights that the package starts from, where it was one.

    Raises:
        InputError: a file cannot be used. The radiograph and its mask are not named.
    """
    content = Package.load(package)
    pixels = _read("RADIOGRAPH", lambda path: read_for(path, content.channels).pixels, radiograph)
    organ = None if mask is None else _read("--mask", read_mask, mask)
    network = to_channels_last(rebuild(content, None if start is None else Path(start)))
    votes = film_votes(
        network,
        pixels,
        organ,
        content.patches,
        mean=content.mean,
        std=content.deviation,
        delta=content.threshold(),
    )
    return votes, draw(votes, pixels, organ)


def _read(what: str, read: Callable[[Path], np.ndarray], path: Path) -> np.ndarray:
    """The pixels of a file; files of patients are named after them, so a message says which argument it was."""
    if not path.is_file():
        raise InputError(f"{what}: there is no such file")
    try:
        return read(path)
    except InputError as error:
        raise InputError(f"{what}: {error}") from None


def check_place(out: Path, inputs: Sequence[Path], *, force: bool) -> None:
    """Raise an InputError where the picture may not be written."""
    if out.suffix.lower() != ".png":
        raise InputError("--out: the picture is a PNG; let its name end in .png")
    whole = out.resolve()
    for folder in whole.parents:
        if (folder / _STUDY).exists():
            raise InputError(f"--out: {folder} holds a study, which is shared; write a patient's picture elsewhere")
    if not whole.parent.is_dir():
        raise InputError("--out: there is no such folder; make it first")
    if whole.is_dir() or any(whole == path.resolve() for path in inputs):
        raise InputError("--out: names a folder or one of the files that are read; choose another name")
    if whole.exists() and not force:
        raise InputError("--out: the file exists; choose another name, or add --force to replace it")


def write_picture(picture: Image.Image, out: Path, *, force: bool) -> None:
    """Write a PNG that only its owner may read, whole or not at all.

    Raises:
        InputError: the folder cannot be written, or, without ``force``, the file exists by now.
    """
    content = io.BytesIO()
    picture.save(content, "PNG", optimize=True)
    draft = out.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        try:
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY), "wb") as file:
                file.write(content.getvalue())
                file.flush()
                os.fsync(file.fileno())
            if force:
                draft.replace(out)
            else:
                out.hardlink_to(draft)
        finally:
            draft.unlink(missing_ok=True)
    except FileExistsError:
        raise InputError("--out: the file exists; choose another name, or add --force to replace it") from None
    except OSError as error:
        raise InputError(f"--out: cannot be written ({error.strerror})") from None


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status: 0, or 2 for bad input."""
    parser = argparse.ArgumentParser(
        prog="python -m sldd.overlay", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("package", metavar="PACKAGE", type=Path, help="a trial's package.safetensors")
    formats = "PNG, JPEG, TIFF, DICOM, NIfTI or NumPy (docs/reading.md)"
    parser.add_argument("radiograph", metavar="RADIOGRAPH", type=Path, help=formats)
    parser.add_argument("--mask", type=Path, metavar="FILE", help="the organ, to outline it; it changes no vote")
    parser.add_argument("--start", metavar="FILE", help="the weights that the package starts from, if it was a file")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.png", help="where to; never a study's folder")
    parser.add_argument("--force", action="store_true", help="replace the file where it exists")
    options = parser.parse_args(arguments)
    inputs = [path for path in (options.package, options.radiograph, options.mask) if path is not None]
    try:
        check_place(options.out, inputs, force=options.force)
        votes, picture = overlay(options.package, options.radiograph, mask=options.mask, start=options.start)
        write_picture(picture, options.out, force=options.force)
    except InputError as error:
        print(f"overlay: {error}", file=sys.stderr)
        return 2
    for line in in_words(votes):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
