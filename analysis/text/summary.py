"""Sentences that sum up a study: question, answer, protocol, progress, failures.

Plain text throughout; whoever puts it on a page escapes it.
"""

from __future__ import annotations

import pandas as pd

from analysis.records.cell_means import cell_means, full_training_means, run_rows, setting_labels
from analysis.records.multilabel_runs import read_film_run
from analysis.records.records import Study, compared, score_word
from analysis.records.runs import folds_of, read_run
from analysis.stats.coverage import confirmed_cells
from analysis.stats.minimum import bracket, minimum_images, percent
from analysis.text.conclusion import verdict
from analysis.text.words import images_word, number, parameters_word, protocol_mark

MOST_NAMED = 8  # answers spelled out one by one; beyond, the figure tells it better
HONEST = "Thresholds and states were chosen on validation patients; test patients were scored once."
FILMS = (
    "AUC is the mean over the findings that some test films have and others have not. States were chosen on validation "
    "patients; test patients were scored once."
)
SEARCHED = (
    "Image counts were searched: which of them were run was decided by confirm trials on test patients; rates, states "
    "and thresholds were not."
)
PAPER_PROTOCOL = (
    "This study ran the papers' protocol: states were chosen on the test patients themselves, "
    "so its test scores are optimistic and not comparable with an ordinary study's."
)


def headline(study: Study) -> list[str]:
    """Three sentences with the measured numbers: asked, answered, and what it says about parameters."""
    answer = minimum_images(study)
    if run_rows(study).empty:
        through = f" in all {folds} folds" if (folds := folds_of(study)) else ""
        return [_asked(study), f"There is no answer yet: no cell is confirmed on test patients{through}."]
    return [_asked(study), _answered(study, answer), verdict(answer)]


def _asked(study: Study) -> str:
    cells = pd.DataFrame(study.compared_cells, columns=["backbone", "parameters", "images"])
    source = cells if len(cells) else compared(study.records)
    counts = [str(count) for count in sorted(_integers(source["images"]))]
    sizes = _integers(source["parameters"])
    ends = dict.fromkeys(parameters_word(size) for size in (min(sizes), max(sizes))) if sizes else {}
    # Where patients rotate each takes its turn at everything: no number would be that of the training patients.
    train = None if folds_of(study) else split_sizes(study).get("train")
    whose = f"the radiographs of {train} training patients" if train else "the training patients' radiographs"
    networks = source["backbone"].nunique()
    of = f" of {' to '.join(ends)} parameters" if ends else ""
    tried = f", trying {_listed(counts, 'or')} image{'s' * (counts != ['1'])}" if counts else ""
    return (
        f"Asked: how few distilled images can stand in for {whose}, "
        f"for {networks} network{'' if networks == 1 else 's'}{of}{tried}?"
    )


def _integers(column: pd.Series) -> set[int]:
    return {int(value) for value in pd.to_numeric(column, errors="coerce").dropna()}


def _answered(study: Study, answer: pd.DataFrame) -> str:
    where = f"Measured on {_tested(study)}{protocol_mark(study)}, by the papers' rule: "
    decided, word = answer[answer["tried"] != ""], score_word(study.records)
    if len(decided) > MOST_NAMED:
        found, shown = decided["by_points"].dropna(), decided["minimum_images"].dropna()
        return (
            f"{where}a count suffices for {len(found)} of {len(decided)} networks and settings{_ends(found)}; "
            f"at the {percent(decided['level'].iloc[0])} level one is shown to suffice for {len(shown)}{_ends(shown)}."
        )
    answers = []
    for (_, row), setting in zip(decided.iterrows(), setting_labels(decided), strict=True):
        name = f"{row['backbone']} ({setting})" if setting else row["backbone"]
        if pd.isna(row["by_points"]):
            answers.append(f"no count suffices for {name} ({row['reason']})")
        else:
            best = f"; its best is {number(row['best_hm'], 2)}, with {images_word(row['best_images'])}"
            best = ", its best" if row["best_images"] == row["by_points"] else best
            answers.append(
                f"{name} needs {images_word(row['by_points'])} ({word} {number(row['hm_by_points'], 2)}{best}), "
                f"at the {percent(row['level'])} level {bracket(row)}"
            )
    return f"{where}{'; '.join(answers)}.{_trained(study)}"


