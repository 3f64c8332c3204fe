"""Picture of one radiograph's votes: the film, the film with the votes over it, and the score.

Colours are Okabe and Ito's (2008), told apart with any kind of colour vision, and every vote has a sign besides, so
that a gray print still reads. Nothing on the picture names the patient.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sldd.data.patches import CLASSES, IRRELEVANT, NEGATIVE, POSITIVE
from sldd.package.apply.vote_map import FilmVotes

COLOURS = {NEGATIVE: (0, 114, 178), POSITIVE: (213, 94, 0)}
WORDS = ("irrelevant, does not vote", "negative", "positive")
INK, FAINT, PAPER, OUTLINE = "#1f2933", "#52606d", "white", (240, 228, 66)
MOST_OPAQUE = 0.5
"""Opacity where all windows over a place vote; less in proportion where some of them are irrelevant."""
SIDE, MARGIN, GAP = 720, 28, 20
TITLE, TEXT, SMALL = 26, 20, 15  # pixels of the type


def in_words(votes: FilmVotes) -> list[str]:
    """The call and its reason, the votes, and those inside the organ where there is a mask: a line each."""
    irrelevant, negative, positive = votes.counts
    delta = f"delta {votes.delta:.3f}"
    if votes.score is None:
        why = f"Undecided, counted as negative: no patch voted N or P ({delta})"
    else:
        side = "at or above" if votes.call == "positive" else "below"
        why = f"Called {votes.call}: score {votes.score:.3f} is {side} {delta}"
    lines = [
        why,
        f"Votes of {votes.votes.size:,} patches: {positive:,} P (positive), {negative:,} N (negative), "
        f"{irrelevant:,} I (irrelevant); score = P / (N + P)",
    ]
    if votes.organ_counts is not None:
        irrelevant, negative, positive = votes.organ_counts
        inside = irrelevant + negative + positive
        lines.append(f"Of the {inside:,} inside the organ: {positive:,} P, {negative:,} N, {irrelevant:,} I")
    return lines


def draw(votes: FilmVotes, pixels: np.ndarray, mask: np.ndarray | None) -> Image.Image:
    """The picture.

    Args:
        pixels: (height, width) or (height, width, 3), of the film.
        mask: (height, width) bool; outlined where given.
    """
    film, scale = _film(pixels)
    voted = film.copy()
    voted.paste(*_tint(votes, scale, film.size))
    for panel in (film, voted):
        if mask is not None:
            panel.paste(OUTLINE, mask=outline(mask, film.size))
    _signs(ImageDraw.Draw(voted), votes, scale)
    title, text, small = (ImageFont.load_default(size) for size in (TITLE, TEXT, SMALL))
    call, *counts = in_words(votes)
    notes = _notes(votes, mask is not None)
    width = 2 * film.width + GAP
    header = [(call, title, INK)] + [(line, text, INK) for words in counts for line in _wrapped(words, text, width)]
    footer = [line for note in notes for line in _wrapped(note, small, width)]
    legend = _legend(text)
    top = MARGIN + sum(_line(font) for _, font, _ in header) + 8
    bottom = top + film.height + 16
    height = bottom + legend.height + 10 + len(footer) * _line(small) + MARGIN
    inside = max(width, round(title.getlength(call)), legend.width)
    picture = Image.new("RGB", (inside + 2 * MARGIN, height), PAPER)
    pen, y = ImageDraw.Draw(picture), MARGIN
    for line, font, ink in header:
        pen.text((MARGIN, y), line, ink, font)
        y += _line(font)
    picture.paste(film, (MARGIN, top))
    picture.paste(voted, (MARGIN + film.width + GAP, top))
    picture.paste(legend, (MARGIN, bottom))
    for number, line in enumerate(footer):
        pen.text((MARGIN, bottom + legend.height + 10 + number * _line(small)), line, FAINT, small)
    return picture


def _film(pixels: np.ndarray) -> tuple[Image.Image, float]:
    """The film in 8 bit at the size it is shown, and picture pixels per pixel."""
    shown = pixels
    if pixels.dtype != np.uint8:  # its bits are more than the film's own range
        low, high = np.percentile(pixels, (0.5, 99.5))
        shown = np.rint(255 * np.clip((pixels - low) / max(high - low, 1), 0, 1)).astype(np.uint8)
    height, width = pixels.shape[:2]
    scale = SIDE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return Image.fromarray(shown).resize(size, Image.Resampling.LANCZOS).convert("RGB"), scale


def _tint(votes: FilmVotes, scale: float, size: tuple[int, int]) -> tuple[Image.Image, tuple[int, int], Image.Image]:
    """Colour, place and opacity of every cell: between N and P by their share, fainter by the share of I."""
    rows, columns, counts = votes.cells()
    voting = counts[NEGATIVE] + counts[POSITIVE]
    share = counts[POSITIVE] / np.maximum(voting, 1)
    low, high = (np.array(COLOURS[number], float) for number in (NEGATIVE, POSITIVE))
    colour = low + share[..., None] * (high - low)
    opacity = 255 * MOST_OPAQUE * voting / np.maximum(counts.sum(0), 1)
    down, across = (np.diff(np.rint(edges * scale).astype(int)) for edges in (rows, columns))

    def spread(values: np.ndarray) -> Image.Image:
        shown = np.rint(values).astype(np.uint8).repeat(down, axis=0).repeat(across, axis=1)
        return Image.fromarray(shown).resize(size, Image.Resampling.NEAREST)

    return spread(colour), (0, 0), spread(opacity)


def _signs(pen: ImageDraw.ImageDraw, votes: FilmVotes, scale: float) -> None:
    """A sign in the middle of every window, and the outline of the first one."""
    pen.rectangle((1, 1, votes.size * scale, votes.size * scale), None, "white", 1)
    radius = min(9.0, 0.28 * votes.stride * scale)
    for row, column in np.ndindex(votes.votes.shape):
        y, x = ((place * votes.stride + votes.size / 2) * scale for place in (row, column))
        _sign(pen, int(votes.votes[row, column]), x, y, radius)


def _sign(pen: ImageDraw.ImageDraw, vote: int, x: float, y: float, radius: float) -> None:
    """P a filled diamond, N a ring, I a dot."""
    line = 2 if radius > 4 else 1
    if vote == IRRELEVANT:
        dot = max(1.0, radius / 5)
        pen.ellipse((x - dot, y - dot, x + dot, y + dot), (200, 206, 213))
    elif vote == NEGATIVE:
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), None, "white", line + 2)
        inner = radius - 1
        pen.ellipse((x - inner, y - inner, x + inner, y + inner), None, COLOURS[vote], line)
    else:
        corners = [(x, y - radius), (x + radius, y), (x, y + radius), (x - radius, y)]
        pen.polygon(corners, COLOURS[vote], "white", 1)


def outline(mask: np.ndarray, size: tuple[int, int]) -> Image.Image:
    """The rim of the organ, two pixels wide, in a picture of ``size``, as a mask to paste through."""
    inside = np.asarray(Image.fromarray(mask.astype(np.uint8) * 255).resize(size, Image.Resampling.BILINEAR)) > 127
    rim = np.zeros_like(inside)
    for axis in (0, 1):
        edge = np.diff(inside, axis=axis)
        rim |= np.pad(edge, [(0, 1) if each == axis else (0, 0) for each in (0, 1)])
        rim |= np.pad(edge, [(1, 0) if each == axis else (0, 0) for each in (0, 1)])
    return Image.fromarray(rim.astype(np.uint8) * 255)


def _legend(font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> Image.Image:
    """Signs with their words, and the colours between N and P."""
    entries = [(number, f"{CLASSES[number]}: {WORDS[number]}") for number in (POSITIVE, NEGATIVE, IRRELEVANT)]
    bar, ends = 160, ("all N", "all P")
    lengths = [round(font.getlength(words)) + 62 for _, words in entries]
    length = sum(lengths) + bar + sum(round(font.getlength(end)) for end in ends) + 40
    legend = Image.new("RGB", (length, 34), PAPER)
    pen, x = ImageDraw.Draw(legend), 0
    for (number, words), taken in zip(entries, lengths, strict=True):
        pen.rectangle((x, 4, x + 26, 30), (70, 70, 70))
        _sign(pen, number, x + 13, 17, 8)
        pen.text((x + 34, 17), words, INK, font, anchor="lm")
        x += taken
    pen.text((x, 17), ends[0], INK, font, anchor="lm")
    x += round(font.getlength(ends[0])) + 10
    low, high = (np.array(COLOURS[number], float) for number in (NEGATIVE, POSITIVE))
    mixed = low + np.linspace(0, 1, bar)[:, None] * (high - low)
    over = np.rint(MOST_OPAQUE * mixed + (1 - MOST_OPAQUE) * 128).astype(np.uint8)
    legend.paste(Image.fromarray(np.repeat(over[None], 22, axis=0)), (x, 6))
    pen.text((x + bar + 10, 17), ends[1], INK, font, anchor="lm")
    return legend


def _notes(votes: FilmVotes, outlined: bool) -> list[str]:
    height, width = votes.shape
    organ = " Yellow: the organ mask, which changes no vote." if outlined else ""
    return [
        f"Left the radiograph ({width} x {height} pixels), right the votes: a sign in the middle of every patch; the "
        f"first patch is outlined, of {votes.size} x {votes.size} pixels, and one every {votes.stride}. Colour: "
        f"votes of all patches over a place, fainter where some of them are I.{organ}",
        "A patient's radiograph: not for sharing. Votes of a research network, not a diagnosis.",
    ]


def _line(font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> int:
    return round(1.45 * getattr(font, "size", TEXT))


def _wrapped(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
