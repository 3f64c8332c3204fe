"""The question of the study: how few distilled images suffice, for which network, as its parameters grow.

Three answers side by side. `minimum_images`, the answer of the study: the smallest count that is shown to be not
inferior to ordinary training of the same network by more than a margin, and to work at all (`analysis.stats.evidence`).
With `at_least`, one above the counts shown to fall short, it brackets the true minimum: a count between two that were
tried may be it. Where no count is shown to suffice the bracket is open to the right, and the backbone stays in.
`target_images` and `target_at_least` are the same for a fixed HM. `by_points` is the source paper's rule, worked out
from its Tables 5 and 6 (method.md section 4): the smallest count whose mean HM is within the margin of the best of that
backbone's own counts; a backbone that fails alike at every count looks frugal by it.

Every interval is at the level by itself; what is left if all are to hold at once: `analysis.text.leaning`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.records.cell_means import distilled, full_training, trained_beside, training_means, usual_epochs
from analysis.records.controls import without_controls
from analysis.records.records import Study, compared, planned_records, score_word
from analysis.records.rule import Rule
from analysis.records.runs import folds_of
from analysis.stats.counts import rule_bracket
from analysis.stats.evidence import CELL, INSUFFICIENT, SUFFICIENT, count_evidence
from analysis.stats.shared_counts import alike, among, at_least_among, offered_counts
from ledger.schema import SCHEMA, SETTING

# What may come out for a backbone.
SHOWN, UNDECIDED, MORE = "shown", "undecided", "more than tried"
FAILED = "not distilled"
"""Ordinary training works, and no count that was tried is shown to."""
UNLEARNED, UNJUDGED, WAITING = "not learned", "not judged", "not confirmed"
MINIMUM_SCHEMA = {
    **{name: SCHEMA[name] for name in SETTING},
    "backbone": "string",
    "parameters": "Int64",
    "outcome": "string",
    "minimum_images": "Int64",
    "at_least": "Int64",
    "minimum_hm": "float64",
    "trained_hm": "float64",
    "target_images": "Int64",
    "target_at_least": "Int64",
    "by_points": "Int64",
    "by_points_at_least": "Int64",
    "hm_by_points": "float64",
    "best_images": "Int64",
    "best_hm": "float64",
    "target": "float64",
    "tried": "string",
    "largest_images": "Int64",
    "level": "float64",
    "censored": "bool",
    "reason": "string",
    "rule_reason": "string",
}
_LOWER = ("at_least", "target_at_least", "by_points_at_least")
"""Columns of lower bounds."""


_USED = ["hm", "seeds", "task", "trained_hm", "trained_low", "trained_high", "interval_low"]  # of `count_evidence`
_USED += ["learns", "works", "shown", "reaches"]


def minimum_images(study: Study) -> pd.DataFrame:
    """The smallest sufficient image count of every backbone, within each setting, by the study's `Rule`: of backbones
    that are still to be run as well, and of no control (`analysis.records.controls`).

    Columns: SETTING, backbone, parameters; `outcome`, one of this module's; `minimum_images`, the smallest confirmed
    count shown to suffice, and its mean HM `minimum_hm`; `at_least`, one above the confirmed counts from the smallest
    up that are shown insufficient (1 where none is), at most minimum_images; `trained_hm`, the mean HM of ordinary
    training; `target_images` and `target_at_least`, the same two counts for the fixed HM, `target`; `by_points` and
    `hm_by_points`, the count the papers' rule gives and its mean HM, and `by_points_at_least`, the lower bound of that
    count (`counts.rule_bracket`); best_images, best_hm (mean test HM), tried (image counts confirmed so far),
    largest_images (of these), level, censored, reason, rule_reason.

    `censored` rows have no `minimum_images`, and `reason` says why. Their true minimum is `at_least` or more; nothing
    is known where that is missing too: where nothing is confirmed, no interval is claimed, ordinary training is not
    there or itself not shown to learn, or the backbone could not be distilled. `rule_reason` says why there is no
    `by_points`.
    """
    study = without_controls(study)
    by = CELL[:-1]
    tried, planned = distilled(compared(study.records)), distilled(planned_records(study))
    records = pd.concat([tried, planned[~planned["backbone"].isin(tried["backbone"])]])
    known = records.groupby(by, sort=False, dropna=False)["parameters"].max().reset_index()
    counts = known.merge(count_evidence(study)[[*CELL, *_USED]], on=by, how="left")
    beside = trained_beside(full_training(training_means(study)), usual_epochs(study))
    trained = [beside(row)["hm"].mean() for row in counts.to_dict("records")]
    counts["trained_hm"] = counts["trained_hm"].fillna(pd.Series(trained, dtype="float64"))
    rows = [_minimum(group, study) for _, group in counts.groupby(by, sort=False, dropna=False)]
    return pd.DataFrame(rows, columns=list(MINIMUM_SCHEMA)).astype(MINIMUM_SCHEMA)


def compared_minimum(study: Study) -> pd.DataFrame:
    """`minimum_images` among the counts that all networks of a series were offered, by which networks are compared
    (`analysis.stats.shared_counts`). Where counts are searched, one that needs fewer than the smallest of these needs
    that at most; of one that needs more than the largest that is all that is said. Outcome and reason are those of the
    network's own counts."""
    study = alike(study)
    answer, by = minimum_images(study), [*SETTING, "backbone"]
    offered = offered_counts(study)
    offered = offered[offered["searched"]]
    own = answer[by].merge(offered[[*by, "shared"]], on=by, how="left")["shared"]
    for counts in set(offered["shared"]) - {()}:
        rows = own.index[[each == counts for each in own]]
        found = answer.loc[rows]
        lower = {name: at_least_among(counts, found[name]) for name in _LOWER}
        upper = {name: among(counts, found[name], np.nan) for name in ("minimum_images", "target_images", "by_points")}
        found = found.assign(**lower, **upper, largest_images=found["largest_images"].clip(upper=counts[-1]))
        answer.loc[rows] = found.astype(MINIMUM_SCHEMA)
    return answer


