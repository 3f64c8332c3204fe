"""Rebuild a package's network: start, inner steps, ``theta_bn`` (Li et al. 2022, Algorithm 2).

Always on one thread of the CPU: inner steps may be chaotic (batch norm over two values is), so that the order in which
threads add up can decide what comes out. Between machines, rounding is left; the self-test shows what it does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import torch
from torch import nn

from sldd.backbones import start as starts
from sldd.backbones.head import Head
from sldd.backbones.norms import keep_no_statistics, load_statistics, statistics
from sldd.backbones.own import OWN, own_name, own_network
from sldd.backbones.registry import build, parameter_count
from sldd.backbones.start import FILE_ENDINGS, PRETRAINED, SEEDED, XAVIER, check_start, copy_weights
from sldd.distillation.unroll import Unroll
from sldd.errors import InputError
from sldd.ops.memory import SavedTensors, free_memory
from sldd.ops.types import InputSpec
from sldd.package.format.header import printable
from sldd.package.format.package import Package, is_package
from sldd.training.compute import autocast_type
from sldd.training.losses import LOSSES

MOST_PARAMETERS = 1_000_000_000
_REFUSALS = (ArithmeticError, AssertionError, LookupError, RuntimeError, TypeError, ValueError)
"""What networks raise where they are built for images of a size that they cannot take, or shown such."""


def rebuild(package: Package, start: Path | str | None = None, own: nn.Module | None = None) -> nn.Module:
    """The trained network in evaluation mode.

    Args:
        own: the module, of a package that was made of its maker's own network; only a copy is changed.
        start: the file of weights that the maker started from, where it was one and is not included; ``pretrained``
            allows to fetch published weights where the package starts from these.

    Raises:
        InputError: the network cannot be built here, the start is not the maker's, bit for bit (the message names the
            layer), or ``theta_bn`` is not that of this network.
    """
    network = started(package, start, own)
    keep_no_statistics(network)
    check_statistics(package, network)
    load_statistics(network, package.theta_bn)
    take_steps(package, network)
    return network.requires_grad_(True).eval()


def started(package: Package, start: Path | str | None = None, own: nn.Module | None = None) -> nn.Module:
    """The network at its start, compared with the fingerprints; arguments and errors as of ``rebuild``."""
    network = _built(package, own)
    if package.weights is not None:
        copy_weights(network, package.weights, where="the package", classes=len(package.classes))
    else:
        source = _source(package, start)
        # Packages began from others of whatever norm; the fingerprints tell.
        backbone, seed, classes = package.backbone, package.seed, package.classes
        set_start(network, backbone=backbone, start=source, seed=seed, norm=None, classes=classes)
    check_start(network, package.start_fingerprints, f"package for {printable(package.backbone)}")
    return network


def set_start(
    network: nn.Module, *, backbone: str, start: str, seed: int, norm: str | None, classes: Sequence[str]
) -> None:
    """Set every parameter in place; as ``sldd.backbones.start.set_start``, where ``start`` may also be a package: the
    weights are then those of the network that it stands for, but for the classifier where its classes are others.

    Args:
        norm: of the network, which a package's has to be, too: under another its weights make another network. None for
            what is checked by fingerprints.
        classes: that the network tells, in their order.

    Raises:
        InputError: as there, or the package's network cannot be rebuilt, or is another.
    """
    count = len(classes)
    if not (start.endswith(FILE_ENDINGS) and is_package(Path(start))):
        starts.set_start(network, backbone=backbone, start=start, seed=seed, classes=count)
        return
    package = _package_at(backbone, start, norm)
    weights = _weights_of(package)
    if package.classes != tuple(classes):
        weights = {name: value for name, value in weights.items() if name not in _classifier(package)}
    starts.set_start(network, backbone=backbone, start=XAVIER, seed=seed, classes=count)
    copy_weights(network, weights, where=Path(start).name, classes=count)


def read_weights(backbone: str, start: str, norm: str) -> dict[str, torch.Tensor]:
    """Weights by parameter name; as ``sldd.backbones.start.read_weights``, and of the network of a package.

    Raises:
        InputError: as of ``set_start``, whose arguments these are.
    """
    if not (start.endswith(FILE_ENDINGS) and is_package(Path(start))):
        return starts.read_weights(backbone, start)
    return _weights_of(_package_at(backbone, start, norm))


def _package_at(backbone: str, start: str, norm: str | None) -> Package:
    """The package of a backbone with a norm that a network is to start from."""
    package = Package.load(Path(start))
    if package.backbone != backbone:
        raise InputError(f"grid.start: {start} is a package of {printable(package.backbone)}, not of {backbone}")
    if norm is not None and package.norm != norm:
        raise InputError(
            f"grid.start: {start} is a package of {printable(backbone)} with norm {package.norm}, not {norm}; set "
            f"grid.norm=[{package.norm}]"
        )
    if package.weights is None and package.start not in SEEDED:
        raise InputError(
            f"grid.start: {start} is a package that starts from {printable(package.start)}; include that first "
            "(python -m sldd.package convert --weights)"
        )
    return package


def _weights_of(package: Package) -> dict[str, torch.Tensor]:
    return {name: value.detach() for name, value in rebuild(package).named_parameters()}


def _classifier(package: Package) -> set[str]:
    """Names of the parameters whose shape follows the number of classes."""
    side, channels, count = package.patches.input_size, package.channels, len(package.classes)
    with torch.device("meta"):
        one, other = (
            build(package.backbone, input_size=side, norm=package.norm, channels=channels, classes=classes)
            for classes in (count, count + 1)
        )
    shapes = {name: value.shape for name, value in other.named_parameters()}
    return {name for name, value in one.named_parameters() if value.shape != shapes[name]}


def _built(package: Package, own: nn.Module | None) -> nn.Module:
    side, channels, name = package.patches.input_size, package.channels, printable(package.backbone)
    if package.backbone.startswith(OWN):
        if own is None or own_name(own) != package.backbone:
            found = "" if own is None else f", and a {type(own).__name__} was given"
            raise InputError(
                f"this package is of its maker's own network {name.removeprefix(OWN)}{found}; give that module "
                "(sldd.load(FILE, network=MODULE))"
            )
        spec = InputSpec(side, package.classes, package.mean, package.deviation, channels, package.exclusive)
        return own_network(own, spec)
    if own is not None:
        raise InputError(f"this package is of {name}, which is built by its name; give no network")
    check_memory(package)
    return build(package.backbone, input_size=side, norm=package.norm, channels=channels, classes=len(package.classes))


def with_weights(package: Package, start: Path | str | None = None, own: nn.Module | None = None) -> Package:
    """The package with its start included, from ``start`` where it needs a file; see ``rebuild``."""
    network = started(package, start, own)
    return replace(package, weights={name: value.detach().clone() for name, value in network.named_parameters()})


def take_steps(package: Package, network: nn.Module) -> None:
    """Take the inner steps, in place."""
    seen, changed = package.images, network
    if package.inner_weights == "head":
        head = Head(network)
        with torch.no_grad(), _one_thread():
            seen = head.features(seen)
        changed = head.layer
    unroll = Unroll(
        changed,
        momentum=package.momentum,
        autocast=autocast_type(package.inner_precision),
        loss=LOSSES[package.task].inner,
    )
    tensors = len(list(changed.parameters()))
    if package.rates.ndim == 3 and package.rates.shape[2] != tensors:
        raise InputError(f"its rates are those of {package.rates.shape[2]} tensors, and {tensors} are changed")
    with _one_thread():
        weights = unroll.steps(seen, package.labels, package.rates, differentiable=False)
    with torch.no_grad():
        for parameter, weight in zip(changed.parameters(), weights, strict=True):
            parameter.copy_(weight)


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def check_statistics(package: Package, network: nn.Module) -> None:
    """Raise an InputError where ``theta_bn`` is not, name by name and shape by shape, that of the network's layers."""
    wanted = {name: value.shape for name, value in statistics(network).items()}
    given = {name: value.shape for name, value in package.theta_bn.items()}
    if wanted and not given:
        raise InputError("theta_bn is missing: the network has batch norm and the package no statistics for it")
    for name in sorted(wanted.keys() | given.keys()):
        if name not in given:
            raise InputError(f"theta_bn: the statistics {name} of the network are missing")
        if name not in wanted:
            raise InputError(f"theta_bn: the network has no {printable(name)}")
        if wanted[name] != given[name]:
            raise InputError(
                f"theta_bn: {name} is of {given[name].numel()} channels, the network's of {wanted[name][0]}"
            )


