"""Gallery of a cell's distilled images with their soft labels: what would leave the hospital."""

from __future__ import annotations

from html import escape

import numpy as np

from analysis.figures.parts.theme import CLASS_WORDS
from analysis.records.packages import CLASSES, Distilled, likeliest, percents, png_uri, shares

MOST_IMAGES = 12  # of one cell; the rest is in its package
CAPTION = (
    "The cell's first confirm trial. Each image is stretched to its own darkest and brightest value, so brightness "
    "cannot be compared between images. The learned labels are unbounded weights y; shown is y / sum(y). † A weight "
    "was negative and is shown as zero; the shares are those of the rest."
)
KEY = (
    '<p class="caption"><span class="key">Soft label:'
    + "".join(f'<i class="{name}"></i>{name} {word}' for name, word in CLASS_WORDS.items())
    + f".</span> {escape(CAPTION)}</p>"
)
MOST_FINDINGS = 4  # of a label; all of them are in its title


def label_key(labels: str) -> str:
    """What is under the images: classes of patches, or else what `labels` says."""
    if not labels:
        return KEY
    return (
        f'<p class="caption">The cell\'s first confirm trial. Under each image {escape(labels)}. Each image is '
        "stretched to its own darkest and brightest value, so brightness cannot be compared between images.</p>"
    )


def films(distilled: Distilled) -> str:
    """The images as HTML, each with its label as a bar and in percent, over a line with the rates."""
    return f'<p class="setting">{escape(_rates(distilled.rates))}</p><div class="films">{_films(distilled)}</div>'


def _rates(rates: np.ndarray) -> str:
    if rates.ndim == 3:
        return f"learned rates of {rates.shape[2]} tensors, {rates.min():.3g} to {rates.max():.3g}"
    if rates.size == 1:
        return f"learned rate {rates.item():.3g}"
    epochs = [", ".join(f"{rate:.3g}" for rate in epoch) for epoch in rates]
    if len(epochs) == 1:
        return f"learned rates of the steps {epochs[0]}"
    return "learned rates, " + "; ".join(f"epoch {place}: {each}" for place, each in enumerate(epochs, start=1))


def _films(distilled: Distilled) -> str:
    steps, images = distilled.images.shape[:2]
    places = [(step, image) for step in range(steps) for image in range(images)]
    shown = [
        (_film_with_findings if distilled.findings else _film)(
            distilled,
            place,
            f"step {place[0] + 1}, image {place[1] + 1}" if steps > 1 else f"image {place[1] + 1}",
        )
        for place in places[:MOST_IMAGES]
    ]
    more = len(places) - len(shown)
    return "".join(shown) + (f'<p class="empty">and {more} more in the package</p>' if more else "")


def _film_with_findings(distilled: Distilled, place: tuple[int, int], name: str) -> str:
    label = distilled.labels[place]
    shown = likeliest(distilled, label, MOST_FINDINGS)
    words = [f"{finding} {100 * share:.0f} %" for finding, share in shown]
    bars = "".join(
        f'<span>{escape(word)}</span><div class="bar"><i class="finding" style="width:{100 * share:.0f}%"></i></div>'
        for word, (_, share) in zip(words, shown, strict=True)
    )
    every = ", ".join(f"{finding} {share:.3f}" for finding, share in likeliest(distilled, label, len(label)))
    return (
        f'<figure class="film" title="{escape(every)}">'
        f'<img src="{png_uri(distilled.images[place])}" alt="distilled {name}, soft label {escape(", ".join(words))}">'
        f"<figcaption>{bars}</figcaption></figure>"
    )


def _film(distilled: Distilled, place: tuple[int, int], name: str) -> str:
    label = distilled.labels[place]
    parts, clipped = shares(label)
    weights = ", ".join(f"{kind} {weight:.3f}" for kind, weight in zip(CLASSES, label, strict=True))
    if parts is None:
        bar, words = "", "no positive weight"
    else:
        bar = "".join(
            f'<i class="{k}" style="width:{100 * share:.1f}%"></i>' for k, share in zip(CLASSES, parts, strict=True)
        )
        words = " · ".join(f"{kind} {share}" for kind, share in zip(CLASSES, percents(parts), strict=True)) + " %"
    mark = " †" if clipped else ""
    return (
        f'<figure class="film" title="learned weights: {weights}">'
        f'<img src="{png_uri(distilled.images[place])}" alt="distilled {name}, soft label {words}">'
        f'<div class="bar">{bar}</div><figcaption>{words}{mark}</figcaption></figure>'
    )
