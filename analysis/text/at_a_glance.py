"""The answer for people who skim: one sentence with its certainty, a table of networks, and what was not measured.

Plain text throughout; whoever puts it on a page escapes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from analysis.design.planned import tested_patients
from analysis.records.cell_means import run_rows
from analysis.records.controls import without_controls
from analysis.records.records import Study, compared, score_word
from analysis.records.rule import Rule
from analysis.records.runs import folds_of
from analysis.stats.coverage import confirmed_cells
from analysis.stats.importance import FEWEST
from analysis.stats.minimum import FAILED, MORE, SHOWN, UNDECIDED, UNJUDGED, UNLEARNED, WAITING, percent
from analysis.stats.searched import searched_settings
from analysis.text.anonymity import reports
from analysis.text.answer import network_names
from analysis.text.words import images_word, listed, number, parameters_word, protocol_mark
from ledger.schema import SETTING

_LEFT = {
    UNDECIDED: "is undecided for {}",
    MORE: "is more than was tried for {}",
    FAILED: "could not be found for {}",
    UNLEARNED: "is not judged for {}",
    UNJUDGED: "is not judged for {}",
    WAITING: "is still open for {}",
}


def in_a_sentence(study: Study, answer: pd.DataFrame) -> str:
    """Which counts suffice for how many networks, how sure that is, and what is left.

    Args:
        answer: of `minimum_images`.
    """
    if run_rows(study).empty:
        return "There is no answer yet: nothing is confirmed on test patients."
    found = answer[answer["outcome"] == SHOWN]
    any_of = f"{'the' if len(answer) == 1 else 'any of the'} {_of(answer)}"
    if answer["outcome"].isin([UNJUDGED, WAITING]).all():
        return f"No image count is judged for {any_of}."
    if found.empty:
        shown = f"No image count is shown to suffice for {any_of}"
    else:
        counts = sorted({int(count) for count in found["minimum_images"]})
        ends = images_word(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]} images"
        shown = f"{ends} suffice{'s' * (counts == [1])} for {_for_whom(found, answer)}"
    tested, folds = tested_patients(study), folds_of(study)
    patients = f", {tested} {f'patients in {folds} folds' if folds else 'test patients'}" if tested else ""
    left = _left_over(answer)
    rest = f" The count {listed(left)}." if left and len(answer) > 1 else ""
    return f"{shown} ({percent(answer['level'].dropna().max())} level{patients}{protocol_mark(study)}).{rest}"


def _for_whom(found: pd.DataFrame, answer: pd.DataFrame) -> str:
    """The networks that a count is shown for (one or more): `net`, `net, one of 3 networks`, `all 3 networks`."""
    if len(answer) == 1:
        return str(found["backbone"].iloc[0])
    if len(found) == len(answer):
        return f"all {_of(answer)}"
    if len(found) == 1:
        return f"{found['backbone'].iloc[0]}, one of {_of(answer)}"
    return f"{len(found)} of {_of(answer)}"


def _left_over(answer: pd.DataFrame) -> list[str]:
    """What is said of networks without a count that is shown to suffice: a phrase for each kind of outcome."""
    others = answer[answer["outcome"] != SHOWN]
    phrases = []
    for phrase, rows in others.groupby(others["outcome"].map(_LEFT), sort=False):
        if len(rows) == 1:
            whom = str(rows["backbone"].iloc[0])
        elif len(rows) == len(answer):
            whom = "all of them"
        elif len(rows) == len(others):
            whom = f"the other {len(rows)}"
        else:
            whom = f"{len(rows)} of them"
        phrases.append(str(phrase).format(whom))
    return phrases


def _of(answer: pd.DataFrame) -> str:
    """How many rows, in words: of networks, or of settings of them."""
    rows, several = len(answer), answer["backbone"].duplicated().any()
    return f"{rows} networks and settings" if several else f"{rows} network{'s' * (rows > 1)}"


def networks(study: Study, answer: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Headings, and a row for each network and setting, by parameters in each setting: parameters, the smallest count
    with its interval, the score at it (or the best that was reached), that of ordinary training, and the verdict."""
    word = score_word(study.records)
    places = answer.groupby(SETTING, sort=False, dropna=False).ngroup()
    answer = answer.assign(place=places).sort_values(["place", "parameters"], kind="stable")
    headings = ["network", "parameters", "images", word, f"{word} of ordinary training", "verdict"]
    rows = zip(network_names(answer), answer.to_dict("records"), strict=True)
    return headings, [
        [
            name,
            "n/a" if pd.isna(row["parameters"]) else parameters_word(row["parameters"]),
            count_words(row),
            reached_words(row),
            number(row["trained_hm"], 2),
            verdict_words(row),
        ]
        for name, row in rows
    ]


