"""Pictures of a study's distilled images with their soft labels, as Li et al. (2022) print them (Figures 4 to 6).

    python -m analysis.pictures results/demo                             a PNG a confirmed cell
    python -m analysis.pictures results/demo --cell resnet10t-m3-one_hot-as_is-sldd-near_linear-s1e1 --out figures

Every distilled image of a cell's first confirm trial with its soft label above, for a reader to judge whether anything
of a patient can be seen.
"""

from __future__ import annotations

import argparse
import difflib
import io
import sys
from collections.abc import Sequence

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from analysis.figures.parts.theme import FAINT, INK
from analysis.page.gallery import MOST_FINDINGS
from analysis.published import NAMES
from analysis.records.cell_means import confirm_rows
from analysis.records.packages import CLASSES, Distilled, likeliest, percents, read_distilled, shares, stretched
from analysis.records.records import NotAStudyError, Study, read_study
from ledger.storage import Folder, StorageError, make, open_folder, write_whole

SIDE = 224  # pixels an image is enlarged to at most: the papers' input size
MARGIN, GAP = 28, 24
MOST_COLUMNS = 6
HEADER, LABEL, SMALL = 19, 17, 13  # pixels of the type
STRETCHED = "Each image is stretched to its own darkest and brightest value."
CLIPPED = "* A weight was negative and is shown as zero; the shares are those of the rest."


class NoPictureError(ValueError):
    """There is nothing to draw; the message is one line for the user."""


def heading(study: Study, backbone: str, rates: np.ndarray) -> str:
    """The line over a picture: the study, the network, inner steps in all, and the learned rate.

    `rates` (E, S) or (E, S, T), as in a package.
    """
    known = NAMES.get(backbone.removeprefix("paper/")) if backbone.startswith("paper/") else None
    rate = float(rates.mean())
    spelled = f"{rate:.4f}" if rate >= 0.001 else f"{rate:.2g}"
    several = f" (mean of {rates.size:,})" if rates.size > 1 else ""
    steps = rates.shape[0] * rates.shape[1]
    return f"Dataset: {study.name}, Arch: {known or backbone}, Step: {steps}, LR: {spelled}{several}"


def caption(label: np.ndarray) -> list[str]:
    """The lines over an image with the label (3,): a class each with its percent, or the one class of a label that has
    no other, as one has that was never learned."""
    parts, _ = shares(label)
    if parts is None:
        return ["no positive", "weight"]
    if np.count_nonzero(label) == 1:
        return [CLASSES[int(parts.argmax())]]
    marks = [" *" if weight < 0 else "" for weight in label]
    return [f"{kind}: {share}%{mark}" for kind, share, mark in zip(CLASSES, percents(parts), marks, strict=True)]


def finding_caption(distilled: Distilled, label: np.ndarray) -> list[str]:
    """The lines over a film with the label (classes,): the findings that it has most of, each with its percent."""
    return [f"{finding}: {100 * share:.0f}%" for finding, share in likeliest(distilled, label, MOST_FINDINGS)]


