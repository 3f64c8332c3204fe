"""What confirm trials show of each image count: its HM, and how far that is under the network's ordinary training.

Both are intervals over patients and seeds (`analysis.records.tasks`, `analysis.stats.seeds`) at the study's level. A
count is `sufficient` where it is not inferior to ordinary training by more than the margin, the whole interval of the
difference being within it (ICH E9, 1998, 3.3.2), and the whole interval of its own HM is above the floor. Formulas:
docs/statistics.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from analysis.records.bootstrap import generator
from analysis.records.cell_means import cell_means, distilled, full_training, run_rows, trained_beside, usual_epochs
from analysis.records.controls import are_controls
from analysis.records.records import Study, score
from analysis.records.rule import Rule
from analysis.records.runs import read_run
from analysis.stats.seeds import PARTS, intervals, parts, shortfalls
from ledger.schema import SCHEMA, SETTING

CELL = [*SETTING, "backbone", "images"]
SUFFICIENT, INSUFFICIENT, OPEN = "sufficient", "insufficient", "open"
SLACK = 1e-9  # that of the rule on points: a difference of exactly the margin must not fall to rounding
TRAINED = {"trained_hm": "float64", "trained_seeds": "Int64", "trained_as": "string"}
TRAINED_PARTS = [f"trained_{name}" for name in PARTS]


@lru_cache(maxsize=4)  # a page asks for it several times, and it reads every confirm trial's votes
def count_evidence(study: Study) -> pd.DataFrame:
    """`cell_means` of `study` with what its patients and seeds show of each count; not to be written to.

    Further columns: `interval_low` and `interval_high` (HM); `trained_hm`, `trained_low` and `trained_high`, those of
    ordinary training of the same network (`cell_means.trained_beside`); `shortfall`, `shortfall_low` and
    `shortfall_high`, how far the count's HM is under that; `level`; `learns`, whether ordinary training is shown to be
    above the floor; `works`, whether the count is; `shown` against ordinary training and `reaches` against the fixed
    HM, each `sufficient`, `insufficient` or `open`.

    Intervals are missing where no cell of the study has two seeds or the trials hold no patients' votes; shortfalls
    also where the study has no ordinary training of the network, or not on the same test patients.
    """
    rule = Rule.of(study.config)
    cells, references = _resampled_cells(study, rule)
    means = cell_means(study).merge(cells, on=CELL, how="left").merge(references, on=CELL[:-1], how="left")
    return _with_verdicts(_with_intervals(study, means, rule.level), rule)


def _resampled_cells(study: Study, rule: Rule) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Variance parts of each distilled cell, and the ordinary training that each network and setting is compared with.

    Columns of the first: CELL, PARTS and TRAINED_PARTS; of the second: CELL without images, and TRAINED.
    """
    by, rows = CELL[:-1], run_rows(study)
    rows = rows.assign(score=score(rows, "test"))[[*CELL, "seed", "trial", "trials", "score"]]
    rows = rows.sort_values(["images", "seed"], kind="stable")
    beside = trained_beside(full_training(rows), usual_epochs(study))
    cells: list[dict[Any, Any]] = []
    references: list[dict[Any, Any]] = []
    for names, runs in distilled(rows).groupby(by, sort=False, dropna=False):
        setting = dict(zip(by, names, strict=True))
        trained = beside(setting)
        if len(trained):
            facts = {"trained_hm": trained["score"].mean(), "trained_seeds": len(trained)}
            references.append(setting | facts | {"trained_as": trained["trial"].iloc[0]})
        cells += [setting | row for row in _resampled(study, names, trained, runs, rule)]
    return _frame(cells, CELL, [*PARTS, *TRAINED_PARTS]), _frame(references, by, [], TRAINED)


def _with_intervals(study: Study, means: pd.DataFrame, level: float) -> pd.DataFrame:
    """`means` with the intervals of the score, of ordinary training and of the shortfall, without PARTS."""
    # Cells of a group differ in their network alone.
    means = means.assign(group=means.groupby([*SETTING, "images"], dropna=False, sort=False).ngroup())
    # Seeds of real images (controls) may differ by more or less than those of distilled ones: each kind is a pool of
    # its own. Ordinary training is pooled with the distilled ones (`_trained_intervals`).
    control = are_controls(study, means["method"])
    pools = [means[kind] for kind in (~control, control) if kind.any()] or [means]
    means = means.join(pd.concat([intervals(pool, level) for pool in pools]))
    reference = _trained_intervals(means, level, pools[0])
    means = means.join(shortfalls(means, reference))
    means = means.assign(trained_low=reference["interval_low"], trained_high=reference["interval_high"])
    return means.drop(columns=[*PARTS, *TRAINED_PARTS, "group", "variance", "trained_seeds", "trained_as"])


