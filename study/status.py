"""Status of a study, from any machine that sees its folder.

    python -m study.status results/demo
    python -m study.status s3://bucket/studies/ours --watch

It only reads the study's files: it asks neither Ray nor the driver, and writes nothing.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from analysis.records.records import NotAStudyError, Study, compared, read_study, score, score_word
from analysis.text.words import duration
from ledger.lease import EXPIRY, lives_here
from ledger.storage import Folder, store_errors
from ledger.trial_files import read_json
from ledger.trial_folder import WORKER

_SETTLED = ["done", "diverged", "failed"]  # statuses of trials that have ended
_MOST_ROWS = 12
_WATCH_SECONDS = 5.0


@dataclass(frozen=True)
class Running:
    """A trial that has no result yet, as its files show it."""

    trial: str
    """``<cell>/<i>``."""
    host: str | None
    """The machine of its worker; None where it has not begun."""
    step: int
    """The outer step of its last checkpoint; 0 before the first."""
    age: float | None
    """Seconds since it last wrote anything, by the storage's clock and ours; None where it has not begun."""


@dataclass(frozen=True)
class Status:
    """State of a study, as its files have it."""

    study: Study
    driver: str
    """Who runs the study, or ran it last, in words."""
    alive: bool
    """Whether that driver still runs, as far as its lease tells."""
    running: list[Running]
    """Trials without a result: those that run, or that wait for the study to go on."""

    @property
    def finished(self) -> bool:
        """True once no driver runs it and nothing is left unfinished."""
        return not self.alive and not self.running and self.remaining == 0

    @property
    def counts(self) -> Counter[str]:
        """Trials by status; cells that were refused are none."""
        ended = self.study.records["status"]
        return Counter(ended[ended != "refused"])

    @property
    def remaining(self) -> int:
        """Trials that are planned and have not ended; an upper bound where ``at_most``."""
        if self.study.provenance.get("finished") and not self.alive and not self.running:
            return 0  # a driver saw its end: image counts that the answer did not need are no trials to go
        records = self.study.records
        settled = records[records["status"].isin(_SETTLED)].groupby(["cell", "phase"]).size()
        remaining = 0
        for cell in self.study.cells:
            if cell.get("refused"):
                continue
            planned = {"search": _searches(self.study, cell), "confirm": _repeats(self.study, cell)}
            for phase, count in planned.items():
                remaining += max(0, count - int(settled.get((cell["cell"], phase), 0)))
        return remaining

    @property
    def at_most(self) -> bool:
        """True where the plan may be cut short: image counts are searched, or core seconds limit the search."""
        counted = any(cell.get("counted") for cell in self.study.cells)
        return counted or bool(self.study.config["search"].get("core_seconds"))

    @property
    def seconds_left(self) -> float | None:
        """Estimate: mean seconds of a trial so far, times those that remain, over those that run now.

        None where nothing runs or nothing has ended.
        """
        took = self.study.records["seconds"].mean()
        if not self.running or math.isnan(took):
            return None
        return float(took) * self.remaining / len(self.running)


def read_status(where: str) -> Status:
    """Read a study's state.

    Raises:
        NotAStudyError: there is no study at this place.
        OSError: it cannot be read just now.
    """
    study = read_study(where)
    for group, name in (("search", "trials"), ("confirm", "repeats")):
        settings = study.config.get(group)
        if not isinstance(settings, dict) or not isinstance(settings.get(name), int):
            raise NotAStudyError(f"{study.folder}: its study.yaml does not say how many trials were asked for")
    holder = read_json(study.folder / ".lock")
    driver, alive = _driver(study.folder, holder)
    open_trials = study.records.loc[study.records["status"] == "running", "trial"]
    return Status(study, driver, alive, [_running(study, str(trial)) for trial in open_trials])


def _driver(folder: Folder, holder: dict[str, Any] | None) -> tuple[str, bool]:
    """The study's driver in words, and whether it still runs.

    Args:
        holder: content of the lease (``.lock``); None where there is none.
    """
    if holder is None or "process" not in holder:
        return "no driver runs it", False
    name = f"process {holder['process']} on {holder.get('host')}"
    age = _age(folder / ".lock")
    alive = lives_here(holder)
    if alive is None:  # it is on another machine: its lease is renewed as long as it runs
        alive = age is not None and age < EXPIRY
    if alive:
        return f"run by {name}", True
    gone = "" if age is None else f" {duration(age)} ago"
    return f"its driver ({name}) was last heard of{gone}; the same command goes on with it", False


def _running(study: Study, trial: str) -> Running:
    """A trial without a result; what it wrote last is its newest checkpoint, or before the first its worker's file."""
    folder = study.trial_folder(trial)
    worker = read_json(folder / WORKER)
    saved = _saved(folder / "checkpoint")
    newest = folder / "checkpoint" / saved[-1] if saved else folder / WORKER
    return Running(
        trial,
        str(worker["host"]) if worker and "host" in worker else None,
        int(saved[-1].removesuffix(".pt")) if saved else 0,
        _age(newest) if worker or saved else None,
    )