def _tested(study: Study) -> str:
    """Whom the test scores are about; where patients rotate, all that a run tested."""
    folds = folds_of(study)
    if folds is None:
        patients = split_sizes(study).get("test")
        return f"{patients} test patients" if patients else "the test patients"
    trials = run_rows(study)["trials"].iloc[0]
    run = read_run(study, trials) or read_film_run(study, trials)
    return f"{len(set(run.patients)) if run else 'the'} patients, each a test patient in one of {folds} folds"


def _ends(counts: pd.Series) -> str:
    return f", from {counts.min()} to {counts.max()}" if len(counts) else ""


def _trained(study: Study) -> str:
    means = full_training_means(study)
    scores = []
    for (_, row), setting in zip(means.iterrows(), setting_labels(means), strict=True):
        name = f"{row['backbone']} ({setting})" if setting else row["backbone"]
        scores.append(f"{number(row['hm'], 2)} for {name}")
    seen = "films" if score_word(study.records) == "AUC" else "patches"
    if not scores:
        return ""
    return f" Ordinary training on all {seen} gives {score_word(study.records)} {_listed(scores, 'and')}."


def state(study: Study) -> list[str]:
    """Warnings for a reader of the page: nothing run, only failures, not finished. Empty if done."""
    records, notices = _run(study.records), []
    done, total = confirmed_cells(study)
    if records.empty:
        return ["No trial has run yet: there are 0 trials in the ledger."]
    ended = records[records["status"] != "running"]
    running = len(records) - len(ended)
    if len(ended) and not ended["status"].eq("done").any():
        notices.append(f"No trial has succeeded: {_counts(ended['status'])}. The reasons are listed below.")
    if done < total:
        notices.append(f"Not finished: {done} of {total} cells confirmed. What follows may still change.")
    if running:
        notices.append(f"{running} trial{' has' if running == 1 else 's have'} no result yet: running, or interrupted.")
    return notices


def _run(records: pd.DataFrame) -> pd.DataFrame:
    """The rows of trials that were started; a refused cell has a row but no trial."""
    return records[records["status"].ne("refused")]


def protocol(study: Study) -> str:
    """The sentence on how test patients were used; the papers' protocol is called what it is."""
    sentence = PAPER_PROTOCOL if protocol_mark(study) else HONEST
    if score_word(study.records) == "AUC":
        sentence = FILMS
    return f"{sentence} {SEARCHED}" if any(cell.get("counted") for cell in study.cells) else sentence


def highlights(study: Study) -> list[tuple[str, str]]:
    """Number and caption of the few figures worth a tile."""
    done, total = confirmed_cells(study)
    tiles = [(f"{done} of {total}", "cells confirmed"), (str(len(_run(study.records))), "trials")]
    means = cell_means(study)
    if means.empty:
        return tiles
    best = means.iloc[means["hm"].argmax()]
    tiles.append(
        (
            number(best["hm"], 2),
            f"best {score_word(means)} on test patients{protocol_mark(study)}: {best['backbone']}, "
            f"{images_word(best['images'])}",
        )
    )
    if pd.notna(best["memory_star_kb"]):
        caption = "shared for that"
        if pd.notna(best["memory_mib"]):
            mib = best["memory_mib"]
            whole = f"{mib:.3g} MiB" if mib >= 1 else f"{mib * 2**20 / 1000:.3g} kB"
            caption += f", instead of all parameters' {whole}"
        tiles.append((f"{best['memory_star_kb']:.3g} kB", caption))
    return tiles


def troubles(study: Study) -> pd.DataFrame:
    """Trials that failed, diverged, were refused, or are done and changed nothing, and cells refused before they began:
    where, status, reason."""
    records = study.records
    idle = records["note"].notna() & records["status"].eq("done") & records["phase"].eq("confirm")
    rows = records[records["status"].isin(["failed", "diverged", "refused"]) | idle]
    rows = rows.assign(error=rows["error"].fillna(rows["note"]))
    trials = rows.rename(columns={"trial": "where", "error": "reason"})[["where", "phase", "status", "reason"]]
    return trials.fillna({"phase": "", "reason": "no reason was recorded"}).reset_index(drop=True)


def split_sizes(study: Study) -> dict[str, int]:
    """Patients in each split (`train`, `validation`, `test`), as far as the provenance says."""
    cohort = study.provenance.get("cohort")
    splits = cohort.get("splits") if isinstance(cohort, dict) else None
    return splits if isinstance(splits, dict) else {}


def _counts(statuses: pd.Series) -> str:
    return ", ".join(f"{count} {status}" for status, count in statuses.value_counts().items())


def _listed(words: list[str], last: str) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"
