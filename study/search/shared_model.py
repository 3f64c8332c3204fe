"""Gaussian process of a study's scores over settings and cells, which all cells learn from (``search.sampler=shared``).

The score of search trial i of cell c at settings x, with z(c) what the cell is (parameters, images, norm, method, ...):

    score = level(z(c)) + shape(x, z(c)) + own level(c) + own shape(x, c) + noise,     k_shape = k(x, x') k(z, z')

so that networks alike have optima alike, however high their scores are, and where cells share nothing every cell has
its own shape. Context is what Krause and Ong (2011) call z; the model, its priors
(Hvarfner et al. 2024) and expected improvement (Ament et al. 2023) are BoTorch's.

A suggestion is a function of its name and of what the ledger holds: search trials that are done, in the order in which
they ended, and those that run. Lengths and noise are fitted whenever there is a quarter more to learn from, so that a
driver that resumes fits what the one before it had fitted.
"""

from __future__ import annotations

import math
import warnings
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from ledger.ledger import Ledger
from ledger.trial import Trial
from study.config.methods.base import Space
from study.config.tasks import TASKS
from study.grid.axes import Cell
from study.grid.spec import TrialSpec
from study.search.encoding import Encoding, Sized, candidates_of, inside
from study.search.prior import Observed
from study.search.sampler import middle

FEWEST = 4
"""Trials of all cells together before a model is made of them."""
MOST = 200
"""Trials that it is made of; with more, the latest of each cell: a suggestion takes no longer in long studies."""
_GROWTH = 1.25


@cache
def _botorch() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # its import compiles a function by a way that PyTorch leaves
        from study.search import gaussian_process
    return gaussian_process


@dataclass(frozen=True)
class _Seen:
    """A search trial that the model learns from, or one that runs (without a score)."""

    name: str
    """Of the cell."""
    settings: Mapping[str, Any]
    index: int
    ended: str
    score: float | None
    short: float = 0.0
    """0 for a whole run; at a rung, the share of its rungs that lies ahead."""
    prior: bool = False
    """Whether it is another study's."""


