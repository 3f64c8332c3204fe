"""What distilled images are worth to starts and networks that nobody has seen (``evaluate``).

The known start is what SLDD is made for, fresh starts and other networks what DC, DM and MTT are made for. All are
measured for every method, by one protocol (``sldd.training.fresh_start``).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from sldd.backbones.init import initialise
from sldd.ops.memory import out_of_memory
from sldd.rng import stream
from sldd.training.fresh_start import FreshSettings, train_fresh
from sldd.training.learner import State
from study.config.tasks.base import Task, TaskData
from study.grid.axes import Cell
from study.trial.network import build_network


def fresh_scores(
    cell: Cell,
    state: State,
    data: TaskData,
    task: Task[Any],
    settings: FreshSettings,
    score: Callable[[nn.Module], dict[str, Any]],
    *,
    seed: int,
    device: torch.device,
    known: int = 0,
    retriable: bool = False,
) -> Iterator[dict[str, Any]]:
    """A row a network and start: ``backbone``, ``start``, ``loss`` of its training, ``score`` and ``auc`` on test
    patients, or ``error``, why that network cannot be trained so.

    Args:
        state: images and labels, of the best state.
        score: test scores of a network, as of ``Scores.describe``.
        seed: of the trial; names the starts.
        known: rows that are there already, the first ones, and are left out.
        retriable: whether the trial can be tried again with less in memory at a time.

    Raises:
        Exception: out of memory while test patients are scored, and less at a time may help (``retriable``).
    """
    backbones = dict.fromkeys([cell.backbone, *settings.backbones])
    for backbone, start in list(itertools.product(backbones, range(settings.starts)))[known:]:
        row: dict[str, Any] = {"backbone": backbone, "start": start}
        trained = False
        try:
            network = build_network(replace(cell, backbone=backbone), data.input).to(device)
            name = int(stream(seed, "fresh start", start).integers(2**62))  # never the trial's own
            initialise(network, name)
            loss = train_fresh(network, state["images"], state["labels"], settings=settings, seed=name, loss=data.loss)
            trained = True
            found = score(network)
            row |= {"loss": loss, "score": task.main_score(found), "auc": found.get("auc")}
        # Whatever a network says of its input, or becomes by it.
        except (ArithmeticError, AssertionError, MemoryError, RuntimeError, ValueError) as error:
            if trained and retriable and out_of_memory(error):  # training takes as much, however few are scored at once
                raise
            row["error"] = (str(error).splitlines() or [type(error).__name__])[0]
        yield row