def _minimum(backbone: pd.DataFrame, study: Study) -> dict[str, object]:
    """One row of the answer, from one backbone's image counts."""
    rule = Rule.of(study.config)
    counts = backbone[backbone["hm"].notna()].sort_values("images")
    first = backbone.iloc[0]
    row: dict[str, object] = {name: first[name] for name in [*SETTING, "backbone", "parameters"]}
    row |= {"tried": ", ".join(map(str, counts["images"])), "level": rule.level, "target": rule.target}
    row |= {"censored": True, "outcome": WAITING, "trained_hm": first["trained_hm"]}
    if counts.empty:
        folds = folds_of(study)
        waiting = f"no confirm run has all {folds} folds" if folds else "no confirm trial is done"
        return row | {"reason": waiting, "rule_reason": waiting}
    row |= _by_rule(counts, rule)
    if counts["interval_low"].notna().all():
        at_least, found = _bracket(counts["images"].tolist(), counts["reaches"])
        row |= {"target_at_least": at_least, "target_images": found}
    unjudged = _unjudged(study, counts, rule)
    if unjudged is not None:
        outcome, reason = unjudged
        return row | {"outcome": outcome, "reason": reason}
    return row | _beside_training(counts, rule)


def _by_rule(counts: pd.DataFrame, rule: Rule) -> dict[str, object]:
    """Columns about means alone: the best and the largest count, and the smallest one by the papers' rule."""
    hms = dict(zip(counts["images"].tolist(), counts["hm"], strict=True))
    best = counts.iloc[counts["hm"].argmax()]
    row: dict[str, object] = {"best_images": best["images"], "best_hm": best["hm"], "largest_images": max(hms)}
    row["by_points_at_least"], smallest = rule_bracket(hms, rule.margin, rule.floor)
    if smallest is None:
        return row | {"rule_reason": f"best {_score(counts, best['hm'], rule.floor)} is under {rule.floor:g}"}
    return row | {"rule_reason": "", "by_points": smallest, "hm_by_points": hms[smallest]}


def _beside_training(counts: pd.DataFrame, rule: Rule) -> dict[str, object]:
    """Columns about the comparison with ordinary training: the bracket of the smallest count, and the outcome."""
    images = counts["images"].tolist()
    best = counts.iloc[counts["hm"].argmax()]
    at_least, found = _bracket(images, counts["shown"])
    row: dict[str, object] = {"at_least": at_least, "minimum_images": found}
    if found is not None:
        hms = dict(zip(images, counts["hm"], strict=True))
        return row | {"minimum_hm": hms[found], "censored": False, "outcome": SHOWN, "reason": ""}
    if at_least <= images[-1]:
        undecided = f"no count is shown to suffice at the {percent(rule.level)} level"
        return row | {"outcome": UNDECIDED, "reason": undecided}
    trained = _score(counts, best["trained_hm"])
    if counts["works"].any():
        short = f"every count tried falls short of ordinary training ({trained}; best {_score(counts, best['hm'])})"
        return row | {"outcome": MORE, "reason": short}
    best_hm = _score(counts, best["hm"], rule.floor)
    failed = f"ordinary training has {trained}, and no count tried is shown to be above {rule.floor:g} (best {best_hm})"
    return row | {"outcome": FAILED, "at_least": None, "reason": failed}