def check_memory(package: Package) -> None:
    """Raise an InputError where the network is too large to be rebuilt here, from shapes alone."""
    steps, each, *shape = package.images.shape
    head = package.inner_weights == "head"  # then features are taken of all images at once
    seen = (steps * each if head else each, *shape)
    parameters, graph = _size(package.backbone, package.norm, seen, not head)
    if parameters > MOST_PARAMETERS:
        raise InputError(f"{package.backbone} has {parameters:,} parameters, and {MOST_PARAMETERS:,} are allowed")
    wanted, free = 4 * (3 * parameters) + graph, free_memory(torch.device("cpu"))
    if wanted > free:
        raise InputError(
            f"rebuilding {package.backbone} takes about {wanted / 2**30:.1f} GiB of memory, and {free / 2**30:.1f} are "
            "free; use a larger machine"
        )


@lru_cache(maxsize=32)
def _size(backbone: str, norm: str, shape: tuple[int, ...], training: bool) -> tuple[int, int]:
    """Parameters of a network, and bytes that its graph keeps of images of this shape; nothing is allocated."""
    try:
        with torch.device("meta"), SavedTensors() as saved:
            network = build(backbone, input_size=shape[-1], norm=norm, channels=shape[1]).train(training)
            keep_no_statistics(network)
            network(torch.empty(shape))
    except InputError:
        raise
    except _REFUSALS as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(f"{printable(backbone)} cannot take such images ({printable(reason)})") from None
    return parameter_count(network), saved.nbytes


def _source(package: Package, start: Path | str | None) -> str:
    """The start's source. Of a package only the kind is believed: no path in it is opened, nothing fetched."""
    name = printable(package.start)
    if package.start in SEEDED:
        return package.start
    if package.start == PRETRAINED:
        if start is None:
            raise InputError(
                f"this package starts from the published weights of {package.backbone}; allow to fetch them with "
                "--start pretrained, or name a file of them"
            )
        return str(start)
    if not package.start.endswith(FILE_ENDINGS):
        raise InputError(f"its start is {name!r}, neither {', '.join(SEEDED)} nor pretrained nor a file of weights")
    if start is None:
        raise InputError(f"this package starts from the file {name}; say where it is (--start FILE)")
    return str(start)
