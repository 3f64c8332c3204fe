"""Export distilled images as PNG files, and as one sheet with their labels in percent and their rates."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sldd.data.patches import CLASSES
from sldd.errors import InputError
from sldd.io.atomic_file import check_output, write_file
from sldd.package.format.header import printable
from sldd.package.format.package import Package

_SHOWN, _GAP, _LINES, _FONT = 160, 14, 2, 13
_MOST_ON_SHEET = 400
SHEET = "sheet.png"


def export(package: Package, folder: Path) -> list[Path]:
    """Write ``step-1-image-1.png`` ... at their own size, and ``sheet.png``; each image spans black to white.

    Raises:
        InputError: the folder cannot be written, or holds something else under one of the names.
    """
    if not folder.is_dir():
        try:
            folder.mkdir()
        except OSError as error:
            raise InputError(f"{folder}: cannot be made ({error.strerror})") from None
    places = [(step, image) for step in range(len(package.images)) for image in range(package.images.shape[1])]
    paths = [folder / f"step-{step + 1}-image-{image + 1}.png" for step, image in places] + [folder / SHEET]
    for path in paths:
        check_output(path)
    for path, place in zip(paths, places, strict=False):
        write_file(path, to_png(stretched(package, place)))
    write_file(paths[-1], to_png(sheet(package)))
    return paths


def stretched(package: Package, place: tuple[int, int]) -> Image.Image:
    """The image of a step: its lowest value black, its highest white; of one in colour in the radiographs' own values,
    where a colour is what it was."""
    image = package.images[place].numpy()
    if package.channels > 1:
        image = image * np.reshape(package.deviation, (-1, 1, 1)) + np.reshape(package.mean, (-1, 1, 1))
    low, high = float(image.min()), float(image.max())
    shown = np.rint(255 * (image - low) / (high - low)) if high > low else np.full(image.shape, 128.0)
    return Image.fromarray(shown.astype(np.uint8).transpose(1, 2, 0).squeeze())


def in_words(package: Package, label: np.ndarray) -> str:
    """A soft label: of patches ``in_percent``; of a film its three most likely findings, each by itself, or the
    three classes of the largest weights, in shares of what is positive."""
    if package.task == "patches":
        return in_percent(label)
    if package.exclusive:
        positive = np.clip(label.astype(np.float64), 0, None)
        label = positive / max(positive.sum(), np.finfo(np.float64).tiny)
    most = np.argsort(-label, kind="stable")[:3]
    return " ".join(f"{printable(package.classes[number])[:12]} {100 * label[number]:.0f}" for number in most) + " %"


def in_percent(label: np.ndarray) -> str:
    """A soft label as ``I 12.0 N 80.0 P 8.0 %``: its weights as shares, negative ones taken as zero."""
    positive = np.clip(label.astype(np.float64), 0, None)
    if positive.sum() == 0:
        return "no positive weight"
    parts = 100 * positive / positive.sum()
    mark = "*" if (label < 0).any() else ""
    return " ".join(f"{name} {part:.1f}" for name, part in zip(CLASSES, parts, strict=True)) + " %" + mark


def rates_of(package: Package, step: int) -> str:
    """The learned rates of a step, epoch by epoch; of rates a tensor, their mean."""
    rates = package.rates[:, step]
    means = rates.flatten(1).mean(1).tolist() if rates.ndim > 1 else rates.tolist()
    shown = ", ".join(f"{rate:.3g}" for rate in means[:3]) + (" ..." if len(means) > 3 else "")
    return f"{'mean rate' if rates.ndim > 1 else 'rate'} {shown}"


def sheet(package: Package) -> Image.Image:
    """All images on one picture, each over its label in percent and the rates of its step."""
    places = list(np.ndindex(*package.images.shape[:2]))[:_MOST_ON_SHEET]
    columns = min(package.images.shape[1], 6) if len(package.images) > 1 else min(len(places), 6)
    width, height = 190, _SHOWN + _LINES * (_FONT + 3) + _GAP
    rows = -(-len(places) // columns)
    size, colour = (columns * width + _GAP, rows * height + _GAP), package.channels > 1
    drawn = Image.new("RGB", size, "white") if colour else Image.new("L", size, 255)
    draw, font = ImageDraw.Draw(drawn), ImageFont.load_default(_FONT)
    for number, (step, image) in enumerate(places):
        left, top = _GAP + number % columns * width, _GAP + number // columns * height
        picture = stretched(package, (step, image))
        factor = max(1, _SHOWN // picture.width)
        side = picture.width * factor if picture.width <= _SHOWN else _SHOWN
        resample = Image.Resampling.NEAREST if picture.width <= _SHOWN else Image.Resampling.BOX
        drawn.paste(picture.resize((side, side), resample), (left, top))
        words = [in_words(package, package.labels[step, image].numpy()), f"step {step + 1}, {rates_of(package, step)}"]
        for line, text in enumerate(words):
            draw.text((left, top + _SHOWN + 2 + line * (_FONT + 3)), text, fill=0, font=font)
    return drawn


def to_png(picture: Image.Image) -> bytes:
    """The content of a PNG file."""
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return file.getvalue()
