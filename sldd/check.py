"""Check a cohort before a study: patients, radiographs, labels, gray values, oddities, and a contact sheet.

    python -m sldd.check FOLDER                          a manifest.csv, or a table of findings
    python -m sldd.check FOLDER --sheet sheet.png        and a picture of some radiographs with their masks
    python -m sldd.check FOLDER --source hospital        where the folder does not say which kind it is

They are decoded into the cache where a study finds them. Exit status: 0, also where something is odd; 2, where a study
could not read the cohort; 130, interrupted.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import get_args

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sldd.data.cohort import Cohort, default_cache, prepare
from sldd.data.settings import DataSettings, Kind, find_source, notes_of, open_source
from sldd.data.summary import summary
from sldd.errors import InputError
from sldd.io.atomic_file import check_output, write_file
from sldd.io.film import Colours
from sldd.package.apply.vote_picture import FAINT, INK, OUTLINE, PAPER, outline

_MOST, _COLUMNS = 12, 4
"""Films on the contact sheet, and films in a row."""
_SIDE, _GAP, _TYPE = 280, 14, 14
"""Longer side of a film, space between films, and size of the letters, in pixels."""
_LINE = round(1.4 * _TYPE)


def report(cohort: Cohort, notes: Sequence[str]) -> Iterator[str]:
    """The report on a cohort, line by line.

    Args:
        notes: of its table.
    """
    yield from summary(cohort)
    if not notes and not cohort.notes:
        yield "nothing odd"
    for note in (*notes, *cohort.notes):
        yield f"note: {note}"
    if cohort.changed:
        rules = ", ".join(f"{rule}: {films:,}" for rule, films in sorted(cohort.changed.items()))
        yield f"films that version 0.1 read otherwise (docs/reading.md): {rules}"


def sheet(cohort: Cohort) -> Image.Image:
    """Up to twelve films with the outlines of their masks: odd ones first, then some from the whole cohort.

    Films of 16 bit are shown on one scale, that of the middle film, so that one of fewer bits is as dark here as it is
    to a network.
    """
    films = chosen(cohort)
    rows = -(-len(films) // _COLUMNS)
    step = _SIDE + _GAP
    height = rows * (step + 2 * _LINE) + _GAP + 2 * _LINE
    picture = Image.new("RGB", (_COLUMNS * step + _GAP, height), PAPER)
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(_TYPE)
    low, high = np.median(np.array(cohort.ranges), axis=0) if cohort.depth == 16 else (0, 255)
    for place, film in enumerate(films):
        x, y = _GAP + place % _COLUMNS * step, _GAP + place // _COLUMNS * (step + 2 * _LINE)
        picture.paste(_tile(cohort, film, float(low), float(high)), (x, y))
        odd = " (odd)" if film in cohort.odd_films else ""
        pen.text((x, y + _SIDE + 2), f"{cohort.wheres[film]}{odd}", INK, font)
        pen.text((x, y + _SIDE + 2 + _LINE), _label(cohort, film), FAINT, font)
    words = "Patients' radiographs: not for sharing. Yellow: the organ mask."
    pen.text((_GAP, height - _LINE - _GAP // 2), words, FAINT, font)
    return picture


def chosen(cohort: Cohort) -> list[int]:
    """Films for the contact sheet: at most half odd ones, the others evenly from all others, half of each label."""
    odd = cohort.odd_films[: _MOST // 2]
    negative, positive = (
        [
            film
            for film, patient in enumerate(cohort.film_patients)
            if cohort.labels[patient] == label and film not in odd
        ]
        for label in (0, 1)
    )
    places = _MOST - len(odd)
    # Half of the places for each label; what one label cannot fill, the other takes.
    negatives = min(len(negative), max(places // 2, places - len(positive)))
    positives = min(len(positive), places - negatives)
    return odd + sorted(_evenly(negative, negatives) + _evenly(positive, positives))


def _evenly(films: Sequence[int], count: int) -> list[int]:
    """``count`` of the films, at even distances."""
    return [films[number * len(films) // count] for number in range(count)]


def _tile(cohort: Cohort, film: int, low: float, high: float) -> Image.Image:
    pixels = cohort.pixels(film)
    shown = np.rint(255 * ((pixels.astype(np.float32) - low) / max(high - low, 1.0)).clip(0, 1)).astype(np.uint8)
    height, width = pixels.shape[:2]
    scale = _SIDE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    picture = Image.fromarray(shown).resize(size, Image.Resampling.LANCZOS).convert("RGB")
    mask = cohort.mask(film)
    if mask is not None:
        picture.paste(OUTLINE, mask=outline(mask, size))
    return picture


def _label(cohort: Cohort, film: int) -> str:
    if not cohort.classes:
        return f"label {cohort.labels[cohort.film_patients[film]]}"
    names = [name for name, value in zip(cohort.classes, cohort.film_labels[film], strict=True) if value == 1]
    words = ", ".join(names) or "no finding"
    return words if len(words) <= _SIDE // 8 else f"{words[: _SIDE // 8 - 3]}..."


def main(arguments: Sequence[str] | None = None) -> int:
    """``python -m sldd.check``; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m sldd.check", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="of a cohort; a study's data.root")
    parser.add_argument(
        "--source", choices=get_args(Kind), help="as data.source; told by the folder's tables unless given"
    )
    parser.add_argument(
        "--channels", choices=get_args(Colours), default="gray", help="as data.channels; gray by default"
    )
    parser.add_argument("--slice", type=float, metavar="SHARE", help="as data.slice, of volumes: 0.5 is the middle one")
    parser.add_argument("--sheet", type=Path, metavar="FILE.png", help="also draw some radiographs with their masks")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="as data.cache, for decoded radiographs")
    options = parser.parse_args(arguments)
    if options.slice is not None and not 0 <= options.slice <= 1:
        parser.error(f"--slice {options.slice:g}: from 0 (the first) to 1 (the last)")
    try:
        _check(options)
    except InputError as error:
        print(f"sldd.check: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("sldd.check: interrupted; nothing was written", file=sys.stderr)
        return 130
    return 0


def _check(options: argparse.Namespace) -> None:
    if options.sheet is not None:
        _check_sheet(options.sheet)
    kind: Kind = options.source or find_source(options.folder)
    settings = DataSettings(source=kind, root=str(options.folder), channels=options.channels, slice=options.slice)
    source = open_source(settings)
    cohort = prepare(source, options.cache or default_cache())
    print(f"read as data.source={kind}")
    for line in report(cohort, notes_of(source)):
        print(line)
    if options.sheet is not None:
        content = io.BytesIO()
        sheet(cohort).save(content, "PNG")
        write_file(options.sheet, content.getvalue(), mode=0o600, option="--sheet")
        print(f"{options.sheet}: films of patients; keep it to yourself")


def _check_sheet(path: Path) -> None:
    if path.suffix.lower() != ".png":
        raise InputError(f"--sheet {path}: the sheet is a PNG; let its name end in .png")
    if any((folder / "study.yaml").exists() for folder in path.resolve().parents):
        raise InputError(f"--sheet {path}: lies in a study, which is shared; write patients' films elsewhere")
    check_output(path, "--sheet")


if __name__ == "__main__":
    sys.exit(main())