def _saved(checkpoints: Folder) -> list[str]:
    """File names of a trial's checkpoints (``<outer step>.pt``), oldest first.

    None once it has ended, perhaps while we look.
    """
    try:
        with store_errors():
            names = sorted(path.name for path in checkpoints.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [name for name in names if name.removesuffix(".pt").isdecimal()]


def _age(path: Folder) -> float | None:
    """Seconds since a file was written, at least 0 where clocks disagree; None where it cannot be told."""
    try:
        return max(0.0, time.time() - path.stat().st_mtime)
    except OSError:
        return None


def describe(status: Status) -> RenderableType:
    """The state in a few lines and tables."""
    study, counts = status.study, status.counts
    ended = ", ".join(f"{counts[word]} {word}" for word in ("done", "running", "diverged", "failed") if counts[word])
    left = f", {'at most ' if status.at_most else ''}{status.remaining} to go" if status.remaining else ""
    if status.seconds_left is not None:
        left += f", about {duration(status.seconds_left)}"
    searched = compared(study.records[study.records["phase"] == "search"])
    best = score(searched, "val").max()
    best_word = "" if math.isnan(best) else f"; best validation {score_word(study.records)} {best:.2f}"
    state = "finished" if status.finished else status.driver
    parts: list[RenderableType] = [
        Text(f"{study.name}: {state}", style="bold"),
        Text(f"trials: {ended or 'none yet'}{left}{best_word}"),
        _cells(study),
    ]
    if status.running:
        parts.append(_running_table(status))
    failed = study.records[study.records["status"] == "failed"]
    for _, row in failed.head(_MOST_ROWS).iterrows():
        parts.append(Text(f"failed: {row['trial']}: {row['error']}", style="red"))
    return Group(*parts)


def _searches(study: Study, cell: dict[str, Any]) -> int:
    """Search trials that a cell gets: as many as were asked for, or fewer where its core seconds are spent before."""
    most, budget = int(study.config["search"]["trials"]), study.config["search"].get("core_seconds")
    searched = study.records[(study.records["cell"] == cell["cell"]) & (study.records["phase"] == "search")]
    if not budget or searched.empty:
        return most
    spent = searched["core_seconds"].fillna(searched["seconds"]).fillna(0.0).cumsum()
    # The cell's last trial is the one by whose end the core seconds were spent.
    is_last = ((spent >= budget) & searched["status"].isin(_SETTLED)).tolist()
    return min(most, is_last.index(True) + 1) if True in is_last else most


def _repeats(study: Study, cell: dict[str, Any]) -> int:
    """Confirm trials that a cell gets; a single one where other cells start from its network (``stage``)."""
    return 1 if cell.get("stage") else int(study.config["confirm"]["repeats"])


def _cells(study: Study) -> RenderableType:
    """The line on cells: how many have all their confirm trials."""
    confirmed = study.records[(study.records["phase"] == "confirm") & (study.records["status"] == "done")]
    repeats = confirmed.groupby("cell").size()
    done = sum(int(repeats.get(cell["cell"], 0)) >= _repeats(study, cell) for cell in study.cells)
    refused = sum(bool(cell.get("refused")) for cell in study.cells)
    more = f", {refused} refused" if refused else ""
    return Text(f"cells: {done} of {len(study.cells) - refused} confirmed{more}")


def _running_table(status: Status) -> Table:
    more = len(status.running) - _MOST_ROWS
    table = Table(box=None, pad_edge=False, caption=f"and {more} more" if more > 0 else None, caption_justify="left")
    for title, justify in (("trial", "left"), ("machine", "left"), ("step", "right"), ("last wrote", "right")):
        table.add_column(title, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for trial in status.running[:_MOST_ROWS]:
        wrote = "not begun" if trial.age is None else f"{duration(trial.age)} ago"
        table.add_row(trial.trial, trial.host or "-", str(trial.step), wrote)
    return table


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status: 1 where trials have failed, 2 where no study can be read."""
    parser = argparse.ArgumentParser(
        prog="python -m study.status", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", metavar="STUDY", help="a study's folder or URL, with its study.yaml")
    parser.add_argument(
        "--watch",
        nargs="?",
        type=float,
        const=_WATCH_SECONDS,
        metavar="SECONDS",
        help=f"repeat every SECONDS (default: {_WATCH_SECONDS:g}), until no driver runs it",
    )
    options = parser.parse_args(arguments)
    console = Console() if sys.stdout.isatty() else Console(width=160)
    try:
        status = read_status(options.study)
        if options.watch is None:
            console.print(describe(status), highlight=False)
        else:
            status = _watch(options.study, status, max(0.5, options.watch), console)
    except NotAStudyError as error:
        print(f"status: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        reason = error.strerror or error
        print(f"status: {options.study} cannot be read just now ({reason}); try again later", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0
    return 1 if status.counts["failed"] else 0


def _watch(where: str, status: Status, seconds: float, console: Console) -> Status:
    """Show the state every so many seconds while a driver is alive; returns the last one."""
    with Live(describe(status), console=console, auto_refresh=False) as live:
        while status.alive:
            time.sleep(seconds)
            with suppress(OSError):  # the next look may be luckier
                status = read_status(where)
                live.update(describe(status), refresh=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
