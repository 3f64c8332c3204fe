"""Short trial distillations with default settings: how far a backbone's outer loss falls.

Three images for easy phantom patients, with no setting chosen for the network. A network has learned where its loss
falls to two thirds of that of guessing (ln 3) or below.
"""

from __future__ import annotations

import csv
import io
import math
import multiprocessing
import statistics
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from pathlib import Path

import torch
from pydantic import TypeAdapter

from sldd.backbones.registry import build, parameter_count
from sldd.backbones.start import XAVIER, set_start
from sldd.data.cohort import Cohort, default_cache, prepare
from sldd.data.patches import CLASSES, BalancedBatches, Patches, PatchSettings
from sldd.distillation.distill import Distillation
from sldd.distillation.initial.images import noise_images
from sldd.distillation.initial.labels import initial_labels
from sldd.distillation.memory_estimate import needs
from sldd.errors import InputError
from sldd.io.atomic_file import write_file
from sldd.ops.memory import free_memory
from sldd.rng import stream
from sldd.sources.phantom import PhantomSettings, PhantomSource
from sldd.training.compute import ComputeSettings

GUESSING = math.log(len(CLASSES))
LEARNED = 2 / 3
"""Of the loss of guessing."""
SIDES = (96, 128, 160, 192, 224, 240, 256, 288, 320, 384, 448, 512)
"""Input sides that are tried, in pixels; the first is that of the small presets."""

NOT_RUN = "not run here"
"""Beginning of the note of a backbone for which this machine seems to lack memory: another may well distil it."""

_NUMBERS = {"parameters", "input_size", "loss", "share", "step_seconds"}
"""Columns that are empty where a backbone failed."""
_IMAGES, _BATCH = 3, 48
_OUTER_LR, _SHARE = 0.03, 0.02
_USED = 0.9
"""Of the free memory."""


@dataclass(frozen=True)
class FirstSteps:
    """Result for one backbone. ``note`` says what did not work."""

    family: str
    member: str
    parameters: int | None
    input_size: int | None
    steps: int
    loss: float | None
    """Mean outer loss of the last tenth of the steps."""
    share: float | None
    """Of the loss of guessing."""
    step_seconds: float | None
    device: str
    note: str
    start: str = XAVIER

    @property
    def learned(self) -> bool:
        return self.share is not None and self.share <= LEARNED


def phantoms() -> Cohort:
    """A cohort of easy phantom patients, the same for every backbone."""
    return prepare(PhantomSource(PhantomSettings(patients=60, difficulty=0.0)), default_cache())


def first_steps(family: str, name: str, *, steps: int, device: torch.device, start: str) -> FirstSteps:
    """Distil for ``steps`` at the smallest of ``SIDES`` that the network accepts."""
    parameters, note = None, ""
    kind = _kind(device)
    for side in SIDES:
        try:
            network = build(name, input_size=side)
            parameters = parameter_count(network)
            set_start(network, backbone=name, start=start, seed=0)
            loss, seconds = _distil(network, side, steps, device)
            share = loss / GUESSING
            return FirstSteps(family, name, parameters, side, steps, loss, share, seconds, kind, "", start)
        except torch.OutOfMemoryError:
            note = f"out of memory at {side} px"
            break
        except ArithmeticError as error:  # it takes this size, and does not learn there
            note = f"at {side} px: {error}"
            break
        except Exception as error:  # a network may object to a size in any way
            note = f"at {side} px: {(str(error).splitlines() or [type(error).__name__])[0]}"
    return FirstSteps(family, name, parameters, None, steps, None, None, None, kind, note, start)