def _with_verdicts(means: pd.DataFrame, rule: Rule) -> pd.DataFrame:
    """`means` with what the intervals show by the rule: `learns`, `works`, `shown` and `reaches`."""
    # A missing bound is NaN, and no comparison with NaN holds.
    means = means.assign(learns=means["trained_low"] >= rule.floor, works=means["interval_low"] >= rule.floor)
    enough = (means["shortfall_high"] <= rule.margin + SLACK) & means["works"] & means["learns"]
    short = (means["shortfall_low"] > rule.margin + SLACK) | (means["interval_high"] < rule.floor)
    above_target = means["interval_low"] >= rule.target - SLACK
    below_target = means["interval_high"] < rule.target - SLACK
    shown, reaches = _shown(enough, short & means["learns"]), _shown(above_target, below_target)
    return means.assign(shown=shown, reaches=reaches, level=float(rule.level))


def _shown(enough: pd.Series, short: pd.Series) -> pd.Series:
    """SUFFICIENT where `enough` holds, INSUFFICIENT where `short` does, OPEN elsewhere."""
    words = np.select([enough, short], [SUFFICIENT, INSUFFICIENT], OPEN)
    return pd.Series(words, index=enough.index, dtype="string")


def _frame(
    rows: list[dict[Any, Any]], keys: list[str], numbers: list[str], others: dict[str, str] | None = None
) -> pd.DataFrame:
    columns = {name: SCHEMA[name] for name in keys} | dict.fromkeys(numbers, "float64") | (others or {})
    return pd.DataFrame(rows, columns=list(columns)).astype(columns)


def _trained_intervals(means: pd.DataFrame, level: float, pool: pd.DataFrame) -> pd.DataFrame:
    """`hm` and `intervals` of each row's ordinary training, a group of its own. A study has few cells of it: what seeds
    differ by is pooled over these and the `pool`, where it is hardly less; the other way round it would make images
    look steadier."""
    trained = means[["trained_hm", "trained_seeds", *TRAINED_PARTS]].set_axis(["hm", "seeds", *PARTS], axis=1)
    trained = trained.assign(trial=means["trained_as"])
    # The same training may stand beside several settings: it counts once, those of the pool first.
    once = trained.assign(beside=~trained.index.isin(pool.index))[trained["trial"].notna()]
    once = once.sort_values(["beside", "patients_variance"]).drop_duplicates("trial").assign(group=-1)
    known = once.join(intervals(once, level, pd.concat([once, pool])[[*PARTS, "group"]])).set_index("trial")[
        ["interval_low", "interval_high", "variance"]
    ]
    return trained[["hm", "trial"]].join(known, on="trial")


def setting_generator(study: Study, names: Iterable[Any]) -> np.random.Generator:
    """Random numbers of one setting and backbone, whose values of the first columns of `CELL` are `names`."""
    told = [("" if pd.isna(name) else name, column) for column, name in zip(CELL, names, strict=False)]
    # What older studies have no value of counts where there is one: their bounds stay as they were.
    return generator(study.name, *(name for name, column in told if name or column not in ("transfer", "chain")))


def _resampled(
    study: Study, names: tuple[Any, ...], trained: pd.DataFrame, runs: pd.DataFrame, rule: Rule
) -> list[dict[Any, Any]]:
    """PARTS of each image count of one backbone in one setting, and of the ordinary training beside it where that met
    the same patients; none where there is nothing to resample."""
    rng = setting_generator(study, names)
    read, beside = ([read_run(study, each) for each in rows["trials"]] for rows in (runs, trained))
    if None in read:
        return []
    found = study.task.resampled(read, [] if None in beside else beside, rule.resamples, rng)
    if found is None:
        return []
    images = np.concatenate([np.zeros(len(found.scores) - len(runs), np.int64), runs["images"].to_numpy(np.int64)])
    counts = parts(found.scores, found.drawn, images, found.patients).to_dict("records")
    own = {f"trained_{name}": row[name] for row in counts if row["images"] == 0 for name in PARTS}
    return [row | own for row in counts if row["images"] > 0]
