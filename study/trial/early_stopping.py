"""Early stops of search trials, whose decisions do not depend on timing.

When a trial is suggested, its configuration says which score it has to reach by every evaluation (``search.pruner``);
the worker compares and stops. So the ledger alone tells why a trial ended where it did, and one that is interrupted
stops at the same step. Confirm trials are told nothing and are never stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ledger.ledger import Ledger
from ledger.trial import Trial
from study.config.pruners import PRUNERS
from study.config.search_settings import SearchSettings

Reached = Callable[[Mapping[str, Any]], float]
"""What trials are compared by, of an entry of a history."""
_SAME = 1e-9
"""Difference of scores up to which one does as well as the other: medians are means of two."""


def stop_below(earlier: Iterable[Trial], settings: SearchSettings, reached: Reached) -> list[list[float]]:
    """Steps of evaluations, each with the validation score below which a cell's next search trial stops there, by the
    study's pruner, from the earlier trials that are done."""
    histories = [(trial.result or {}).get("history") or [] for trial in earlier if trial.status == "done"]
    curves = [[(entry["step"], reached(entry)) for entry in history] for history in histories]
    last = max((curve[-1][0] for curve in curves if curve), default=0)
    return PRUNERS[settings.pruner].limits(curves, settings.stop_after * last)


def is_below(limits: Sequence[Sequence[float]], history: Sequence[dict[str, Any]], reached: Reached) -> bool:
    """True where a trial with these evaluations so far stops, told ``limits`` by ``stop_below``.

    A function of the evaluations alone: a trial that was interrupted after its last one stops all the same.
    """
    if not limits or not history:
        return False
    step = history[-1]["step"]
    return any(step == at and _best(history, step, reached) < limit - _SAME for at, limit in limits)


def stopped_early(ledger: Ledger) -> str | None:
    """Number of search trials stopped early and outer steps saved, in words; None where none was."""
    searched = [
        [trial.result for trial in group if trial.phase == "search" and trial.result and trial.settled]
        for group in ledger.trials.values()
    ]
    # The first trials of a cell are never stopped: they say how many steps a whole one has.
    whole = sum(len(results) * max((result["outer_steps"] for result in results), default=0) for results in searched)
    stopped = [[result for result in results if result.get("stopped")] for results in searched]
    if not any(stopped):
        return None
    spared = sum(
        max(result["outer_steps"] for result in results) - result["outer_steps"]
        for results, ended in zip(searched, stopped, strict=True)
        for result in ended
    )
    return (
        f"{sum(map(len, stopped))} of {sum(map(len, searched))} search trials did worse than others and were stopped "
        f"early, which spared {spared:,} of their {whole:,} outer steps"
    )


def _best(history: Sequence[dict[str, Any]], step: float, reached: Reached) -> float:
    return max((reached(entry) for entry in history if entry["step"] <= step), default=0.0)