class SharedModel:
    """Model of all search trials of some cells that are searched over the same settings.

    Args:
        ledger: of the study; asked anew for every suggestion.
        cells: of the study, of one fold where folds rotate: whoever validates in one is tested in another.
        prior: what another study found, before all trials of this one.
    """

    def __init__(self, ledger: Ledger, cells: Iterable[Sized], prior: Sequence[Observed] = ()) -> None:
        self._ledger, self._cells = ledger, list(cells)
        self._names = [cell.name for cell, _ in self._cells]
        self._others = {each.cell: each.parameters for each in prior}
        self._prior = [
            _Seen(each.cell.name, each.settings, number, "", each.score, prior=True)
            for number, each in enumerate(prior)
        ]
        self._known: dict[tuple[str, float | None], _Seen] = {}
        self._encodings: dict[tuple[str, bool, bool], Encoding] = {}
        self._fitted: dict[tuple[Any, ...], dict[str, torch.Tensor]] = {}
        self._latest_model: tuple[Any, Any] = (None, None)
        """What it was made of, and the model."""

    def suggest(self, name: str, cell: Cell, space: Space) -> dict[str, Any] | None:
        """Settings for the next search trial of a cell; None while there is too little to learn from.

        Args:
            name: seeds what is random.
            space: of the cell's method; trials of other spaces are left out.
        """
        done, running = self._trials(space)
        if len(done) < FEWEST:
            return None
        encoding, own = self._encoding(space, done), cell.name

        def own_points(seen: Sequence[_Seen]) -> list[torch.Tensor]:
            return [encoding.point(own, each.settings) for each in seen if each.name == own and not each.prior]

        candidates = candidates_of(space, zlib.crc32(name.encode()))
        points = torch.stack([encoding.point(own, settings) for settings in candidates])
        return candidates[self._model(done, encoding).next(points, own_points(done), own_points(running))]

    def best(self, cell: Cell, space: Space) -> int | None:
        """Index of the cell's finished search trial whose settings gain most over the middle of the ranges, less a
        standard deviation of that gain (``ScoreModel.sure_gains``); None as ``suggest``.

        A trial at the middle gains 0: it wins where nothing is surely better.
        """
        done, _ = self._trials(space)
        name = cell.name
        own = [seen for seen in done if seen.name == name and not seen.short and not seen.prior]
        if len(done) < FEWEST or not own:
            return None
        encoding, usual = self._encoding(space, done), middle(space)
        points = torch.stack([encoding.point(name, seen.settings) for seen in own])
        gains: list[float] = self._model(done, encoding).sure_gains(points, encoding.point(name, usual)).tolist()
        for place, seen in enumerate(own):
            if all(usual[each] == value for each, value in seen.settings.items()):
                gains[place] = 0.0
        return own[gains.index(max(gains))].index

    def expected(self, cell: Cell, space: Space, settings: Sequence[Mapping[str, Any]]) -> list[float]:
        """The scores that settings promise in a cell, luck left out, of a model that has enough to learn from."""
        done, _ = self._trials(space)
        encoding = self._encoding(space, done)
        points = torch.stack([encoding.point(cell.name, each) for each in settings])
        means: list[float] = self._model(done, encoding).means(points).tolist()
        return means

    def _trials(self, space: Space) -> tuple[list[_Seen], list[_Seen]]:
        """Those that are done, another study's and then its own as they ended, and those that run."""
        names = space.keys() - {"delta"}

        def fits(seen: _Seen) -> bool:
            settings = seen.settings
            return settings.keys() == names and all(inside(space[name], settings[name]) for name in names)

        groups = (self._ledger.trials.get(name, []) for name in self._names)
        searched = [trial for group in groups for trial in group if trial.phase == "search"]
        alike = [each for each in map(self._seen, searched) if fits(each)]
        done = sorted((e for e in alike if e.score is not None), key=lambda e: (e.ended, e.name, e.index))
        prior = _latest(list(filter(fits, self._prior)), MOST // 2)
        return prior + done, [each for each in alike if each.score is None]

    def _encoding(self, space: Space, done: Sequence[_Seen]) -> Encoding:
        others = list(self._others.items()) if any(seen.prior for seen in done) else []
        rungs = any(seen.short for seen in done)
        key = (repr(space), bool(others), rungs)
        if key not in self._encodings:
            self._encodings[key] = Encoding(self._cells, space, others, rungs=rungs)
        return self._encodings[key]

    def _seen(self, trial: Trial) -> _Seen:
        known = self._known.get((trial.name, trial.seconds))  # one that is taken up from a rung has other seconds
        if known is None or known.score is None:
            spec, result, score = TrialSpec.of(trial), trial.result or {}, None
            if trial.settled:
                validation = result.get("validation")
                diverged = trial.status != "done" or validation is None
                score = 0.0 if diverged else TASKS[spec.task].compared(validation or {}, spec.score)
            short = 0.0 if result.get("rung") is None else 1 - (result["rung"] - 1) / len(spec.rungs)
            ended = str(result.get("finished", ""))
            known = _Seen(trial.cell, spec.settings, trial.index, ended, score, short)
            self._known[trial.name, trial.seconds] = known
        return known

    def _model(self, done: list[_Seen], encoding: Encoding) -> Any:
        """The model of the latest of these trials, with lengths and noise fitted to the first of them."""

        def tensors(seen: Sequence[_Seen]) -> tuple[torch.Tensor, torch.Tensor]:
            """(n, columns) points and (n, 1) scores, both float64."""
            points = torch.stack(
                [encoding.point(each.name, each.settings, each.short, prior=each.prior) for each in seen]
            )
            return points, torch.tensor([[each.score] for each in seen], dtype=torch.float64)

        enough = _fit_size(len(done))
        known = tuple((each.name, each.index, each.ended) for each in done)
        if self._latest_model[0] != (encoding, known):  # cells ask one after another, of the same trials
            prior = [seen for seen in done if seen.prior]
            latest = prior + _latest(done[len(prior) :], MOST - len(prior))
            model = _botorch().ScoreModel(*tensors(latest), encoding.columns)
            key = (tuple(encoding.settings), encoding.columns, known[:enough])
            if key not in self._fitted:
                self._fitted[key] = _botorch().fitted(*tensors(done[:enough]), encoding.columns)
            model.set(self._fitted[key])
            self._latest_model = ((encoding, known), model)
        return self._latest_model[1]


def _fit_size(done: int) -> int:
    """Number of trials, of those that are ``done``, to which the model's lengths and noise are fitted.

    That is ``FEWEST``, and from there always a quarter more, up to ``MOST``.

    It follows from the ledger alone, so that a driver that resumes fits what the one before it had fitted.
    """
    size = FEWEST
    while size * _GROWTH <= min(done, MOST):
        size = math.ceil(size * _GROWTH)
    return size


def _latest(done: list[_Seen], most: int) -> list[_Seen]:
    """At most so many of them, as many of each cell as can be, in their order."""
    if len(done) <= most:
        return done
    ranks: dict[str, int] = {}
    ranked: list[tuple[int, int, _Seen]] = []
    for seen in reversed(done):
        ranks[seen.name] = ranks.get(seen.name, 0) + 1
        ranked.append((ranks[seen.name], len(ranked), seen))
    chosen = {id(seen) for _, _, seen in sorted(ranked, key=lambda entry: entry[:2])[:most]}
    return [seen for seen in done if id(seen) in chosen]
