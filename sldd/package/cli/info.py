"""Print a package's header on one screen. Nothing is rebuilt or checked but the file."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table
from rich.text import Text

from sldd.errors import InputError
from sldd.ops.types import PerChannel
from sldd.package.cli.console import number
from sldd.package.cli.pictures import in_words
from sldd.package.format.container import Container, read
from sldd.package.format.header import Claims, Scores, Stored
from sldd.package.format.package import Package, from_container, whole
from sldd.package.format.signature import check
from sldd.package.rebuild.self_test import TOLERANCE

_MOST_LABELS = 6


def info(path: Path) -> Table:
    """The screen.

    Raises:
        InputError: not a package.
    """
    container = read(path)
    try:
        package = from_container(container)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for what, words in _rows(package, container, path.stat().st_size):
        table.add_row(what, Text(words))  # text as it is: a stranger's brackets are no markup
    return table


def _rows(package: Package, container: Container, size: int) -> list[tuple[str, str]]:
    """Lines of the screen: what each is about, and its words."""
    steps, each, channels, side, _ = package.images.shape
    colour = " in colour (RGB)" if channels > 1 else ""
    included = "" if package.weights is None else ", included"
    numbers = sum(value.numel() for value in package.theta_bn.values())
    return [
        ("file", f"{size:,} bytes, {package.format}"),
        ("digest", f"sha256:{container.metadata['digest']}" + ("" if whole(container) else "  DOES NOT HOLD")),
        ("signed", _signed(container)),
        (
            "network",
            f"{package.backbone}, norm {package.norm}, {side} x {side} input{colour}, classes "
            f"{' '.join(package.classes)}",
        ),
        (
            "start",
            f"{package.start}{included}, seed {package.seed}, {len(package.start_fingerprints)} layers fingerprinted",
        ),
        ("images", f"{steps} x {each} of {side} x {side}, {package.stored.images}{_loss(package.stored)}"),
        ("labels", _labels(package)),
        ("rates", _rates(package)),
        ("theta_bn", f"{len(package.theta_bn)} statistics, {numbers:,} numbers" if package.theta_bn else "none"),
        (
            "radiograph",
            f"{package.depth} bit{colour}, less {_per_channel(package.mean)}, by {_per_channel(package.deviation)}"
            + (f"; shorter sides of {package.sides[0]:.0f} to {package.sides[-1]:.0f}" if package.sides else ""),
        ),
        *_films(package),
        *_claims(package.claims, exclusive=package.exclusive),
        ("self-test", _self_test(package)),
        ("made with", ", ".join(f"{name} {version}" for name, version in package.versions.items())),
    ]


def _loss(stored: Stored) -> str:
    """What the encoding of the images costs; empty where it costs nothing."""
    if stored.images == "float32":
        return ""
    return (
        f"; a value is off by {stored.largest:.2g} deviations at most, {stored.rms:.2g} rms, "
        f"a class probability by {stored.outputs:.1e}"
    )


def _labels(package: Package) -> str:
    """The first few soft labels, and how many more there are."""
    flat = package.labels.flatten(0, 1)
    labels = "   ".join(in_words(package, label.numpy()) for label in flat[:_MOST_LABELS])
    return labels + (f"   and {len(flat) - _MOST_LABELS} more" if len(flat) > _MOST_LABELS else "")


def _rates(package: Package) -> str:
    """Range and kind of the inner rates, and of what steps they are."""
    rates = package.rates
    spread = f"{float(rates.min()):.4g}" + (f" to {float(rates.max()):.4g}" if rates.numel() > 1 else "")
    kinds = f"one for each of {rates.shape[2]} tensors" if rates.ndim == 3 else "one a step"
    steps = f"{rates.shape[0]} x {rates.shape[1]} inner steps"
    changed = "the last layer's weights" if package.inner_weights == "head" else "all weights"
    return f"{spread}, {kinds}; {steps} on {changed}, momentum {package.momentum:g}, {package.inner_precision}"


def _films(package: Package) -> list[tuple[str, str]]:
    """Lines on what the network sees of a film: all of it, or patches, whose votes are held against delta."""
    patches, side = package.patches, package.patches.input_size
    if package.delta is None:
        kept = "" if package.film_size is None else f"no side above {package.film_size:,}, "
        told = "of one class each" if package.exclusive else "each finding has a probability of its own"
        place = package.slice
        sliced = "" if place is None else f"; of volumes the slice at {place:g} (0 the first, 1 the last)"
        return [("films", f"whole, {kept}resized to {side}; {told}{sliced}")]
    stride = patches.stride if patches.score_stride is None else patches.score_stride
    return [
        ("patches", f"{patches.size:g} at a stride of {stride:g}, resized to {side}"),
        ("delta", f"{package.delta:.6g}: positive where #P / (#N + #P) is at least that"),
    ]


def _per_channel(values: PerChannel) -> str:
    """A mean or deviation in words: ``92.06``, or ``92.06 / 80.4 / 75.1``."""
    return " / ".join(f"{value:.4g}" for value in (values if isinstance(values, tuple) else (values,)))


def _signed(container: Container) -> str:
    try:
        found = check(container)
    except InputError as error:
        return str(error)
    if found is None:
        return "unsigned: nothing shows who made it"
    return (
        f"by {found.signer!r}, as the key {found.fingerprint} calls itself; verify --key compares it with one you trust"
    )


def _claims(claims: Claims | None, exclusive: bool) -> list[tuple[str, str]]:
    if claims is None:
        return [("claims", "none")]
    chosen = "state chosen on the TEST patients, delta fixed at 0.4 (the papers' protocol)"
    if claims.protocol == "validation":
        chosen = "state and delta chosen on validation patients"
    if claims.fold is not None:
        chosen += f"; fold {claims.fold}"
    chosen += f"; measured with images in {claims.images}"
    return [
        ("chosen", chosen),
        ("validation", _scores(claims.validation, exclusive)),
        ("test", "not scored" if claims.test is None else _scores(claims.test, exclusive)),
    ]


def _scores(scores: Scores, exclusive: bool) -> str:
    if exclusive:
        values = {"balanced accuracy": scores.sensitivity, "AUC": scores.auc}
        counts = f"{scores.patients} patients"
    else:
        values = {"Sen": scores.sensitivity, "Spe": scores.specificity, "HM": scores.hm, "AUC": scores.auc}
        counts = f"{scores.patients} patients, {scores.positive} positive, {scores.undecided} undecided"
    return f"{'  '.join(f'{name} {number(value)}' for name, value in values.items())}   {counts}"


def _self_test(package: Package) -> str:
    if package.self_test is None or package.expected is None:
        return "none"
    words = (
        f"{len(package.expected)} synthetic inputs, seed {package.self_test.seed}; outputs moved by "
        f"{package.self_test.spread:.1e} where images were changed by a millionth"
    )
    if package.self_test.spread > TOLERANCE:
        words += ": CHAOTIC inner steps, from which another machine may get another network"
    return words
