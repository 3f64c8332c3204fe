"""Table of published transfer learning beside what was measured.

A measured cell stands beside a published row where its network, its way of transfer and what it was trained on before
are the row's; `start: pretrained`, or `pretrained` in a mixed model, is ImageNet. A row without a measured cell says
why, and measured cells that nobody published come last.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.published import TRANSFER, transfers
from analysis.records.cell_means import run_rows, setting_labels
from analysis.records.multilabel_runs import (
    FilmRun,
    Macro,
    alike,
    macro_ap,
    macro_auc,
    resampled_scores,
    worth_of,
)
from analysis.records.records import Study
from analysis.records.rule import Rule
from analysis.records.runs import read_run
from analysis.stats.evidence import setting_generator
from analysis.stats.minimum import percent
from analysis.stats.seeds import PARTS, intervals, parts
from analysis.tables.formats import Column, Table, counted, decimals, words
from analysis.tables.matching import BY, SEEDED, measured_cells, protocol_remarks
from analysis.tables.published_comparison import NOT_RUN, run_words
from ledger.schema import SCHEMA

PRESET = "chest-transfer"
SCORES: dict[str, Macro] = {"ap": macro_ap, "auc": macro_auc}
KEY = ["network", "transfer", "pretraining"]
BOUNDS = [f"{score}_{end}" for score in SCORES for end in ("low", "high")]
PUBLISHED = ["train_binary_accuracy", "train_mae", "test_ap", "test_auc"]
MEASURED = [*SCORES, *BOUNDS, "seeds", "backbone", "parameters", "study", "status", "remarks"]
HOW = (
    "AP and AUC: means over the findings, of all runs. Published: films of another hospital with findings of its own; "
    "average precision goes with how frequent a finding is, so that rows compare and hospitals do not. Training binary "
    "accuracy and MAE are the published ones, here not measured."
)


def has_training(study: Study) -> bool:
    """Whether the study trains networks on films with findings, as what was published did."""
    return study.task.published == "transfer" and any(cell.get("images") is None for cell in study.compared_cells)


def transfer_table(studies: Sequence[Study]) -> Table:
    """Every published row with what `studies` (of films with findings) measured for it, then what else they did."""
    frame = transfer_frame(studies)
    columns = [
        words("network", "Network"),
        words("transfer", "Transfer"),
        words("pretraining", "Trained\nbefore on"),
        decimals("published_train_binary_accuracy", "Published\ntrain accuracy", 4),
        decimals("published_train_mae", "Published\ntrain MAE", 2),
        decimals("published_test_ap", "Published\nAP"),
        Column("Measured\nAP", lambda row: _score_words(row, "ap")),
        decimals("published_test_auc", "Published\nAUC"),
        Column("Measured\nAUC", lambda row: _score_words(row, "auc")),
        counted("seeds", "Runs"),
        Column("Network run", run_words, words=True),
    ]
    if len(studies) > 1:
        columns.append(words("study", "Study"))
    if frame["remarks"].any():
        columns.append(words("remarks", "Remarks"))
    return Table(TRANSFER, columns, frame, [*_missing(frame), *_bounds_line(frame, studies), HOW])


def transfer_frame(studies: Sequence[Study]) -> pd.DataFrame:
    """One row a published row, in printed order, then one a measured cell that stands beside none, in study order.

    Columns: table, KEY; the published PUBLISHED, each after `published_` (missing in the second part); and MEASURED:
    ap and auc (means over runs), their `_low` and `_high` (`seeds.intervals`), seeds (runs), backbone,
    parameters, study (name), status (empty where confirmed, else why there is no number) and remarks.
    """
    cells = _trained_cells(studies)
    rows, beside = [], set()
    for _, row in transfers().rename(columns={"backbone": "network"}).iterrows():
        known = {name: row[name] for name in KEY} | {f"published_{name}": row[name] for name in PUBLISHED}
        like = cells[(cells[KEY] == row[KEY]).all(axis=1)]
        if like.empty:
            rows.append(known | dict.fromkeys(MEASURED) | {"status": NOT_RUN, "remarks": ""})
            continue
        # Of several the confirmed one, and of these one that saw all films.
        place = min(like.index, key=lambda at: (like["status"][at] != "", pd.notna(like["train_patches"][at]), at))
        beside.add(place)
        rows.append(known | like.loc[place, MEASURED].to_dict())
    rows += [dict(cell) for _, cell in cells.drop(index=list(beside))[[*KEY, *MEASURED]].iterrows()]
    columns = [*KEY, *(f"published_{name}" for name in PUBLISHED), *MEASURED]
    frame = pd.DataFrame(rows, columns=columns).astype({"seeds": "Int64", "parameters": "Int64"})
    frame.insert(0, "table", "transfer")
    frame["study"] = [None if pd.isna(place) else studies[int(place)].name for place in frame["study"]]
    return frame


def network_name(backbone: str) -> str:
    """A network by its published name: `torchvision/resnet50` is `resnet50`."""
    return backbone.rpartition("/")[2].lower()


def pretraining(start: str, chain: str | None, transfer: str | None) -> str:
    """What a network was trained on before the study's own films, in the published words: `imagenet+nih`, or `none`.

    Collections are in order where one follows the other; where they are learned from at once, or side by side, they
    have none and are sorted.
    """
    collections = (chain or "").lower().split("+")
    first = ["imagenet"] if "pretrained" in (start, *collections) else []
    if start not in (*SEEDED, "pretrained"):
        first.append(start)  # a file: of what, nobody knows
    rest = [name for name in collections if name not in ("", "pretrained")]
    return "+".join(first + (rest if transfer == "regular" else sorted(rest))) or "none"


def _trained_cells(studies: Sequence[Study]) -> pd.DataFrame:
    """`measured_cells` that are ordinary training, with KEY, BOUNDS and `remarks`."""
    cells = measured_cells(studies)
    bounds = pd.concat([_bounds(study).assign(study=place) for place, study in enumerate(studies)])
    cells = cells[cells["images"].isna()].merge(bounds, on=[*BY, "study"], how="left")
    # What KEY tells is not told again.
    others = setting_labels(cells.assign(start="", transfer=None, chain=None))
    chains = [None if pd.isna(chain) else chain for chain in cells["chain"]]
    ways = cells["transfer"].fillna("regular")
    named = zip(cells["start"], chains, ways, strict=True)
    return cells.assign(
        remarks=[
            "; ".join(filter(None, [label, *protocol_remarks(cell)]))
            for label, (_, cell) in zip(others, cells.iterrows(), strict=True)
        ],
        network=cells["backbone"].fillna("").map(network_name),
        pretraining=[pretraining(*each) for each in named],
        transfer=ways,
    )


def _bounds(study: Study) -> pd.DataFrame:
    """BOUNDS of every confirmed setting of ordinary training; missing where its runs are not of the same films, and
    where no setting has two runs."""
    rows, rule = run_rows(study), Rule.of(study.config)
    rows = rows[rows["images"].isna()].sort_values("seed", kind="stable")
    groups = list(rows.groupby(BY, sort=False, dropna=False))
    schema = {name: SCHEMA[name] for name in BY}
    bounds = pd.DataFrame([names for names, _ in groups], columns=list(schema)).astype(schema)
    runs = [[read_run(study, trials) for trials in group["trials"]] for _, group in groups]
    for name, macro in SCORES.items():
        cells = [
            _parts([run for run in each if run is not None], len(each), macro, rule, setting_generator(study, names))
            for (names, _), each in zip(groups, runs, strict=True)
        ]
        found = intervals(pd.DataFrame(cells, columns=["hm", "seeds", *PARTS], dtype="float64"), rule.level)
        bounds[f"{name}_low"], bounds[f"{name}_high"] = found["interval_low"], found["interval_high"]
    return bounds


def _parts(runs: list[FilmRun], expected: int, macro: Macro, rule: Rule, rng: np.random.Generator) -> dict[str, float]:
    """What `seeds.intervals` needs to know of one setting's runs, over the resamples in which the score is defined."""
    if len(runs) < expected or not alike(runs):
        return {"hm": np.nan, "seeds": expected}
    drawn = resampled_scores(runs, rule.resamples, rng, macro)
    drawn = drawn[:, ~np.isnan(drawn).any(axis=0)]
    if not drawn.shape[1]:
        return {"hm": np.nan, "seeds": expected}
    scores = np.array([macro(np.ones((1, len(run.patients))), run.labels, run.probabilities)[0] for run in runs])
    row = parts(scores, drawn, np.zeros(len(runs), np.int64), worth_of(runs[0])).iloc[0].to_dict()
    return row | {"hm": scores.mean(), "seeds": len(runs)}


def _score_words(row: pd.Series, score: str) -> str:
    """The mean, and its interval where there is one."""
    if pd.isna(row[score]):
        return "-"
    low, high = row[f"{score}_low"], row[f"{score}_high"]
    return f"{row[score]:.3f}" + ("" if pd.isna(low) else f" ({low:.3f} to {high:.3f})")


def _missing(frame: pd.DataFrame) -> list[str]:
    published = frame[frame["published_test_auc"].notna()]
    missing = published[published["status"] != ""]
    if missing.empty:
        return []
    missed = f"Not measured: {len(missing)} of {len(published)} published rows."
    refused = missing["status"].str.startswith("refused").all()
    return [missed if refused else f"{missed} To run them: python -m study.run {PRESET}"]


def _bounds_line(frame: pd.DataFrame, studies: Sequence[Study]) -> list[str]:
    """Line that explains the brackets, where there are any."""
    if frame[BOUNDS].isna().all(axis=None):
        return []
    levels = " or ".join(dict.fromkeys(percent(Rule.of(study.config).level) for study in studies))
    return [
        f"In brackets: the {levels} interval, patients by a bootstrap, what runs differ by pooled over all settings."
    ]