def _distil(network: torch.nn.Module, side: int, steps: int, device: torch.device) -> tuple[float, float]:
    """Mean loss of the last tenth of the steps, and seconds a step (on a CPU core seconds), the first ones
    aside."""
    cohort = phantoms()
    everyone = list(range(cohort.patients))
    patches = Patches(cohort, PatchSettings(size=48, stride=8, input_size=side), *cohort.intensity(everyone))
    batches = BalancedBatches(patches, everyone)
    learner = Distillation(
        network,
        noise_images(steps=1, images=_IMAGES, side=side, seed=0),
        initial_labels("one_hot", _IMAGES),
        inner_lr=_SHARE,
        seed=0,
        device=device,
    )
    clock = time.perf_counter if device.type == "cuda" else time.process_time  # of one thread: others may work beside
    losses, begun = [], clock()
    warm = min(3, steps - 1)
    for number in range(steps):
        if number == warm:
            begun = clock()
        images, classes = batches.draw(stream(0, "batch", number), _BATCH)
        losses.append(learner.step(images.to(device), classes.to(device), _OUTER_LR))
        if not math.isfinite(losses[-1]):
            raise ArithmeticError(f"the loss is {losses[-1]} at outer step {number + 1}")
    seconds = (clock() - begun) / (steps - warm)
    return statistics.fmean(losses[-max(1, steps // 10) :]), seconds


def in_processes(
    members: Sequence[tuple[str, str]], *, steps: int, device: torch.device, start: str, workers: int
) -> Iterator[FirstSteps]:
    """Short distillations of many (family, backbone), each in a process of its own, yielded as they end.

    Those of few parameters come first, and no more run at a time than fit into what is free at the beginning.
    """
    phantoms()  # drawn once, before all ask for them
    free = int(_USED * free_memory(device))
    waiting = deque(sorted(members, key=lambda pair: _parameters(pair[1])))
    running: dict[Future[FirstSteps], tuple[int, str, str]] = {}
    while waiting or running:
        while waiting and len(running) < workers:
            family, member = waiting[0]
            demand = _demand(member)
            if running and demand + sum(taken for taken, _, _ in running.values()) > free:
                break
            waiting.popleft()
            if demand > free:
                yield _failed(family, member, steps, device, start, f"{NOT_RUN}: needs about {demand / 2**30:.0f} GiB")
                continue
            pool = ProcessPoolExecutor(
                1, multiprocessing.get_context("spawn"), initializer=ComputeSettings().apply, initargs=(1,)
            )
            future = pool.submit(first_steps, family, member, steps=steps, device=device, start=start)
            pool.shutdown(wait=False)  # takes no more, and ends with this one
            running[future] = demand, family, member
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            _, family, member = running.pop(future)
            try:
                yield future.result()
            except BrokenProcessPool:
                note = f"{NOT_RUN} to its end: its process was killed, perhaps for want of memory"
                yield _failed(family, member, steps, device, start, note)


def _parameters(name: str) -> int:
    with torch.device("meta"):
        return parameter_count(build(name, input_size=SIDES[-1]))


@lru_cache(maxsize=1)  # of the one that waits; it takes seconds
def _demand(name: str) -> int:
    """Bytes that a short distillation needs, as far as shapes tell; 0 where they do not."""
    for side in SIDES:
        with suppress(Exception), torch.device("meta"):  # a network may object to a size in any way
            network = build(name, input_size=side)
            need = needs(network, images=_IMAGES, side=side, batch=_BATCH, compute=ComputeSettings())
            return need.distilling(1, "keep")
    return 0


def _failed(family: str, name: str, steps: int, device: torch.device, start: str, note: str) -> FirstSteps:
    return FirstSteps(family, name, _parameters(name), None, steps, None, None, None, _kind(device), note, start)


def _kind(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def read_first_steps(path: Path, steps: int, start: str) -> list[FirstSteps]:
    """The rows that ``write_first_steps`` left in a file; none where there is no file.

    Raises:
        InputError: it is another file, or they are of another number of steps, or of another start.
    """
    if not path.exists():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            table = csv.DictReader(file)
            if set(table.fieldnames or ()) - {field.name for field in fields(FirstSteps)}:
                raise ValueError("other columns")
            rows = TypeAdapter(list[FirstSteps]).validate_python(
                [{key: value or (None if key in _NUMBERS else "") for key, value in row.items()} for row in table]
            )
    except (ValueError, csv.Error, OSError):  # no text, no table, other columns, a folder
        raise InputError(f"--out {path}: exists and is no table of this command; name another file") from None
    others = {(row.steps, row.start) for row in rows} - {(steps, start)}
    if others:
        had, begun = min(others)
        raise InputError(f"--out {path}: has rows of {had} steps from {begun}, not {steps} from {start}; name another")
    return rows


def write_first_steps(rows: Sequence[FirstSteps], path: Path) -> None:
    """The rows as CSV, by family and member; errors as of ``write_file``."""
    table = io.StringIO()
    writer = csv.DictWriter(table, [field.name for field in fields(FirstSteps)], lineterminator="\n")
    writer.writeheader()
    for row in sorted(rows, key=lambda row: (row.family, row.member)):
        numbers = {"loss": row.loss, "share": row.share, "step_seconds": row.step_seconds}
        writer.writerow(asdict(row) | {key: None if v is None else round(v, 4) for key, v in numbers.items()})
    write_file(path, table.getvalue().encode())
