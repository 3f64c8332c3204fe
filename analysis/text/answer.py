"""Answer of a study in sentences: which image count suffices for which network, by which rule, and what is not shown.

Plain text throughout; whoever puts it on a page escapes it.
"""

from __future__ import annotations

import pandas as pd

from analysis.records.cell_means import full_training, run_rows, setting_labels, training_means
from analysis.records.records import Study, score_word
from analysis.records.rule import Rule
from analysis.records.runs import folds_of, read_run
from analysis.stats.minimum import FAILED, MORE, SHOWN, UNDECIDED, UNJUDGED, UNLEARNED, percent
from analysis.text.words import images_word, listed, number, protocol_mark

MOST_NAMED = 8  # answers spelled out one by one; beyond, the figure tells it better
NOT_SHOWN = {
    UNDECIDED: "Undecided for",
    MORE: "More than were tried are needed by",
    FAILED: "Could not be distilled with the counts tried:",
    UNLEARNED: "Not judged:",
    UNJUDGED: "Not judged:",
}


def answered(study: Study, answer: pd.DataFrame, tested: int | None) -> str:
    """What is shown of each network's smallest count beside its ordinary training, and what is not.

    Args:
        answer: of `minimum_images`.
        tested: test patients, where the study says how many.
    """
    where = f"Measured on {_tested(study, tested)}{protocol_mark(study)}"
    decided = answer[answer["tried"] != ""]
    if decided.empty:
        return f"{where}.{_trained(study)}"
    rule, word, level = Rule.of(study.config), score_word(study.records), percent(decided["level"].iloc[0])
    decided = decided.assign(name=network_names(decided))
    found = decided[decided["outcome"] == SHOWN]
    if len(decided) > MOST_NAMED:
        shown = f"a count is shown to suffice for {len(found)} of {len(decided)} networks and settings"
        sentences = [f"{shown}{_ends(found['minimum_images'])}"]
    else:
        each = [
            f"{_suffice(row['minimum_images'])} for {row['name']} "
            f"({word} {number(row['minimum_hm'], 2)}{_fewer(row['at_least'], row['minimum_images'])})"
            for _, row in found.iterrows()
        ]
        sentences = ["; ".join(each)] if each else []
    sentences += [
        f"{NOT_SHOWN[str(outcome)]} {_some(group)}{'' if outcome == UNDECIDED else f'; {reason}'}"
        for (outcome, reason), group in decided[decided["outcome"] != SHOWN].groupby(["outcome", "reason"], sort=False)
    ]
    meaning = ""
    if decided["outcome"].ne(UNJUDGED).any():
        meaning = (
            f" A count suffices where the whole {level} interval has it at most {rule.margin:.2f} {word} under "
            f"ordinary training of the same network, and above {rule.floor:g}."
        )
    if decided["outcome"].eq(UNJUDGED).all():
        return f"{where}, no count can be claimed to suffice: {'; '.join(decided['reason'].unique())}.{_trained(study)}"
    found_none = "" if len(found) else "no count is shown to suffice. "
    return f"{where}, at the {level} level: {found_none}{'. '.join(sentences)}.{meaning}{_trained(study)}"


def other_views(study: Study, answer: pd.DataFrame) -> str:
    """The smallest counts for the fixed HM, and those by the papers' rule, each called what it is."""
    decided = answer[answer["tried"] != ""]
    if decided.empty:
        return ""
    rule, word = Rule.of(study.config), score_word(study.records)
    decided = decided.assign(name=network_names(decided))
    parts = []
    if decided["target_at_least"].notna().any():
        reached = decided.dropna(subset="target_images")
        parts.append(
            f"Second view, {word} {rule.target:.2f} whatever ordinary training has: shown at the "
            f"{percent(rule.level)} level for {_counts(reached, 'target_images', len(decided))}."
        )
    points = decided.dropna(subset="by_points")
    parts.append(
        f"By the papers' rule (means alone, within {rule.margin:.2f} of the network's own best count, so that one "
        f"which fails alike at every count looks frugal): {_counts(points, 'by_points', len(decided))}."
    )
    if open_below := int(points["by_points_at_least"].lt(points["by_points"]).sum()):
        parts.append(f"Of {open_below} of these some smaller counts were not tried, which may do by this rule.")
    never = decided[decided["by_points"].isna()]
    if len(never) and len(decided) <= MOST_NAMED:
        each = zip(never["name"], never["rule_reason"], strict=True)
        parts.append(f"None for {listed([f'{name} ({reason})' for name, reason in each])}.")
    return " ".join(parts)


def network_names(answer: pd.DataFrame) -> list[str]:
    """Each row's network, with its setting where that tells it apart."""
    both = zip(answer["backbone"], setting_labels(answer), strict=True)
    return [f"{name} ({setting})" if setting else str(name) for name, setting in both]


def _suffice(count: int) -> str:
    return f"{images_word(count)} suffice{'s' * (count == 1)}"


def _fewer(at_least: int, found: int) -> str:
    """What is known of fewer images than were found to suffice."""
    if found == 1:
        return ""
    return "; fewer fall short" if at_least == found else "; fewer are not ruled out"


def _some(group: pd.DataFrame) -> str:
    """Networks by name, each with what is known of its count; how many where they are many."""
    if len(group) > MOST_NAMED:
        return f"{len(group)} networks and settings"
    least = [f" (at least {low})" if pd.notna(low) and low > 1 else "" for low in group["at_least"]]
    more = group["outcome"].eq(MORE)
    names = zip(group["name"], least, more, strict=True)
    return listed([name if beyond else f"{name}{low}" for name, low, beyond in names])


def _counts(found: pd.DataFrame, column: str, of: int) -> str:
    """`2 images for net, 3 images for other`; how many networks, and from which count to which, where they are many."""
    if found.empty:
        return "no network"
    if of > MOST_NAMED:
        return f"{len(found)} of {of} networks and settings{_ends(found[column])}"
    score = "hm_by_points" if column == "by_points" else None
    return listed(
        [
            f"{row['name']} with {images_word(row[column])}" + (f" (mean {number(row[score], 2)})" if score else "")
            for _, row in found.iterrows()
        ]
    )


def _ends(counts: pd.Series) -> str:
    return f", from {counts.min()} to {counts.max()}" if len(counts) else ""


def _tested(study: Study, tested: int | None) -> str:
    """Whom the test scores are about; where patients rotate, all that a run tested."""
    folds = folds_of(study)
    if folds is None:
        return f"{tested} test patients" if tested else "the test patients"
    trials = run_rows(study)["trials"].iloc[0]
    run = read_run(study, trials)
    return f"{len(set(run.patients)) if run else 'the'} patients, each a test patient in one of {folds} folds"


def _trained(study: Study) -> str:
    means = full_training(training_means(study))
    if means.empty:
        return ""
    scores = [f"{number(hm, 2)} for {name}" for hm, name in zip(means["hm"], network_names(means), strict=True)]
    return f" Ordinary training on all {study.task.seen} gives {score_word(study.records)} {listed(scores)}."
