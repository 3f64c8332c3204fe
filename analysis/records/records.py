"""Table of a study's trials (`records.csv`), read from its ledger: a row a trial.

The ledger is the truth (`study.yaml` and `trials/<cell>/<i>/`); `records.csv` is rebuilt from it and never edited.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from analysis.records.columns import COUNTS, count, number, table
from analysis.records.idle import idle_rates
from analysis.records.rule import Rule
from analysis.records.tasks import TASKS, USUAL, TaskResults, learn, task_of
from ledger import safe_yaml
from ledger.schema import SCHEMA
from ledger.storage import Folder, StorageError, open_folder, reachable, write_whole
from ledger.trial_files import TrialFiles, read_result, read_trials

COLUMNS = list(SCHEMA)
_OF_RESULT = ["status", "error", "outer_steps", "seconds", "core_seconds", "peak_memory_mib", "device", "micro_batch"]
_OF_RESULT += ["stopped", "ended", "best_step", "finished", "epsilon", "memory_mib", "memory_star_kb"]
_OF_RESULT += ["compression_rate"]
"""Columns that have a result's value as it is."""
# What two runs of the same study on the same machine differ in.
MEASURED = ["seconds", "core_seconds", "peak_memory_mib", "finished"]
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


class NotAStudyError(ValueError):
    """The folder given holds no readable study; the message is one line for the user."""


@dataclass(frozen=True, eq=False)
class Study:
    """One study, as its ledger has it.

    `cells` are the grid points of `study.yaml` in study order, refused ones included; `records` has the columns
    of `COLUMNS`, one row a trial. Whole results (curves, histories) stay on disk until `result` asks for one.
    """

    name: str
    folder: Folder
    config: dict[str, Any]
    provenance: dict[str, Any]
    command: str
    cells: list[dict[str, Any]]
    records: pd.DataFrame
    methods: dict[str, Any] = field(default_factory=dict)
    """What `study.yaml` says of its methods, by name: `label`, `no_package`, why they leave none, `control`, whether
    their images are real ones, and `ranges`, by rate the setting of `search` that has its range."""

    networks: list[dict[str, Any]] = field(default_factory=list)
    """What `study.yaml` says of its networks before they learned anything: `backbone`, `norm`, `start` and traits."""

    def method(self, name: str) -> dict[str, Any]:
        """Description of a method; for older studies, its name in words."""
        usual: dict[str, Any] = {"label": name.replace("_", " "), "no_package": None, "control": False, "ranges": {}}
        return usual | _mapping(self.methods.get(name))

    def setting(self, section: str, name: str) -> Any:
        """A setting of the resolved configuration, `section.name`; None where it is missing or its section damaged."""
        return _mapping(self.config.get(section)).get(name)

    @property
    def compared_cells(self) -> list[dict[str, Any]]:
        """The cells that are `compared`. Damaged numbers of images or parameters count as absent."""
        named = (cell for cell in self.cells if not cell.get("stage") and isinstance(cell.get("backbone"), str))
        return [cell | {name: count(cell.get(name)) for name in COUNTS} for cell in named]

    @cached_property  # every run that is read asks for it
    def task(self) -> TaskResults:
        """How its results are read: by its configuration, or else by what its trials say."""
        name = str(self.config.get("task"))
        return TASKS[name] if name in TASKS and name != USUAL else task_of(self.records)

    def trial_folder(self, trial: str) -> Folder:
        """Folder of the trial `<cell>/<i>`."""
        return self.folder / "trials" / trial

    def result(self, trial: str) -> dict[str, Any]:
        """The trial's whole `result.json`, read now; empty where there is none (yet)."""
        return read_result(self.trial_folder(trial)) or {}