def draw(title: str, distilled: Distilled) -> Image.Image:
    """The picture: `title`, then every image of `distilled` under its label, a row a distill step where that fits."""
    images, height, width = distilled.images.shape[1:4]
    # By a whole number and without smoothing: every pixel on the picture is one of the package.
    factor = max(1, SIDE // max(height, width))
    tile = (width * factor, height * factor)
    captions = _captions(distilled)
    all_lines = [line for lines in captions.values() for line in lines]
    header_font, label_font, small_font = (ImageFont.load_default(size) for size in (HEADER, LABEL, SMALL))
    # Sizes in pixels, from the parts to the whole.
    columns = images if 1 < images <= MOST_COLUMNS else min(len(captions), MOST_COLUMNS)
    column_width = max(tile[0], *(round(label_font.getlength(line)) for line in all_lines))
    inside = max(columns * (column_width + GAP) - GAP, round(header_font.getlength(title)))
    notes = [STRETCHED] + ([CLIPPED] if any(line.endswith("*") for line in all_lines) else [])
    footer = [line for note in notes for line in _wrapped(note, small_font, inside)]
    line_height, note_height = round(LABEL * 1.3), round(SMALL * 1.4)
    rows = -(-len(captions) // columns)
    row_height = max(map(len, captions.values())) * line_height + 8 + tile[1] + GAP
    top = MARGIN + round(HEADER * 1.3) + GAP
    bottom = top + rows * row_height
    size = (inside + 2 * MARGIN, bottom + len(footer) * note_height + MARGIN - 8)
    left = (size[0] - columns * (column_width + GAP) + GAP) // 2
    # Drawing.
    picture = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(picture)
    pen.text((size[0] // 2, MARGIN), title, INK, header_font, anchor="ma")
    for number, (place, lines) in enumerate(captions.items()):
        x = left + number % columns * (column_width + GAP)
        y = top + (number // columns + 1) * row_height - GAP - tile[1]
        indent = (column_width - max(round(label_font.getlength(line)) for line in lines)) // 2
        for up, line in enumerate(reversed(lines)):
            pen.text((x + indent, y - 8 - up * line_height), line, INK, label_font, anchor="ld")
        film = stretched(distilled.images[place]).resize(tile, Image.Resampling.NEAREST)
        picture.paste(film, (x + (column_width - tile[0]) // 2, y))
    for down, line in enumerate(footer):
        pen.text((MARGIN, bottom + down * note_height), line, FAINT, small_font, anchor="la")
    return picture


def _captions(distilled: Distilled) -> dict[tuple[int, ...], list[str]]:
    """The lines over each image, by its place (distill step, image)."""
    steps, images = distilled.images.shape[:2]
    captions: dict[tuple[int, ...], list[str]] = {}
    for place in np.ndindex(steps, images):
        label = distilled.labels[place]
        lines = finding_caption(distilled, label) if distilled.findings else caption(label)
        captions[place] = [f"Step {place[0] + 1}", *lines] if steps > 1 else lines
    return captions


def _wrapped(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def write_pictures(study: Study, out: Folder, cells: Sequence[str] | None = None) -> tuple[list[Folder], list[str]]:
    """Write the picture of every confirmed cell of `study`, or of those in `cells`, to `out`/<cell>.png.

    Returns the files and, for each cell that has none, a line that says why.

    Raises:
        NoPictureError: a name in `cells` is not a cell of the study, or none of the cells has anything to draw.
    """
    known = list(dict.fromkeys([str(cell["cell"]) for cell in study.cells] + study.records["cell"].dropna().tolist()))
    for name in cells or []:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.3)
            hint = f"; the nearest are {', '.join(near)}" if near else ""
            raise NoPictureError(f"{study.folder}: no cell {name}{hint}")
    trials = confirm_rows(study.records).drop_duplicates("cell").set_index("cell")
    written: list[Folder] = []
    without: list[str] = []
    for name in dict.fromkeys(cells or trials.index):
        distilled = read_distilled(study.trial_folder(trials["trial"][name])) if name in trials.index else None
        if distilled is None:
            without.append(f"{name}: {_why(study, trials, name)}")
            continue
        title = heading(study, str(trials["backbone"][name]), distilled.rates)
        picture = draw(title, distilled)
        make(out)
        written.append(out / f"{name}.png")
        write_whole(written[-1], _png(picture))
    if not written:
        raise NoPictureError(without[0] if len(without) == 1 else f"{study.folder}: no confirmed cell has a package")
    return written, without


def _why(study: Study, trials: pd.DataFrame, cell: str) -> str:
    known = next((each for each in study.cells if each["cell"] == cell), {})
    reason = study.method(str(known.get("method"))).get("no_package")
    if cell not in trials.index:
        return reason if reason and known.get("stage") else "no confirm trial is done"
    return reason or f"no package that can be read in {trials['trial'][cell]}"


def _png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return file.getvalue()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m analysis.pictures", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", metavar="STUDY", help="a study's folder or URL, with its study.yaml")
    parser.add_argument("--cell", nargs="+", metavar="CELL", help="only these cells (default: every confirmed one)")
    parser.add_argument("--out", metavar="DIR", help="a folder or URL (default: pictures in the STUDY's folder)")
    options = parser.parse_args(arguments)
    try:
        study = read_study(options.study)
        out = open_folder(options.out) if options.out else study.folder / "pictures"
        written, without = write_pictures(study, out, options.cell)
    except (NotAStudyError, NoPictureError, StorageError, OSError) as error:
        print(f"pictures: {error}", file=sys.stderr)
        return 2
    for path in written:
        print(path)
    for line in without:
        print(f"pictures: {line}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
