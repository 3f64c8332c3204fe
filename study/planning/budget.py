"""Budget of a study in trials, hours and GPU-hours, and what is used of it.

A budget that is used up ends the command, not the study: nothing is lost, and a larger one goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from ledger.ledger import Ledger
from ledger.trial import Trial
from study.config.resource_settings import BudgetSettings

_HOUR = 3600.0


class Budget:
    """What is left of a study's budget, from its ledger and the reports of running trials.

    Args:
        ledger: the study's, once it is read.
        gpus: what a trial holds in this start.
        clock: seconds since some time or other.
    """

    def __init__(
        self, settings: BudgetSettings, ledger: Ledger, gpus: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings, self._ledger, self._gpus, self._clock = settings, ledger, gpus, clock
        self._begun = clock()
        # Of trials that this start has run, by name: seconds as last heard, and since when they have been running.
        self._heard: dict[str, float] = {}
        self._since: dict[str, float] = {}
        self._gpus_of: dict[str, float] = {}  # that trials hold or held

    @property
    def may_begin(self) -> bool:
        """True while one more trial may begin; what was begun before may always go on."""
        begun = sum(map(len, self._ledger.trials.values()))
        return self._settings.trials is None or begun < self._settings.trials

    @property
    def over(self) -> str | None:
        """The budget for which running trials have to stop, as a setting; None while there is none."""
        hours, gpu_hours = self._settings.hours, self._settings.gpu_hours
        if hours is not None and self._clock() - self._begun >= hours * _HOUR:
            return f"budget.hours={hours:g}"
        if gpu_hours is not None and self.gpu_hours >= gpu_hours:
            return f"budget.gpu_hours={gpu_hours:g}"
        return None

    @property
    def used_up(self) -> str | None:
        """What is used up and how to go on, in a line; None while nothing is."""
        over = self.over or (None if self.may_begin else f"budget.trials={self._settings.trials}")
        if over is None:
            return None
        goes_on = (
            "the same command goes on for as long again" if over.startswith("budget.hours=") else "a larger one goes on"
        )
        return f"{over} is used up, and the study has trials left: {goes_on}"

    @property
    def gpu_hours(self) -> float:
        """GPU-hours of all trials so far."""
        trials = (trial for group in self._ledger.trials.values() for trial in group)
        return sum(self._seconds(trial) * self._held(trial) for trial in trials) / _HOUR

    def _held(self, trial: Trial) -> float:
        name = trial.name
        if name not in self._gpus_of and trial.seconds is not None:
            self._gpus_of[name] = (trial.result or {}).get("gpus", self._gpus)
        return self._gpus_of.get(name, self._gpus)

    def _seconds(self, trial: Trial) -> float:
        if trial.seconds is not None:
            return trial.seconds
        running = self._clock() - self._since[trial.name] if trial.name in self._since else 0.0
        return self._heard.get(trial.name, trial.spent) + running

    def started(self, name: str, spent: float = 0.0, gpus: float | None = None) -> None:
        """A worker has begun a trial, or gone on with one that had taken so many seconds, and holds so many GPUs."""
        self._heard.setdefault(name, spent)
        self._gpus_of[name] = self._gpus if gpus is None else gpus
        self._since[name] = self._clock()

    def heard(self, name: str, seconds: float) -> None:
        """Note the seconds that a running trial has taken, over all starts."""
        self._heard[name], self._since[name] = seconds, self._clock()

    def ended(self, name: str) -> None:
        """A trial no longer runs, for now or for good."""
        if name in self._since:
            self._heard[name] += self._clock() - self._since.pop(name)

    def keep(self) -> None:
        """Leave in the ledger what trials without a result have taken, for the next start."""
        for trial in (trial for group in self._ledger.trials.values() for trial in group):
            if trial.name in self._heard and not trial.seconds:
                self._ledger.note_spent(trial, self._seconds(trial))


def outlook(settings: BudgetSettings, trials: int, seconds: float, gpus: float, at_once: int) -> Iterator[str]:
    """Lines on a plan's price and on each budget that is too small for it.

    Args:
        trials: of the whole study, which take so many ``seconds``, with so many ``gpus`` each.
        at_once: trials that run at a time on a machine.
    """
    hours = seconds / _HOUR
    if settings.price is not None:
        runs = f"{at_once} trials at once" if at_once > 1 else "one trial at a time"
        price = hours / at_once * settings.price
        yield f"price: about {price:,.2f}, at {settings.price:g} for an hour of a machine that runs {runs}"
    needs = {"trials": trials, "hours": hours / at_once, "gpu_hours": hours * gpus}
    for name, needed in needs.items():
        given = getattr(settings, name)
        if given is not None and needed > given:
            takes = f"{needed:,}" if isinstance(needed, int) else f"about {needed:,.3g}"
            yield f"budget.{name}={given:g}: this takes {takes}, and will pause when the budget is used up"
