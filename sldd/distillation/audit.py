"""Audit of backbones: try one distillation step with the smallest member of every timm family.

    python -m sldd.backbones audit                              # every timm family by its smallest member
    python -m sldd.backbones audit resnet18 test_vit            # these, families or backbones
    python -m sldd.backbones audit --out docs/records/backbones.csv     # keep the table
    python -m sldd.backbones learn --workers 2 --out learn.csv  # distil each for a while; goes on with the file

A backbone passes when one outer step gives the images a finite gradient that is not zero, at the smallest input that
it takes, and when it draws no random numbers.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import timm
import torch

from sldd.backbones.init import initialise
from sldd.backbones.norms import batch_norms, keep_no_statistics
from sldd.backbones.registry import build, check_name, parameter_count
from sldd.backbones.start import NEAR_LINEAR, SEEDED
from sldd.data.patches import CLASSES
from sldd.distillation.first_steps import NOT_RUN, FirstSteps, in_processes, read_first_steps, write_first_steps
from sldd.distillation.memory_estimate import NoClassScoresError, needs
from sldd.distillation.unroll import Unroll
from sldd.errors import InputError
from sldd.io.atomic_file import check_output, write_file
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
    """Try families (by their smallest member) or backbones, one after the other, and yield a row each.

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
    """The rows as CSV; errors as of ``write_file``."""
    table = io.StringIO()
    writer = csv.DictWriter(table, [field.name for field in fields(Row)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    write_file(path, table.getvalue().encode())


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

    unroll = Unroll(network, traced=False)
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
    images = unroll.backward(outer).images
    seconds = time.perf_counter() - begun
    if not bool(images.isfinite().all()):
        raise ArithmeticError("the gradient of the images is not finite")
    if not bool(images.any()):
        raise ArithmeticError("the gradient of the images is zero")
    return seconds


def main(arguments: list[str] | None = None) -> int:
    """``python -m sldd.backbones``; 0 where all that was audited passes, 1 where not, 2 for a wrong name."""
    parser = argparse.ArgumentParser(
        prog="python -m sldd.backbones", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    auditing = commands.add_parser("audit", help="try out whether backbones can be distilled")
    learning = commands.add_parser("learn", help="distil each for a short while by the defaults: does its loss fall?")
    for command in (auditing, learning):
        command.add_argument("names", nargs="*", metavar="FAMILY | BACKBONE", help="all timm families unless given")
        command.add_argument("--out", type=Path, metavar="FILE.csv", help="write the table there")
    learning.add_argument("--start", choices=SEEDED, default=NEAR_LINEAR, help="of the networks (%(default)s)")
    learning.add_argument("--steps", type=int, default=300, help="outer steps (%(default)s)")
    learning.add_argument("--device", default="cpu", help="cpu or cuda (%(default)s)")
    learning.add_argument("--workers", type=int, default=1, help="backbones at a time, a thread each (%(default)s)")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    try:
        if options.out is not None:  # before hours of work
            check_output(options.out)
        return (_audit if options.command == "audit" else _learn)(options)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2


def _audit(options: argparse.Namespace) -> int:
    names, rows = options.names or families(), []
    for number, row in enumerate(audit(names), 1):
        rows.append(row)
        facts = f"{row.parameters or 0:>13,} parameters  input {row.smallest_input or '-':>3}  {row.batch_norms} BN"
        verdict = f"{row.seconds:.2f} s" if row.twice_differentiable else f"FAILS: {row.note}"
        print(f"{number:>3}/{len(names)}  {row.member:<36} {facts:<50} {verdict}", flush=True)
    passed = sum(row.twice_differentiable for row in rows)
    print(f"{passed} of {len(rows)} can be distilled")
    if options.out is not None:
        write_table(rows, options.out)
    return 0 if passed == len(rows) else 1


def _learn(options: argparse.Namespace) -> int:
    known = set(families())
    names = options.names or sorted(known)
    _check_learning(options, names, known)
    rows = [] if options.out is None else read_first_steps(options.out, options.steps, options.start)
    finished = [row for row in rows if not row.note.startswith(NOT_RUN)]
    done = {row.member for row in finished}
    if done:
        print(f"{len(done)} are in {options.out} already")
    members = _members_left(names, known, finished)
    device = torch.device(options.device)
    found = in_processes(members, steps=options.steps, device=device, start=options.start, workers=options.workers)
    for number, row in enumerate(found, len(done) + 1):
        rows = [*(other for other in rows if other.member != row.member), row]
        facts = f"{row.parameters or 0:>13,} parameters  input {row.input_size or '-':>3}"
        print(f"{number:>3}/{len(done) + len(members)}  {row.member:<36} {facts}  {_verdict(row)}", flush=True)
        if options.out is not None:  # kept as it goes: a machine may be taken away
            write_first_steps(rows, options.out)
    passed = sum(row.learned for row in rows)
    print(f"{passed} of {len(rows)} learn by the defaults from {options.start}")
    return 0 if passed == len(rows) else 1


def _check_learning(options: argparse.Namespace, names: Sequence[str], known: set[str]) -> None:
    """Raise an InputError where an option or a name cannot be used."""
    for option in ("steps", "workers"):
        given = getattr(options, option)
        if given < 1:
            raise InputError(f"--{option} {given}: at least 1")
    if options.device not in ("cpu", "cuda") or (options.device == "cuda" and not torch.cuda.is_available()):
        choices = "cpu, cuda" if torch.cuda.is_available() else "cpu"
        raise InputError(f"--device {options.device}: there is none here; choose {choices}")
    for name in names:
        if name not in known:
            check_name(name)


def _members_left(names: Sequence[str], known: set[str], finished: Sequence[FirstSteps]) -> list[tuple[str, str]]:
    """(family, backbone) of the names that have no result yet: of a family its smallest member, and '' for the family
    of a backbone."""
    done = {row.member for row in finished}
    left = [name for name in names if name not in done | {row.family for row in finished}]
    if looked_up := sum(name in known for name in left):
        print(f"looking for the smallest members of {looked_up} families ...", flush=True)
    members = [(name, smallest_member(name)) if name in known else ("", name) for name in left]
    return [(family, member) for family, member in members if member not in done]


def _verdict(row: FirstSteps) -> str:
    """How a row's distillation went, in a few words."""
    if row.share is None or row.step_seconds is None:
        return f"FAILS: {row.note}"
    word = "learned" if row.learned else "NOT learned"
    return f"loss {row.share:.2f} of guessing, {row.step_seconds:.3f} s a step: {word}"
