"""The question of the study: how few distilled images suffice, for which network, as its parameters grow.

Two answers side by side. `by_points` is the source paper's rule, worked out from its Tables 5 and 6 (method.md section
4): the smallest image count whose mean HM is within a margin of the best of that backbone. `minimum_images` is ours:
the smallest count that a bootstrap over patients and seeds shows to be within the margin of every other count, at a
stated level; with `at_least`, one above the counts shown to be insufficient, it brackets the true minimum: a count
between two that were tried may be it. Where no count is shown to suffice the bracket is open to the right (the backbone
is censored) and the backbone stays in. Every bound is at the level by itself; nothing is corrected for how many counts
and backbones a study compares.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from analysis.records.cell_means import cell_means, distilled, run_rows
from analysis.records.multilabel_runs import alike, read_film_run, resampled_scores
from analysis.records.records import Study, compared, score_word
from analysis.records.rule import Rule
from analysis.records.runs import align, folds_of, read_run
from analysis.stats.bootstrap import Bootstrapped, bootstrap, generator, summed_up
from analysis.stats.counts import smallest_sufficient
from analysis.stats.seeds import PARTS, intervals
from ledger.schema import SCHEMA, SETTING

CELL = [*SETTING, "backbone", "images"]
SUFFICIENT, INSUFFICIENT, OPEN = "sufficient", "insufficient", "open"
BOUNDS = ["shortfall", "shortfall_low", "shortfall_high"]
MINIMUM_SCHEMA = {
    **{name: SCHEMA[name] for name in SETTING},
    "backbone": "string",
    "parameters": "Int64",
    "minimum_images": "Int64",
    "at_least": "Int64",
    "by_points": "Int64",
    "hm_by_points": "float64",
    "best_images": "Int64",
    "best_hm": "float64",
    "tried": "string",
    "largest_images": "Int64",
    "level": "float64",
    "censored": "bool",
    "reason": "string",
}


@lru_cache(maxsize=4)  # a page asks for it several times, and it reads every confirm trial's votes
def count_evidence(study: Study) -> pd.DataFrame:
    """`cell_means` of `study` with what the bootstrap says of each count; not to be written to.

    Further columns: `interval_low` and `interval_high` (HM, see `analysis.stats.seeds`), `shortfall`, `shortfall_low`
    and `shortfall_high` (how far HM is under the best of the backbone's *other* counts), see `bootstrap.Bootstrapped`;
    `level`; and `shown`, what that shows: `insufficient` (even the lower bound of the shortfall is above the margin, or
    even the interval's upper end under the floor), `sufficient` (even the upper bound of the shortfall is within the
    margin) or `open`.

    All but `shown` and `level` are missing where the trials hold no patients' votes, shortfalls also where a backbone
    has a single count, and the interval where no cell of the study has two seeds.
    """
    rule, by = Rule.of(study.config), CELL[:-1]
    found = [
        row | dict(zip(by, names, strict=True))
        for names, runs in distilled(run_rows(study)).groupby(by, sort=False, dropna=False)
        for row in _bootstrapped(study, names, runs, rule)
    ]
    columns = {name: SCHEMA[name] for name in CELL} | dict.fromkeys([*PARTS, *BOUNDS], "float64")
    bounds = pd.DataFrame(found, columns=list(columns)).astype(columns)
    means = cell_means(study).merge(bounds, on=CELL, how="left")
    means = means.join(intervals(means, rule.level)).drop(columns=PARTS)
    shown = pd.Series(OPEN, index=means.index, dtype="string")
    # Where a bound is missing, no comparison holds. The slack is that of the rule on points.
    shown[means["shortfall_high"] <= rule.margin + 1e-9] = SUFFICIENT
    shown[(means["shortfall_low"] > rule.margin + 1e-9) | (means["interval_high"] < rule.floor)] = INSUFFICIENT
    return means.assign(shown=shown, level=float(rule.level))


def setting_generator(study: Study, names: Iterable[Any]) -> np.random.Generator:
    """Random numbers of one setting and backbone, whose values of the first columns of `CELL` are `names`."""
    told = [("" if pd.isna(name) else name, column) for column, name in zip(CELL, names, strict=False)]
    # What older studies have no value of counts where there is one: their bounds stay as they were.
    return generator(study.name, *(name for name, column in told if name or column not in ("transfer", "chain")))


def _bootstrapped(study: Study, names: tuple[Any, ...], rows: pd.DataFrame, rule: Rule) -> list[dict[Any, Any]]:
    """One row a count from the runs of one backbone in one setting; none where there is nothing to resample."""
    if rows["task"].eq("multilabel").any():
        return _bootstrapped_films(study, names, rows, rule)
    runs = [run for trials in rows["trials"] if (run := read_run(study, trials)) is not None]
    if len(runs) < len(rows):
        return []
    labels, calls = align(runs)
    if labels.all() or not labels.any():
        return []
    found = bootstrap(
        calls,
        labels,
        rows["images"].to_numpy(np.int64),
        rows["seed"].fillna(-1).to_numpy(np.int64),
        level=rule.level,
        resamples=rule.resamples,
        rng=setting_generator(study, names),
    )
    return _records(found)


def _bootstrapped_films(study: Study, names: tuple[Any, ...], rows: pd.DataFrame, rule: Rule) -> list[dict[Any, Any]]:
    """The same for films with findings, by macro AUC."""
    rows = rows.sort_values(["images", "seed"], kind="stable")
    runs = [run for trials in rows["trials"] if (run := read_film_run(study, trials)) is not None]
    if len(runs) < len(rows) or not alike(runs):
        return []
    rng = setting_generator(study, names)
    aucs = resampled_scores(runs, rule.resamples, rng)
    defined = ~np.isnan(aucs).any(axis=0)
    if not defined.any():
        return []
    images, seeds = rows["images"].to_numpy(np.int64), rows["seed"].fillna(-1).to_numpy(np.int64)
    scores = np.array([run.auc for run in runs])
    return _records(summed_up(scores, images, seeds, aucs[:, defined], rule.level, rng))


def _records(found: Bootstrapped) -> list[dict[Any, Any]]:
    columns = {name: values for name, values in vars(found).items() if name not in ("hm", "parts")}
    return pd.DataFrame(columns).join(found.parts).to_dict("records")


def minimum_images(study: Study) -> pd.DataFrame:
    """The smallest sufficient image count of every backbone, within each setting, by the study's `Rule`.

    Columns: SETTING, backbone, parameters; `minimum_images`, the smallest confirmed count shown to suffice,
    `at_least`, one above the confirmed counts from the smallest up that are shown insufficient (1 where none is), with
    at_least <= minimum_images; `by_points` and `hm_by_points`, the count the papers' rule gives and its mean HM;
    best_images, best_hm (mean test HM), tried (image counts confirmed so far), largest_images (of these), level,
    censored, reason.

    `censored` rows have no `minimum_images`: the true minimum is `at_least` or more, and nothing is known where that is
    missing too. `reason` says why: no confirm trial is done, the best mean HM is under the floor (these two have no
    `by_points` either), a single count is confirmed (sufficient is a comparison, so by points it passes and a bootstrap
    shows nothing), there are no votes to resample, or no count is shown to suffice.
    """
    records = distilled(compared(study.records))
    by = CELL[:-1]
    known = records.groupby(by, sort=False, dropna=False)["parameters"].max().reset_index()
    counts = known.merge(count_evidence(study).drop(columns="parameters"), on=by, how="left")
    rows = [_minimum(group, study) for _, group in counts.groupby(by, sort=False, dropna=False)]
    return pd.DataFrame(rows, columns=list(MINIMUM_SCHEMA)).astype(MINIMUM_SCHEMA)


def _minimum(backbone: pd.DataFrame, study: Study) -> dict[str, object]:
    """One row of the answer from one backbone's image counts."""
    rule = Rule.of(study.config)
    counts = backbone[backbone["hm"].notna()].sort_values("images")
    row: dict[str, object] = {name: backbone[name].iloc[0] for name in [*SETTING, "backbone", "parameters"]}
    row |= {"tried": ", ".join(map(str, counts["images"])), "level": rule.level, "censored": True}
    if counts.empty:
        folds = folds_of(study)
        waiting = f"no confirm run has all {folds} folds" if folds else "no confirm trial is done"
        return row | {"reason": waiting}
    images, shown = counts["images"].tolist(), counts["shown"].tolist()
    passable = [count for count, what in zip(images, shown, strict=True) if what != INSUFFICIENT]
    best = counts.iloc[counts["hm"].argmax()]
    row |= {"best_images": best["images"], "best_hm": best["hm"], "largest_images": images[-1]}
    # Between a count that falls short and the next that was tried, one that was not may do.
    short = [count for count in images if count < min(passable, default=images[-1] + 1)]
    row |= {"at_least": max(short, default=0) + 1}
    hms = dict(zip(images, counts["hm"], strict=True))
    smallest = smallest_sufficient(hms, rule.margin, rule.floor)
    if smallest is None:
        decimals = 2 if float(f"{best['hm']:.2f}") < rule.floor else 3  # 0.50 is not under 0.5
        return row | {"reason": f"best {score_word(counts)} {best['hm']:.{decimals}f} is under {rule.floor:g}"}
    row |= {"by_points": smallest, "hm_by_points": hms[smallest]}
    if SUFFICIENT in shown:
        return row | {"minimum_images": images[shown.index(SUFFICIENT)], "censored": False, "reason": ""}
    if len(images) == 1:
        return row | {"reason": "a single count is confirmed, with nothing to compare it to"}
    if counts["shortfall"].isna().all():
        return row | {"reason": "no patients' votes are kept to resample"}
    return row | {"reason": f"no count is shown to suffice at the {percent(rule.level)} level"}


def shown_points(answer: pd.DataFrame) -> pd.DataFrame:
    """Rows of `minimum_images` as the bounds that `analysis.stats.rank_tests` takes, by what the bootstrap shows.

    Columns: backbone, parameters, reason, `lower` (NaN where nothing is known), `upper` (infinite where none is shown).
    """
    return answer[["backbone", "parameters", "reason"]].assign(
        lower=answer["at_least"].astype("float64"), upper=answer["minimum_images"].astype("float64").fillna(np.inf)
    )


def rule_points(answer: pd.DataFrame) -> pd.DataFrame:
    """The same by the papers' rule: a single count, or more than any that was tried where none suffices."""
    count, found = answer["by_points"].astype("float64"), answer["by_points"].notna()
    beyond = (answer["largest_images"] + 1).astype("float64")
    return shown_points(answer).assign(lower=count.where(found, beyond), upper=count.where(found, np.inf))


def bracket(answer: pd.Series) -> str:
    """Where the true minimum lies, in words, of a row of `minimum_images`: `between 2 and more than 3`."""
    low, high, most = answer["at_least"], answer["minimum_images"], answer["largest_images"]
    if pd.isna(low):
        return "unknown"
    if pd.isna(high):
        return f"more than {most}" if low > most else f"between {low} and more than {most}"
    return f"exactly {low}" if low == high else f"between {low} and {high}"


def percent(level: float) -> str:
    """A level as people say it: `95 %`."""
    return f"{100 * level:g} %"
