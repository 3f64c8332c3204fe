"""Verify a package: whether its content is the maker's, and its network's outputs are here what they were there.

The digest says whether the file changed since it was written; anyone can write it anew, so it is only the first check.
Order, labels, rates and ``theta_bn`` are compared with what they were when the self-test was made, the start with its
fingerprints, and the network that comes out with the self-test. A check never stops the ones after it that can be made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from sldd.backbones.start import SEEDED
from sldd.errors import InputError
from sldd.package.format.container import Container, read
from sldd.package.format.header import Marks
from sldd.package.format.package import Package, from_container, whole
from sldd.package.format.signature import check, fingerprint, read_public, same_key
from sldd.package.rebuild.rebuild import rebuild
from sldd.package.rebuild.self_test import TOLERANCE, marks, run

IDLE = 1e-8
"""An inner rate below this trains nothing: with gradients of about one, a step moves weights of about one by less than
float32 tells apart."""


@dataclass(frozen=True)
class Check:
    """Result of one check.

    Attributes:
        what: name of the part that was checked.
        passed: None where there is nothing to compare with.
        words: what was found.
    """

    what: str
    passed: bool | None
    words: str


@dataclass(frozen=True)
class Verdict:
    """Result of all checks, the package, and its network where one could be rebuilt."""

    checks: tuple[Check, ...]
    package: Package
    network: nn.Module | None

    @property
    def failures(self) -> list[Check]:
        return [check for check in self.checks if check.passed is False]

    @property
    def passed(self) -> bool:
        return not self.failures and self.network is not None


def verify(path: Path, *, start: Path | str | None = None, key: Path | None = None) -> Verdict:
    """Check a package.

    Args:
        start: as of ``rebuild``.
        key: a public key; the package must be signed by it.

    Raises:
        InputError: the file cannot be read as a package at all, or the start that it needs was not given.
    """
    container = read(path)
    try:
        package = from_container(container)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    checks = [_digest(container), _signature(container, key)]
    if package.self_test is None:
        checks.append(Check("self-test", False, "the package has none, so nothing shows that it works here"))
    else:
        checks += parts(package, package.self_test.marks)
    largest_rate = float(package.rates.abs().max())
    if largest_rate < IDLE:
        words = f"none: the largest inner rate is {largest_rate:.0e}, so the images change nothing"
        checks.append(Check("effect", None, words))
    network = None
    try:
        network = rebuild(package, start)
        checks.append(Check("start", True, f"{package.start}, {len(package.start_fingerprints)} layers, bit for bit"))
    except InputError as error:
        if package.weights is None and package.start not in SEEDED and start is None:
            raise InputError(f"{path}: {error}") from None
        checks.append(Check("rebuild", False, str(error)))
    if network is not None and package.self_test is not None:
        checks.append(_outputs(package, network))
    return Verdict(tuple(checks), package, network)


def parts(package: Package, made: Marks) -> Iterator[Check]:
    """Compare every part with its fingerprint when the self-test was made, and guess what was done to one that differs.

    Args:
        made: fingerprints from the self-test.
    """
    found = marks(package)
    yield _part("images", found.images, made.images)
    yield _part("labels", found.labels, made.labels, _guess_rounded(package.labels))
    same = found.rates == made.rates
    words = f"{package.rates.numel()} as learned" if same else f"not as learned{_guess_mean(package.rates)}"
    yield Check("rates", same, words)
    yield _theta_bn(found.theta_bn, made.theta_bn)


def _digest(container: Container) -> Check:
    if whole(container):
        return Check("digest", True, f"sha256:{container.metadata['digest']}")
    return Check("digest", False, "the content was changed after the file was written")


def _signature(container: Container, key: Path | None) -> Check:
    wanted = None if key is None else read_public(key)
    try:
        found = check(container)
    except InputError as error:
        return Check("signature", False, str(error))
    if found is None:
        if wanted is not None:
            return Check("signature", False, "unsigned, and a signature by the given key was asked for")
        return Check("signature", None, "unsigned: nothing shows who made it")
    if wanted is None:
        words = f"by the key {found.fingerprint}, which calls itself {found.signer!r}; ask for its public key (--key)"
        return Check("signature", None, words)
    if not same_key(found.key, wanted):
        return Check(
            "signature",
            False,
            f"by another key, {found.fingerprint}, that calls itself {found.signer!r}; asked for was "
            f"{fingerprint(wanted)}",
        )
    return Check("signature", True, f"signed by the given key, {found.fingerprint} ({found.signer!r})")


MarksByStep = tuple[tuple[str, ...], ...]
"""A fingerprint for each image of each step, of the image or of its label."""


def _part(what: str, found: MarksByStep, made: MarksByStep, guess: str = "") -> Check:
    """Compare images or labels: whether they are as many as were made, in the same order, and each unchanged.

    Args:
        guess: what may have changed them, in words.
    """
    if found == made:
        return Check(what, True, f"{sum(map(len, made))} in the order in which they were made")
    here, there = [mark for step in found for mark in step], [mark for step in made for mark in step]
    if [*map(len, found)] != [*map(len, made)]:
        return Check(what, False, f"{len(here)}, and {len(there)} were made")
    places = [f"step {s + 1}, image {m + 1}" for s, step in enumerate(made) for m in range(len(step))]
    differ = [place for place, one, other in zip(places, here, there, strict=True) if one != other]
    if sorted(here) == sorted(there):
        return Check(what, False, f"the order is another: {len(differ)} of {len(here)} are not in their place")
    more = f" and {len(differ) - 1} more" if len(differ) > 1 else ""
    return Check(what, False, f"changed at {differ[0]}{more}{guess}")


def _theta_bn(found: dict[str, str], made: dict[str, str]) -> Check:
    """Compare batch-norm statistics, by the fingerprint of each buffer name."""
    if found == made:
        return Check("theta_bn", True, f"{len(made)} statistics" if made else "none; the network has no batch norm")
    missing = sorted(made.keys() - found.keys())
    if missing:
        return Check("theta_bn", False, f"{len(missing)} of {len(made)} statistics are missing: {missing[0]} ...")
    if sorted(found.values()) == sorted(made.values()):
        return Check("theta_bn", False, "the statistics belong to other layers: their order is another")
    changed = sorted(name for name in found if found[name] != made.get(name))
    return Check("theta_bn", False, f"{len(changed)} of {len(found)} statistics were changed: {changed[0]} ...")


def _outputs(package: Package, network: nn.Module) -> Check:
    """Run the self-test; where the inner steps are chaotic, a failure may be rounding alone, and the words say so."""
    test, found = package.self_test, run(package, network)
    assert test is not None
    words = (
        f"class probabilities of {found.inputs} synthetic inputs differ by {found.difference:.1e} at most "
        f"({TOLERANCE:g} allowed); {found.votes} change their class"
    )
    if not found.passed and test.spread > TOLERANCE / 10:
        words += (
            f"; its inner steps are chaotic (a change of a millionth in the images moved outputs by {test.spread:.1e} "
            "where it was made), so this may be no more than another machine's rounding"
        )
    return Check("self-test", found.passed, words)


def _guess_rounded(labels: torch.Tensor) -> str:
    """Words for labels of which none has more than three decimals; empty for others."""
    for digits in range(4):
        values = labels.double().numpy()
        if np.abs(values - np.round(values, digits)).max() < 1e-6:
            return f"; they look rounded to {digits} decimals" if digits else "; they look rounded to whole numbers"
    return ""


def _guess_mean(rates: torch.Tensor) -> str:
    """Words for two rates or more that are all one; empty for others."""
    values = rates.flatten()
    alike = len(values) > 1 and bool((values == values[0]).all())
    return ": one and the same everywhere, as a mean would be" if alike else ""