def how_to_read(study: Study) -> str:
    """The caption of the table of `networks`."""
    rule, word = Rule.of(study.config), score_word(study.records)
    return (
        f"Images: the smallest count that is shown at the {percent(rule.level)} level to come within {rule.margin:.2f} "
        f"{word} of the same network's ordinary training on all {study.task.seen}, and in brackets the counts that may "
        f"be the true one. Where none is shown, {word} is the best that was reached, with its count."
    )


def count_words(row: Mapping[Any, Any]) -> str:
    """`3 (2 to 3)`; `2 or more` where no count is shown to suffice, and `open` where nothing is known."""
    found, least = row["minimum_images"], row["at_least"]
    if pd.notna(found):
        return f"{found}" if least == found else f"{found} ({least} to {found})"
    return "open" if pd.isna(least) else f"{least} or more"


def reached_words(row: Mapping[Any, Any]) -> str:
    """The score at the smallest count, or the best that was reached, with its count."""
    if pd.notna(row["minimum_images"]):
        return number(row["minimum_hm"], 2)
    return "n/a" if pd.isna(row["best_hm"]) else f"{number(row['best_hm'], 2)} (with {row['best_images']})"


def verdict_words(row: Mapping[Any, Any]) -> str:
    """What is shown of a network, in a few words."""
    found, most = row["minimum_images"], images_word(row["largest_images"])
    if row["outcome"] == SHOWN:
        fewer = "fewer are not ruled out" if row["at_least"] < found else "fewer fall short"
        return "1 image suffices" if found == 1 else f"{images_word(found)} suffice; {fewer}"
    return {
        UNDECIDED: f"undecided with up to {most}",
        MORE: f"needs more than {most}",
        FAILED: "could not be distilled",
        UNLEARNED: "not judged: ordinary training is not shown to learn",
        UNJUDGED: "not judged",
    }.get(row["outcome"], "not confirmed yet")


def for_whom_it_may_not_hold(study: Study) -> str:
    """Patients, networks and counts that the study says nothing of, in a sentence; empty before there is an answer."""
    run = run_rows(without_controls(study))
    if run.empty:
        return ""
    whom = ["real patients (these are phantoms)"] if _of_phantoms(study) else []
    whom.append("patients of other hospitals")
    sizes = run["parameters"].dropna()
    if len(sizes):
        least, most = (parameters_word(size) for size in (sizes.min(), sizes.max()))
        whom.append(f"networks of {'other sizes than' if least == most else 'under'} {least}")
        whom[-1] += " parameters" if least == most else f" or over {most} parameters"
    counts = run["images"].dropna()
    if len(counts):
        whom.append(f"more than {images_word(int(counts.max()))}")
    return f"It may not hold for {listed(whom, 'or')}; what else was not measured ends the page."


def _of_phantoms(study: Study) -> bool:
    data = study.config.get("data")
    return isinstance(data, dict) and data.get("source", "phantom") == "phantom"


def not_measured(study: Study, answer: pd.DataFrame) -> Iterator[str]:
    """What a reader may take for shown and the study did not look at, a line each."""
    records = compared(study.records)
    if _of_phantoms(study):
        yield "Real patients: these are phantoms, drawn by a program."
    yield "Patients of other hospitals: all are of one cohort, and networks may do worse on films of other machines."
    if folds_of(study) is None:
        yield "Other divisions of the patients: there was one, so that other test patients may give other counts."
    run = run_rows(without_controls(study))
    counts = sorted({int(count) for count in run["images"].dropna()})
    if counts:
        between = [count for count in range(1, counts[-1]) if count not in counts]
        skipped = f", nor {listed([*map(str, between)], 'or')}" if 0 < len(between) <= 5 else ""
        yield f"More than {images_word(counts[-1])}{skipped}."
    sizes = run["parameters"].dropna()
    if len(sizes):
        yield f"Networks of under {parameters_word(sizes.min())} or over {parameters_word(sizes.max())} parameters."
    searches = records[records["phase"].eq("search").fillna(False)]
    if not len(searches):
        yield "Other rates: none were searched; every network had the middle of the ranges."
    elif searches.groupby("cell")[["outer_lr", "inner_lr"]].nunique().le(1).all(axis=None):
        yield "Other rates: the search tried one setting of each network."
    elif searched_settings(study)["importance"].isna().all():
        yield f"Which settings matter: that takes {FEWEST} search trials that can be held against others of their cell."
    untrained = int(answer["trained_hm"].isna().sum())
    if untrained:
        whose = "every network" if untrained == len(answer) else f"{untrained} of {_of(answer)}"
        yield f"Ordinary training of {whose}, without which no count is held against anything."
    starts = {str(start) for start in records["start"].dropna()}
    if starts and starts <= {"xavier", "near_linear"}:
        yield "Pretrained starts: every network began from random weights."
    done, total = confirmed_cells(study)
    if done < total:
        yield f"{total - done} of {total} cells, which are not confirmed."
    if not any(True for _ in reports(study)):
        yield "Whether packages give patients away (python -m study.anonymity)."