def read_study(where: Folder | str) -> Study:
    """Read the study in a folder or object store (the one that holds `study.yaml`)."""
    try:
        folder = open_folder(where)
        reachable(folder)
    except StorageError as error:
        raise NotAStudyError(str(error)) from None
    if not folder.is_dir():
        raise NotAStudyError(f"{folder}: no such folder")
    try:
        described = safe_yaml.load((folder / "study.yaml").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NotAStudyError(f"{folder}: not a study folder, it has no study.yaml") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        raise NotAStudyError(f"{folder}: its study.yaml cannot be read as YAML") from None
    if not isinstance(described, dict):
        raise NotAStudyError(f"{folder}: its study.yaml does not describe a study")
    cells = [
        cell
        for cell in _list(described.get("cells"))
        if isinstance(cell, dict) and isinstance(cell.get("cell"), str) and cell["cell"]
    ]
    config = _mapping(described.get("config"))
    learn(_mapping(described.get("tasks")))
    try:
        Rule.of(config)
    except ValueError:
        what = "minimum (margin, level, floor or resamples) is out of range or no number; has it been edited?"
        raise NotAStudyError(f"{folder}: its study.yaml: {what}") from None
    return Study(
        name=str(described.get("name") or folder.name),
        folder=folder,
        config=config,
        provenance=_mapping(described.get("provenance")),
        methods=_mapping(described.get("methods")),
        networks=[each for each in _list(described.get("networks")) if isinstance(each, dict)],
        command=str(described.get("command") or ""),
        cells=cells,
        records=table(_rows(folder, cells)),
    )


def compared(records: pd.DataFrame) -> pd.DataFrame:
    """The rows of `records` that are about the study's own patients: all that is ever compared or concluded from.

    A cell with a `stage` trains on other collections, to be where another cell starts from: its scores are of theirs. A
    trial whose damaged configuration names no network is of none.
    """
    return records[records["stage"].isna() & records["backbone"].notna()]


def score(records: pd.DataFrame, split: str) -> pd.Series:
    """Score that trials are compared by on `val` or `test` patients: HM, or what their tasks have instead."""
    found = records[f"{split}_{TASKS[USUAL].score}"]
    for name, task in TASKS.items():
        found = found.where(records["task"].ne(name).fillna(True).astype(bool), records[f"{split}_{task.score}"])
    return found


def score_word(frame: pd.DataFrame) -> str:
    """The name of `score` in a frame that has the column `task`."""
    return task_of(frame).word


def write_records(study_folder: Folder | str) -> Folder:
    """Rebuild `records.csv` from the ledger in `study_folder`; whoever reads it sees the old file or the new one."""
    study = read_study(study_folder)
    rows = study.records.copy()
    for column in (name for name, dtype in SCHEMA.items() if dtype == "string"):
        rows[column] = rows[column].map(_defuse, na_action="ignore")
    path = study.folder / "records.csv"
    write_whole(path, rows.to_csv(index=False, lineterminator="\n"))
    return path


def _rows(folder: Folder, cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every trial's row, and one for each cell that was refused before it had any: cells in study order."""
    rank = {str(cell["cell"]): place for place, cell in enumerate(cells)}
    found = read_trials(folder)
    placed = [((rank.get(trial.cell, len(rank)), trial.cell, trial.number), _row(trial)) for trial in found]
    tried = {row["cell"] for _, row in placed}
    for cell in cells:
        name = str(cell["cell"])
        if cell.get("refused") and name not in tried:
            known = {column: cell.get(column) for column in COLUMNS}
            known |= {"trial": name, "status": "refused", "error": cell["refused"]}
            placed.append(((rank[name], name, 0), known | setting_of(cell)))
    return [row for _, row in sorted(placed, key=lambda place: place[0])]


def records_of(trials: Iterable[TrialFiles]) -> pd.DataFrame:
    """The rows of `records` that these trials have, in their order."""
    return table([_row(trial) for trial in trials])


def planned_records(study: Study) -> pd.DataFrame:
    """What the study's `compared_cells` would have in `records` before any trial: network, image count and setting."""
    return table([{name: cell.get(name) for name in COLUMNS} | setting_of(cell) for cell in study.compared_cells])


def _row(trial: TrialFiles) -> dict[str, Any]:
    """The row of `records` that a trial has; without a result it is `running`."""
    config, result = trial.config, trial.result
    row: dict[str, Any] = {name: config.get(name) for name in COLUMNS}
    # Folder names, not what the file says of itself: they are what leads back to the files.
    row |= {"trial": f"{trial.cell}/{trial.number}", "cell": trial.cell, "status": "running"}
    row |= setting_of(config) | {"options": _choices(config.get("options"))}
    if result is None:
        return row
    row |= {name: result.get(name) for name in _OF_RESULT}
    for name in ("attempt", "delta"):
        if result.get(name) is not None:
            row[name] = result[name]
    if isinstance(result.get("shared_bytes"), int):
        row["shared_kb"] = result["shared_bytes"] / 1000
    fresh = [number(each.get("score")) for each in fresh_starts(result) if each.get("backbone") == row["backbone"]]
    row["fresh_score"] = pd.Series(fresh, dtype="float64").mean()
    row["note"] = idle_rates(result.get("rates"))
    # A search trial may not look at test patients, so nothing of the kind is ever shown for one.
    test = _mapping(result.get("test")) if config.get("phase") == "confirm" else {}
    return row | _scores(_mapping(result.get("validation")), test)


def _scores(validation: dict[str, Any], test: dict[str, Any]) -> dict[str, Any]:
    """Columns of `records` from a result's `validation` and `test`; a task has some of them, the others are None.

    Of films with findings `auc` is the mean over the classes that have both kinds of film.
    """
    on_both = ("hm", "auc", "patch_accuracy", "balanced_accuracy", "accuracy")
    on_test = (*on_both, "sensitivity", "specificity", "hm_at_0.4", "hamming_loss")
    row = {f"val_{name}": validation.get(name) for name in on_both}
    row |= {f"test_{name}": test.get(name) for name in on_test}
    row |= {"val_ap": validation.get("average_precision"), "test_ap": test.get("average_precision")}
    for end in ("low", "high"):
        row |= {f"test_{name}_{end}": test.get(f"{name}_{end}") for name in ("auc", "balanced_accuracy")}
        row[f"test_ap_{end}"] = test.get(f"average_precision_{end}")
    either = test or validation
    return row | {name: either.get(name) for name in ("undecided_patients", "defined_classes")}


def setting_of(cell_fields: dict[str, Any]) -> dict[str, Any]:
    """What a cell of `study.yaml` or a `config.json` says otherwise than `records` do: the start by name (of a file its
    own, not the folders it lies in), what it was trained on before in one word, the protocol, and what ordinary
    training saw.

    Trials from before there was a choice are of the only kind there was, and stay with later ones of that kind.
    """
    setting: dict[str, Any] = {"start": Path(str(cell_fields.get("start") or "xavier")).name}
    setting |= {name: _joined(cell_fields.get(name)) for name in ("chain", "stage")}
    setting |= {"protocol": cell_fields.get("protocol") or "validation", "task": cell_fields.get("task") or USUAL}
    if cell_fields.get("images") is None:
        setting |= {"train_classes": cell_fields.get("train_classes") or "INP"}
        setting |= {"train_view": cell_fields.get("train_view") or "patches"}
    return setting


def fresh_starts(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What `study.trial.fresh` left in a result: a row a network and start."""
    rows = result.get("fresh")
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _joined(names: Any) -> str | None:
    """Names of collections, `nih+chexpert`; None for an empty list."""
    return "+".join(map(str, names)) if isinstance(names, list) and names else names or None


def _choices(options: Any) -> str | None:
    """What the search chose beside rates, as JSON; None where that is nothing."""
    return json.dumps(options) if isinstance(options, dict) and options else None


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _defuse(text: str) -> str:
    """Keep a spreadsheet from running a text cell as a formula."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text
