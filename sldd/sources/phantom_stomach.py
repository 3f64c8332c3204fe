"""Draw a synthetic double-contrast radiograph of a stomach.

A patient is drawn in coordinates of [0, 1] and sampled at the size asked for, so a radiograph of 64 pixels and one of
2048 show the same stomach. The label enters in one place, the severity, a smooth map over the film: where it is low,
folds run straight and side by side on a fine mucosa; where it is high, they wind, thicken and fork on a coarse one.
Pose, exposure, contrast, blur, noise, and the spacing and direction of folds are drawn without looking at the label.

``difficulty`` d, 0 .. 1, makes the labels harder to tell, in five ways at once: a patient's severity strays from that
of the label by a normal deviate of 0.68 d; films deviate from their patient by 72 d % more; relief loses up to 50 d %
of its contrast; grain grows to as much as 1 + 1.1 d times its most; and exposure varies more. At 0 nothing of that is
drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, cos, pi, sin

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Plane = NDArray[np.float64]  # float64 throughout: a gray level must not depend on the machine's last bit

DETAIL = 256  # pixels a side that show everything drawn here; smaller radiographs are averaged down from it


def draw_stomach(
    random: np.random.Generator, size: int, label: int, difficulty: float = 0.0
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """One patient.

    Args:
        random: the patient's own stream.
        size: side in pixels.
        label: 0 negative, 1 positive (gastritis).
        difficulty: 0 .. 1.

    Returns:
        The radiograph and the organ mask, both (size, size).
    """
    oversample = ceil(DETAIL / size)
    canvas = _Canvas(random, size * oversample, difficulty)
    organ = _stomach(canvas)
    density = _body(canvas) + _barium(canvas, organ, _severity(canvas, label))
    gray = _expose(canvas, density)

    def shrink(plane: Plane) -> Plane:
        return plane.reshape(size, oversample, size, oversample).mean(axis=(1, 3))

    mask = shrink((organ.depth > 0).astype(np.float64)) >= 0.5
    return np.rint(shrink(gray) * 255).astype(np.uint8), mask


class _Canvas:
    """Canvas of one patient: random numbers and pixel coordinates, x to the right, y down."""

    def __init__(self, random: np.random.Generator, size: int, difficulty: float) -> None:
        self.random, self.size, self.difficulty = random, size, difficulty
        centres = (np.arange(size) + 0.5) / size
        self.x, self.y = centres[None, :], centres[:, None]

    def between(self, low: float, high: float) -> float:
        return float(self.random.uniform(low, high))

    def noise(self, cells: float) -> Plane:
        """Smooth noise of about unit variance, ``cells`` cells a side: a cubic B-spline over a random lattice."""
        where, t = np.divmod(self.x[0] * cells, 1)
        rows, first, knots = np.arange(self.size), where.astype(int), ceil(cells) + 3
        basis = np.zeros((self.size, knots))
        weights = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
        for k, weight in enumerate(weights):
            basis[rows, first + k] = weight / 6
        return basis @ self.random.standard_normal((knots, knots)) @ basis.T / 0.48


@dataclass(frozen=True)
class _Organ:
    """A stomach as coordinates: along it, across it (-1 .. 1 between the two curvatures), and depth from its wall."""

    along: Plane
    across: Plane
    depth: Plane


def _step(t: Plane) -> Plane:
    return 0.5 + 0.5 * np.tanh(2 * t)


def _stomach(canvas: _Canvas) -> _Organ:
    """A J: a straight body that runs into an arc, tapering towards the pylorus, then turned, scaled and bent."""
    between, noise = canvas.between, canvas.noise
    turn, scale = between(-0.22, 0.22), between(0.92, 1.1)
    bend = between(0.012, 0.028)
    x = (canvas.x - between(0.49, 0.55) + bend * noise(2.5)) / scale
    y = (canvas.y - between(0.47, 0.53) + bend * noise(2.5)) / scale
    x, y = x * cos(turn) - y * sin(turn), x * sin(turn) + y * cos(turn)

    radius, body, top = between(0.2, 0.26), between(0.3, 0.42), between(-0.32, -0.24)
    axis = between(0.08, 0.14)
    arc, end = radius * between(1.7, 2.3), top + body
    straight = (y < end) & (x > axis - radius)
    angle = np.mod(np.arctan2(y - end, x - (axis - radius)), 2 * pi)
    along = np.where(straight, y - top, body + radius * angle)
    across = np.where(straight, x - axis, np.hypot(x - (axis - radius), y - end) - radius)

    taper = np.clip((along - 0.6 * body) / (0.4 * body + arc), 0, 1)
    width = between(0.165, 0.19) * (1 - between(0.3, 0.45) * taper**2 * (3 - 2 * taper))
    width *= 1 + between(0.02, 0.06) * np.sin(2 * pi * (along / between(0.25, 0.4) + between(0, 1)))
    beyond = np.maximum(np.maximum(-along, along - body - arc), 0)
    return _Organ(along, across / width, scale * (width - np.hypot(across, beyond)))


def _severity(canvas: _Canvas, label: int) -> Plane:
    """How inflamed the mucosa is, 0 .. 1: a level for the patient, and patches of it that deviate from it."""
    between, noise, d = canvas.between, canvas.noise, canvas.difficulty
    level = between(1.0, 1.5) * (1 if label else -1)
    deviation = between(0.4, 0.6) * noise(5)
    if d:  # the easy patients stay the same, number by number
        level = (1 - 0.18 * d) * level + 0.68 * d * float(canvas.random.standard_normal())
        deviation *= 1 + 0.72 * d
    return _step(0.9 * (level + deviation))


def _body(canvas: _Canvas) -> Plane:
    """What lies around a stomach: soft tissue, spine, ribs, bubbles of gas."""
    between, noise = canvas.between, canvas.noise
    tissue = between(0.2, 0.3) - between(0.15, 0.4) * ((canvas.x - 0.5) ** 2 + 0.6 * (canvas.y - 0.5) ** 2)
    tissue = tissue + 0.05 * noise(3) + 0.012 * noise(24)

    off = canvas.x - between(0.36, 0.46) - between(-0.1, 0.1) * (canvas.y - 0.5) - 0.01 * noise(2)
    half, disc = between(0.055, 0.075), 2 * pi * (canvas.y / between(0.13, 0.17) + between(0, 1))
    column = _step((half * (1 - 0.12 * np.cos(disc)) - np.abs(off)) / 0.02)
    spine = column * (0.1 + 0.05 * np.tanh(3 * np.cos(disc) + 1.5) + 0.03 * (off / half) ** 2)

    slope, gap = between(0.5, 1.0), between(0.13, 0.19)
    rib = np.cos(2 * pi * (canvas.y + slope * (canvas.x - 0.4) ** 2 + between(0, 1)) / gap)
    ribs = 0.05 * _step((rib - 0.55) / 0.2) * _step((0.55 - canvas.y) / 0.1) * (1 - column)

    density = tissue + between(0.6, 1.2) * (spine + ribs)
    for _ in range(6):
        width = between(0.015, 0.06)
        height = width * between(0.7, 1.4)
        radius = np.hypot((canvas.x - between(0, 1)) / width, (canvas.y - between(0, 1)) / height)
        density -= between(0.03, 0.09) * _step((1 - radius) / 0.25)
    return density


def _barium(canvas: _Canvas, organ: _Organ, severity: Plane) -> Plane:
    """The coated stomach: a bright wall, a pool of barium, and the relief of folds and mucosa."""
    between, noise, d = canvas.between, canvas.noise, canvas.difficulty
    inside = _step(organ.depth / 0.006)
    wall = np.exp(-((organ.depth / between(0.005, 0.009)) ** 2))
    pool = _step(noise(2) + between(-1, 1))
    relief = _relief(canvas, organ, severity)
    within = organ.depth > 0
    relief = (relief - relief[within].mean()) / relief[within].std()
    coat = between(0.1, 0.2) + between(0.05, 0.2) * pool + between(0.08 - 0.04 * d, 0.1 - 0.018 * d) * relief
    return inside * coat + between(0.15, 0.3) * wall


def _relief(canvas: _Canvas, organ: _Organ, severity: Plane) -> Plane:
    """Grooves full of barium are the crests of a wave across the stomach, with the folds between them.

    Its phase wanders, which winds the folds; a disordered second wave ends and forks them.
    """
    between, noise = canvas.between, canvas.noise
    folds = between(3.4, 5.2)
    direction = between(-2.5, 2.5)
    wander = (0.3 + 3.0 * severity) * noise(7) + 0.6 * noise(3)
    phase = 2 * pi * (0.5 * folds * organ.across + direction * organ.along) + wander
    disorder = 0.55 * severity
    real = np.cos(phase) + disorder * noise(2 * folds)
    imaginary = np.sin(phase) + disorder * noise(2 * folds)
    crest = real / np.sqrt(real**2 + imaginary**2 + 0.15)
    fullness = 0.3 * noise(6)
    grooves = np.tanh(2.5 * (crest - 0.3 - 0.25 * severity)) * (0.85 + fullness)
    edges = np.exp(-(((crest - 0.1) / 0.3) ** 2)) * (0.3 + 0.3 * fullness)

    fine, coarse = noise(between(100, 130)), noise(between(82, 96))
    furrows = 2.4 * (np.exp(-((coarse / 0.8) ** 2)) - 0.5)  # between areae gastricae: where the noise changes sign
    mucosa = (1 - severity) * 0.2 * fine + severity * furrows
    return grooves + edges + between(0.65, 0.8) * mucosa


def _expose(canvas: _Canvas, density: Plane) -> Plane:
    """The film: unsharpness, contrast, exposure and grain; gray levels 0 .. 1."""
    between, noise, d = canvas.between, canvas.noise, canvas.difficulty
    sharp = gaussian_filter(density, between(0.001, 0.002) * canvas.size, truncate=3)
    contrast, brightness = between(0.92 - 0.18 * d, 1.1 + 0.09 * d), between(0.38 - 0.054 * d, 0.52 + 0.054 * d)
    signal = contrast * (sharp - 0.4) + brightness
    coarseness, gamma = between(0.006, 0.016 + 0.018 * d), between(0.85 - 0.135 * d, 1.15 + 0.18 * d)
    # The grain of single pixels is drawn last: how many numbers it takes depends on the size.
    grain = noise(DETAIL) + 0.5 * canvas.random.standard_normal(density.shape)
    return np.clip(signal + coarseness * grain, 0, 1) ** gamma
