"""Source of phantom patients (``sldd.sources.phantom_stomach`` draws them), for demos and tests.

python -m sldd.sources.phantom data/phantom --patients 60 --size 256
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray
from PIL import Image
from pydantic import TypeAdapter, ValidationError
from threadpoolctl import ThreadpoolController

from sldd.errors import InputError
from sldd.io.film import Film
from sldd.rng import stream
from sldd.sources.phantom_stomach import draw_stomach


@dataclass(frozen=True)
class PhantomSettings:
    """A cohort of phantom patients."""

    patients: Annotated[int, Ge(2)] = 60
    """How many; every other one is positive (gastritis)."""
    size: Annotated[int, Ge(64), Le(2048)] = 256
    """Side of the square radiograph, in pixels."""
    seed: Annotated[int, Ge(0)] = 0
    """Another seed, other patients."""
    difficulty: Annotated[float, Ge(0), Le(1)] = 0.5
    """How hard labels are to tell: 0, easy, as all phantoms were before there was a choice; 1, hardest. See
    ``sldd.sources.phantom_stomach``."""


def phantom_label(index: int) -> int:
    """0 negative, 1 positive."""
    return index % 2


def phantom_id(index: int) -> str:
    """The identifier that a phantom patient has in a manifest."""
    return f"PHANTOM-{index + 1:04d}"


def phantom_patient(settings: PhantomSettings, index: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The radiograph and the organ mask of one patient: a function of (seed, index, size, difficulty)."""
    random = stream(settings.seed, "phantom", index)
    with _libraries().limit(limits=1, user_api="blas"):  # of so small products, threads would wait for each other
        return draw_stomach(random, settings.size, phantom_label(index), settings.difficulty)


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()


class PhantomSource:
    """Phantom patients, drawn on demand."""

    classes: Sequence[str] = ()
    smallest_class = None

    def __init__(self, settings: PhantomSettings) -> None:
        self._settings = settings
        self.patient_ids = [phantom_id(index) for index in range(settings.patients)]
        self.films = [
            Film(index, phantom_label(index), None, f"phantom {index + 1}") for index in range(settings.patients)
        ]

    def fingerprint(self) -> str:
        """SHA-256 of the settings and of the first patient's pixels, which change when the drawing does."""
        pixels, mask = self.read(0)
        drawn = asdict(self._settings)
        if not self._settings.difficulty:  # as it was before there was a choice
            del drawn["difficulty"]
        digest = hashlib.sha256(json.dumps(drawn, sort_keys=True).encode())
        digest.update(pixels.tobytes())
        digest.update(mask.tobytes())
        return digest.hexdigest()

    def read(self, film: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Draw one patient."""
        return phantom_patient(self._settings, film)


def _write_cohort(settings: PhantomSettings, folder: Path) -> None:
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    with (folder / "manifest.csv").open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("patient_id", "image", "mask", "label"))
        for index in range(settings.patients):
            name, planes = f"{phantom_id(index)}.png", phantom_patient(settings, index)
            image, mask = f"images/{name}", f"masks/{name}"
            Image.fromarray(planes[0]).save(folder / image)
            Image.fromarray(planes[1].astype(np.uint8) * 255).save(folder / mask)
            rows.writerow((phantom_id(index), image, mask, phantom_label(index)))


def write_phantoms(settings: PhantomSettings, out: Path) -> None:
    """Write a cohort folder: images, masks and a manifest; all of it or nothing."""
    out = out.resolve()
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise InputError(f"{out} exists and is not an empty folder; name a new one or remove it first")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as staging:
            _write_cohort(settings, Path(staging) / out.name)
            (Path(staging) / out.name).replace(out)
    except OSError as error:
        raise InputError(f"cannot write {out}: {error.strerror or error}") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status: 0, or 2 for bad input."""
    defaults = PhantomSettings()
    parser = argparse.ArgumentParser(
        prog="python -m sldd.sources.phantom",
        description="Write phantom patients as a cohort folder: images/, masks/ and manifest.csv.",
        epilog="example: python -m sldd.sources.phantom data/phantom --patients 60 --size 256 --seed 0",
    )
    parser.add_argument("out", metavar="OUT", type=Path, help="a new or empty folder")
    for name, kind, text in (
        ("patients", int, "how many, every other one positive"),
        ("size", int, "side of a radiograph in pixels, 64 to 2048"),
        ("seed", int, "another seed, other patients"),
        ("difficulty", float, "how hard labels are to tell, 0 to 1"),
    ):
        parser.add_argument(f"--{name}", type=kind, default=getattr(defaults, name), help=f"{text} (%(default)s)")
    given = vars(parser.parse_args(arguments))
    out = given.pop("out")
    try:
        try:
            settings = TypeAdapter(PhantomSettings).validate_python(given)
        except ValidationError as error:
            first = error.errors()[0]
            raise InputError(f"--{first['loc'][0]} {first['input']}: {first['msg']}") from error
        write_phantoms(settings, out)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{settings.patients} phantom patients in {out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