def _bracket(images: Sequence[int], shown: pd.Series) -> tuple[int, int | None]:
    """One above the counts from the smallest up that are insufficient, and the smallest sufficient one.

    Between a count that falls short and the next that was tried, one that was not may do.
    """
    words = shown.tolist()
    passable = [count for count, word in zip(images, words, strict=True) if word != INSUFFICIENT]
    short = [count for count in images if count < min(passable, default=images[-1] + 1)]
    return max(short, default=0) + 1, images[words.index(SUFFICIENT)] if SUFFICIENT in words else None


def _unjudged(study: Study, counts: pd.DataFrame, rule: Rule) -> tuple[str, str] | None:
    """Why a backbone's counts cannot be held against its ordinary training; None where they can."""
    if counts["trained_hm"].isna().any():
        return UNJUDGED, "the study has no ordinary training (grid.method=[sldd,train]) to hold images against"
    if counts["trained_low"].isna().any() or counts["interval_low"].isna().any():
        if (counts["seeds"] < 2).all():
            return UNJUDGED, "with one confirm seed nothing is known of other seeds, so no interval is claimed"
        votes = "votes of the same test patients, of each kind, with images and in ordinary training"
        return UNJUDGED, f"an interval takes {votes}, at two seeds"
    if not counts["learns"].all():
        low, high = counts[["trained_low", "trained_high"]].iloc[0]
        trained = _score(counts, counts["trained_hm"].iloc[0])
        what = f"ordinary training itself is not shown to be above {rule.floor:g}"
        return UNLEARNED, f"{what} ({trained}, {percent(rule.level)} interval {low:.2f} to {high:.2f})"
    return None


def _score(counts: pd.DataFrame, score: float, floor: float | None = None) -> str:
    """`HM 0.52`; more exactly where it would round to the floor, which it is under."""
    decimals = 3 if floor is not None and score < floor <= float(f"{score:.2f}") else 2
    return f"{score_word(counts)} {score:.{decimals}f}"


def judged(answer: pd.DataFrame) -> bool:
    """Whether any row of `minimum_images` has a count, or a bound of one, from being held against ordinary training."""
    return answer.empty or bool(answer["at_least"].notna().any())


def shown_points(answer: pd.DataFrame) -> pd.DataFrame:
    """Rows of `minimum_images` as the bounds that `analysis.stats.ranks.rank_tests` takes: beside ordinary training, or
    for the fixed HM where none is `judged`.

    Columns: backbone, parameters, reason, `lower` (NaN where nothing is known), `upper` (infinite where none is shown).
    """
    low, high, reason = "at_least", "minimum_images", answer["reason"]
    if not judged(answer):
        low, high = "target_at_least", "target_images"
        reason = reason.mask(answer[low].notna() & answer[high].isna(), "no count is shown to reach it")
    return answer[["backbone", "parameters"]].assign(
        reason=reason, lower=answer[low].astype("float64"), upper=answer[high].astype("float64").fillna(np.inf)
    )


def rule_points(answer: pd.DataFrame) -> pd.DataFrame:
    """The same by the papers' rule: a single count where all below it were tried, or more than any that was tried."""
    lower, upper = (answer[name].astype("float64") for name in ("by_points_at_least", "by_points"))
    return answer[["backbone", "parameters", "reason"]].assign(lower=lower, upper=upper.fillna(np.inf))


def known_points(points: pd.DataFrame) -> pd.DataFrame:
    """Rows of `shown_points` or `rule_points` of networks whose size and count something is known of, as float64."""
    numbers = points[["parameters", "lower", "upper"]].apply(pd.to_numeric).astype("float64")
    says = numbers.notna().all(axis=1) & ((numbers["lower"] > 1) | np.isfinite(numbers["upper"]))
    return points.assign(**numbers)[says]


def bracket(answer: pd.Series, view: str = "minimum") -> str:
    """Where the true minimum lies, in words, of a row of `minimum_images`: `between 2 and more than 3`.

    Args:
        view: `minimum`, beside ordinary training, or `target`, the smallest count of the fixed HM.
    """
    low, high = ("at_least", "minimum_images") if view == "minimum" else ("target_at_least", "target_images")
    low, high, most = answer[low], answer[high], answer["largest_images"]
    if view == "minimum" and answer["outcome"] == FAILED:
        return f"could not be distilled with {answer['tried']}"
    if pd.isna(low):
        return "unknown"
    if pd.isna(high):
        return f"more than {most}" if low > most else f"between {low} and more than {most}"
    return f"exactly {low}" if low == high else f"between {low} and {high}"


def percent(level: float) -> str:
    """A level as people say it: `95 %`."""
    return f"{100 * level:g} %"
