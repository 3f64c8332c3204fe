"""Which backbones can be distilled: every timm family by its smallest member, tried out, not believed.

A backbone passes when one outer step gives the images a finite gradient that is not zero, at the smallest input that
it takes, and when it draws no random numbers.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import timm
import torch

from sldd.backbones.init import initialise
from sldd.backbones.norms import batch_norms, keep_no_statistics
from sldd.backbones.registry import build, check_name, parameter_count
from sldd.data.patches import CLASSES
from sldd.distillation.memory_estimate import NoClassScoresError, needs
from sldd.distillation.unroll import Unroll
from sldd.ops.memory import free_memory
from sldd.rng import stream
from sldd.training.compute import ComputeSettings, outer_gradient

SIDES = (32, 48, 64, 96, 128, 160, 192, 224, 240, 256, 288, 320, 384, 448, 512)
"""Input sides that are tried, in pixels."""

_IMAGES, _BATCH = 2, 4


@dataclass(frozen=True)
class Row:
    """One backbone. ``note`` says what did not work, or what it took."""

    family: str
    member: str
    parameters: int | None
    twice_differentiable: bool
    batch_norms: int | None
    smallest_input: int | None
    seconds: float | None
    note: str


def families() -> list[str]:
    """timm's model families: its modules of models."""
    return sorted(timm.list_modules())


def smallest_member(family: str) -> str:
    """The member with the fewest parameters."""

    def size(name: str) -> int:
        with torch.device("meta"):
            return parameter_count(timm.create_model(name, num_classes=len(CLASSES)))

    return min(timm.list_models(module=family), key=size)


def audit(names: Sequence[str]) -> Iterator[Row]:
    """Try families (by their smallest member) or backbones, one after the other.

    Raises:
        InputError: a name is neither.
    """
    known = set(families())
    for name in names:
        if name not in known:
            check_name(name)
    for name in names:
        yield _tried(name, smallest_member(name)) if name in known else _tried("", name)


def write_table(rows: Sequence[Row], path: Path) -> None:
    """The rows as CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


class _RandomError(Exception):
    """The network draws random numbers."""


def _tried(family: str, name: str) -> Row:
    """Sides from the smallest up, until one outer step works."""
    parameters, layers, reason = None, None, ""
    for side in SIDES:
        try:
            with torch.device("meta"):
                network = build(name, input_size=side)
            parameters, layers = parameter_count(network), len(batch_norms(network))
            need = needs(network, images=_IMAGES, side=side, batch=_BATCH, compute=ComputeSettings())
            wanted = need.distilling(1, "keep")
            if wanted > 0.9 * free_memory(torch.device("cpu")):
                reason = f"not run here: needs about {wanted / 2**30:.0f} GiB at {side} px"
                break
            seconds = _one_step(name, side)
            return Row(family, name, parameters, True, layers, side, round(seconds, 3), "")
        except (NoClassScoresError, _RandomError) as error:
            reason = str(error)
            break
        except Exception as error:  # a network may object to a size in any way
            reason = (str(error).splitlines() or [type(error).__name__])[0]
    return Row(family, name, parameters, False, layers, None, None, reason)


def _one_step(name: str, side: int) -> float:
    """Seconds of an inner step, the outer pass and the adjoint, with real numbers."""
    network = build(name, input_size=side)
    initialise(network, 0)
    keep_no_statistics(network)

    def draw(*shape: int) -> torch.Tensor:
        return torch.from_numpy(stream(0, "audit", *shape).standard_normal(shape, dtype="float32"))

    unroll = Unroll(network)
    real, classes = draw(_BATCH, 1, side, side), torch.arange(_BATCH) % len(CLASSES)
    with torch.no_grad():
        once, again = (unroll.forward(list(network.parameters()), real) for _ in range(2))
    if not torch.equal(once, again):
        raise _RandomError("draws random numbers in training mode")
    begun = time.perf_counter()
    theta = unroll.steps(
        draw(1, _IMAGES, 1, side, side), torch.eye(len(CLASSES))[None, :_IMAGES], torch.ones(1, 1) / 100
    )
    _, outer = outer_gradient(unroll.forward, theta, real, classes, ComputeSettings())
    images = unroll.adjoint(outer).images
    seconds = time.perf_counter() - begun
    if not bool(images.isfinite().all()):
        raise ArithmeticError("the gradient of the images is not finite")
    if not bool(images.any()):
        raise ArithmeticError("the gradient of the images is zero")
    return seconds
