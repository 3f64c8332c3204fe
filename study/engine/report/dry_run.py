"""Report of a dry run: cells, trials, steps, time and price."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial

from rich.console import Console
from rich.table import Table

from analysis.design.planned import planned
from analysis.design.simulation import Design
from analysis.text.relation import reach
from analysis.text.words import duration
from ledger.storage import Folder
from ledger.trial_files import read_trials
from sldd.errors import InputError
from study.cluster.ray_cluster import slots_here
from study.config.methods import METHODS
from study.config.resource_settings import ResourceSettings
from study.config.schema import StudyConfig
from study.config.tasks import TASKS
from study.config.tasks.base import TaskData
from study.grid.axes import Cell
from study.grid.ordinary_training import likeness, trains_on_all
from study.planning.budget import outlook
from study.planning.plan import PlannedCell, cell_budget, confirm_settings, trials_of
from study.search.halving import halved_steps


def print_refused(console: Console, plan: list[PlannedCell]) -> None:
    """A line for every cell that cannot be run."""
    for entry in plan:
        if entry.refused is not None:
            console.print(f"refused: {entry.cell.name}: {entry.refused}", highlight=False, soft_wrap=True)


def print_plan(
    console: Console,
    config: StudyConfig,
    plan: list[PlannedCell],
    data_by_stage: Mapping[str | None, TaskData],
    study: Folder,
    patients: int,
) -> None:
    """Print a plan, as ``--dry-run`` does.

    Args:
        study: the folder of earlier trials, if there are any.
        patients: how many test a network.
    """
    say = partial(console.print, highlight=False, soft_wrap=True)
    console.print(plan_table(plan))
    print_refused(console, plan)
    runnable = [entry for entry in plan if entry.refused is None]
    trials = {entry.cell: trials_of(config, entry.cell, entry.seconds) for entry in runnable}
    whole = {cell: cell_budget(config, cell, data_by_stage[cell.stage]).steps for cell in trials}  # of one whole trial
    steps = {entry.cell: _all_steps(config, entry, trials[entry.cell], whole[entry.cell]) for entry in runnable}
    seconds = sum(_all_seconds(config, entry, steps[entry.cell], whole[entry.cell]) for entry in runnable)
    impatient = config.outer.patience is not None
    ended = config.search.pruner == "median" or config.search.core_seconds is not None
    fewer = impatient or ended or any(entry.cell.counted for entry in runnable)
    say(
        f"{'at most ' if fewer else ''}{len(runnable)} cells, {sum(trials.values())} trials ("
        f"{config.search.trials} search and {config.confirm.repeats} confirm a cell), "
        f"{sum(steps.values()):,} outer steps; about {duration(seconds)} of one trial slot on this machine"
    )
    unheld = _unheld(list(trials))
    if unheld:
        say(
            f"no ordinary training to hold images against (grid.method=[sldd,train]): no count can be shown to suffice "
            f"for {', '.join(unheld)}",
            markup=False,
        )
    if impatient:
        say(likely(shares_taken(study, {cell.name: most for cell, most in whole.items()}), seconds))
    for line in reach(_design(config, plan, patients), score=TASKS[config.task].results.word):
        say(line)
    gpus, at_once = _machine(config.resources)
    for line in outlook(config.budget, sum(trials.values()), seconds, gpus, at_once):
        say(line)


def _all_steps(config: StudyConfig, entry: PlannedCell, trials: int, whole: int) -> int:
    """Outer steps of all trials of a cell: ``whole`` each, but for search trials that rungs end before."""
    searched = config.search.trials
    return halved_steps(searched, entry.rungs, whole) + (trials - searched) * whole


def _all_seconds(config: StudyConfig, entry: PlannedCell, steps: int, whole: int) -> float:
    """Expected seconds of all trials of a cell.

    Args:
        entry: has those of one whole trial.
        steps: outer steps of all trials together.
        whole: outer steps of one whole trial.
    """
    fresh = entry.fresh_seconds * confirm_settings(config, entry.cell).repeats
    return (entry.seconds or 0.0) * steps / whole + fresh


def _unheld(cells: Sequence[Cell]) -> list[str]:
    """Networks with images that no ordinary training is held against."""
    trained = {likeness(cell) for cell in cells if trains_on_all(cell)}
    return list(dict.fromkeys(cell.backbone for cell in cells if cell.images and likeness(cell) not in trained))


def _design(config: StudyConfig, plan: list[PlannedCell], patients: int) -> Design | None:
    """The design of the cells that are compared, as `analysis` will have it from `study.yaml`."""
    cells = [
        asdict(entry.cell) | {"parameters": entry.parameters, "refused": entry.refused}
        for entry in plan
        if entry.cell.stage is None and not METHODS[entry.cell.method].control
    ]
    return planned(cells, seeds=config.confirm.repeats, patients=patients)


def shares_taken(study: Folder, most: Mapping[str, int]) -> list[float]:
    """The share of its cell's most steps that each finished trial of a study took, but for those that rungs ended."""
    if not study.is_dir():
        return []
    return [
        min(1.0, trial.result["outer_steps"] / most[trial.cell])
        for trial in read_trials(study)
        if trial.cell in most
        and trial.result is not None
        and trial.result["status"] == "done"
        and trial.result.get("ended") != "rung"  # the plan has its rungs already
    ]


def likely(taken: list[float], seconds: float) -> str:
    """Expected time of a plan with ``outer.patience``, in words, from the steps of finished trials."""
    if not taken:
        return "outer.patience ends trials that get no better; how much that spares, finished trials will tell"
    share = sum(taken) / len(taken)
    return (
        f"likely about {duration(share * seconds)}: the {len(taken)} finished trials took {share:.0%} of their steps "
        "(outer.patience)"
    )


def plan_table(plan: list[PlannedCell]) -> Table:
    """Cells with their parameter counts and expected seconds a trial."""
    table = Table(box=None, pad_edge=False)
    for title, justify in (("cell", "left"), ("parameters", "right"), ("a trial", "right")):
        table.add_column(title, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for entry in plan:
        parameters = "" if entry.parameters is None else f"{entry.parameters:,}"
        seconds = "" if entry.seconds is None else duration(entry.seconds)
        table.add_row(entry.cell.name, parameters, "refused" if entry.refused else seconds)
    return table


def _machine(resources: ResourceSettings) -> tuple[float, int]:
    """GPUs a trial and trials at once, of machines like this one: one a GPU, since its time was taken alone."""
    resources = replace(resources, trials_per_gpu=1)
    try:
        here = slots_here(replace(resources, concurrent=None))
    except InputError:  # a cluster's head that takes no trial; its workers take one at least
        here = slots_here(replace(resources, concurrent=1))
    return here.gpus, min(here.concurrent, resources.concurrent or here.concurrent)
