"""Sentences that sum up a study: question, answer, protocol, progress, failures.

Plain text throughout; whoever puts it on a page escapes it.
"""

from __future__ import annotations

import pandas as pd

from analysis.records.cell_means import cell_means, confirm_rows, run_rows
from analysis.records.controls import without_controls
from analysis.records.records import Study, compared, score_word
from analysis.records.runs import folds_of
from analysis.stats.coverage import confirmed_cells
from analysis.stats.minimum import SHOWN, compared_minimum, judged, minimum_images
from analysis.stats.shared_counts import alike, offered_counts
from analysis.text.answer import answered, other_views
from analysis.text.conclusion import verdict
from analysis.text.relation import curves_verdict
from analysis.text.words import images_word, listed, number, parameters_word, protocol_mark
from ledger.trial_files import read_trials

ONCE = "Test patients were scored once by each confirm trial"
SEARCHED = (
    "Image counts were searched: which of them were run was decided by confirm trials on test patients; rates, states "
    "and thresholds were not."
)
PAPER_PROTOCOL = (
    "This study ran the papers' protocol: states were chosen on the test patients themselves, "
    "so its test scores are optimistic and not comparable with an ordinary study's."
)


def headline(study: Study) -> list[str]:
    """Paragraphs with the measured numbers: asked, answered, by other rules, and what curves say of parameters."""
    answer = minimum_images(study)
    if run_rows(study).empty:
        through = f" in all {folds} folds" if (folds := folds_of(study)) else ""
        return [
            _asked(study),
            f"There is no answer yet: no cell is confirmed on test patients{through}.{_unscored(study)}",
        ]
    paragraphs = [answered(study, answer, split_sizes(study).get("test")), other_views(study, answer)]
    return [_asked(study), *filter(None, [*paragraphs, curves_verdict(study)])]


def _unscored(study: Study) -> str:
    """Why confirm trials that are done do not count; empty where none is."""
    records = compared(study.records)
    done = int((records["phase"].eq("confirm") & records["status"].eq("done")).sum())
    if not done or len(confirm_rows(records)):
        return ""
    trials = f"{done} confirm trial{' is' if done == 1 else 's are'} done"
    return f" {trials}, without {score_word(records)}: that takes test patients of each kind."


def smallest_counts(study: Study) -> str:
    """What the smallest counts of the networks say about parameters; empty where there is no answer yet."""
    if run_rows(study).empty:
        return ""
    shown = verdict(compared_minimum(study))
    return _compared_by(study) + shown if shown else ""


def _compared_by(study: Study) -> str:
    """By which image counts networks are compared, where not by all that they were run with."""
    words, same = "", alike(study)
    if same is not without_controls(study):
        words = "Networks are compared by the image counts that all were tried at. "
    offered = offered_counts(same)
    searched = offered[offered["searched"] & offered["shared"].map(len).gt(0)]
    for series, own in searched.groupby(searched["series"].astype(str), sort=False):
        fewest, least = [min(counts) for counts in own["offered"]], own["shared"].iloc[0][0]
        if min(fewest) < least:
            some = sum(each == least for each in fewest)
            words += f"With {series}: " if series else ""
            words += (
                f"{some} of {len(own)} networks cannot take fewer than {images_word(least)}, so a network that needs "
                f"fewer is compared as needing at most {least}. "
            )
    return words


def _asked(study: Study) -> str:
    cells = pd.DataFrame(study.compared_cells, columns=["backbone", "parameters", "images"])
    source = cells if len(cells) else compared(study.records)
    counts = [str(count) for count in sorted(_integers(source["images"]))]
    sizes = _integers(source["parameters"])
    ends = dict.fromkeys(parameters_word(size) for size in (min(sizes), max(sizes))) if sizes else {}
    # Where patients rotate each takes its turn at everything: no number would be that of the training patients.
    train = None if folds_of(study) else split_sizes(study).get("train")
    what = study.task.pictures
    whose = f"the {what} of {train} training patients" if train else f"the training patients' {what}"
    networks = source["backbone"].nunique()
    of = f" of {' to '.join(ends)} parameters" if ends else ""
    tried = f", trying {listed(counts, 'or')} image{'s' * (counts != ['1'])}" if counts else ""
    return (
        f"Asked: how few distilled images can stand in for {whose}, "
        f"for {networks} network{'' if networks == 1 else 's'}{of}{tried}?"
    )


def _integers(column: pd.Series) -> set[int]:
    return {int(value) for value in pd.to_numeric(column, errors="coerce").dropna()}


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
    searched = any(cell.get("counted") for cell in study.cells)
    sentence = PAPER_PROTOCOL
    if not protocol_mark(study):
        once = f"{ONCE}." if searched else f"{ONCE}, and nothing was chosen on them."
        sentence = f"{study.task.protocol} {_scored_again(study) or once}"
    return f"{sentence} {SEARCHED}" if searched else sentence


def _scored_again(study: Study) -> str:
    """What a longer search did to test patients that had been scored before; empty where none was."""
    trials = read_trials(study.folder, superseded=True)
    aside = [
        trial.cell for trial in trials if trial.config.get("phase") == "confirm" and (trial.result or {}).get("test")
    ]
    if not aside:
        return ""
    cells = len(set(aside))
    return (
        f"The search was made longer after test patients had been scored: in {cells} cell{'s' * (cells > 1)} they were "
        f"scored again with what was best then, and {len(aside)} earlier confirm trial{'s' * (len(aside) > 1)} moved "
        "aside. Whoever went on because of test scores has chosen by them."
    )


def highlights(study: Study) -> list[tuple[str, str]]:
    """Number and caption of the few figures worth a tile."""
    done, total = confirmed_cells(study)
    tiles = [(f"{done} of {total}", "cells confirmed"), (str(len(_run(study.records))), "trials")]
    means = cell_means(without_controls(study))
    if means.empty:
        return tiles
    answer = minimum_images(study)
    if judged(answer):
        shown = answer["outcome"].eq(SHOWN)
        tiles.append((f"{shown.sum()} of {len(answer)}", "networks and settings with a count shown to suffice"))
    best, word = means.iloc[means["hm"].argmax()], score_word(means)
    chosen = f"the best of {len(means)} cells, so probably too high" if len(means) > 1 else "the only cell"
    where = f"{best['backbone']}, {images_word(best['images'])}"
    tiles.append((number(best["hm"], 2), f"best {word} on test patients{protocol_mark(study)}: {where} ({chosen})"))
    if pd.notna(best["memory_star_kb"]):
        caption = "shared for that"
        if pd.notna(best["memory_mib"]):
            kb = best["memory_mib"] * 2**20 / 1000
            whole = f"{kb / 1000:.3g} MB" if kb >= 1000 else f"{kb:.3g} kB"
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
