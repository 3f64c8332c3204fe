"""The figures of a study, in the order in which a reader asks: what the page shows, and what is printed for papers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import pandas as pd
import plotly.graph_objects as go

from analysis.figures import findings as findings_figure
from analysis.figures import hm as figures
from analysis.figures import methods as methods_figure
from analysis.figures import minimum as answer_figure
from analysis.figures import operating_point as operating_figure
from analysis.figures import search as search_figures
from analysis.figures import sharing as sharing_figure
from analysis.figures.threshold_curve import hm_by_delta_figure, hm_by_delta_frame
from analysis.records.cell_means import run_rows
from analysis.records.records import Study, score_word
from analysis.records.rule import Rule
from analysis.records.runs import folds_of
from analysis.stats.minimum import percent
from analysis.text.words import protocol_mark

ONLY_CONFIRM = "Confirm trials only; the mean over seeds, bars from the lowest to the highest seed."


@dataclass(frozen=True, eq=False)
class Panel:
    """One figure with its words, all plain text. `name` is its file's and its element's; `wide` takes a whole row,
    others stand two in one."""

    name: str
    title: str
    caption: str
    figure: go.Figure
    wide: bool = False


def panels(study: Study) -> list[Panel]:
    """Those that have something to draw; one that would stand alone in its row takes all of it."""
    mark = protocol_mark(study)
    found = [
        Panel(name, f"{title}{mark}", caption, draw(frame), wide)
        for name, title, frame, draw, caption, wide in _drawn(study)
        if len(frame)
    ]
    for wide, row in itertools.groupby(range(len(found)), lambda place: found[place].wide):
        places = list(row)
        if not wide and len(places) % 2:
            found[places[-1]] = replace(found[places[-1]], wide=True)
    return found


@dataclass(frozen=True, eq=False)
class CellPanel:
    """A figure of one cell: HM(delta), or of films the AUC of each finding; the trial that stands for the cell, and a
    name for it that a reader understands."""

    cell: str
    trial: str
    label: str
    figure: go.Figure


def cell_panels(study: Study) -> Iterator[CellPanel]:
    """Those of every confirmed cell."""
    frame, draw = (
        (findings_figure.finding_frame(study), findings_figure.finding_figure)
        if study.multilabel
        else (hm_by_delta_frame(study), hm_by_delta_figure)
    )
    for (cell, trial, label), rows in frame.groupby(["cell", "trial", "label"], sort=False):
        yield CellPanel(str(cell), str(trial), str(label), draw(rows))


def cell_caption(study: Study) -> str:
    """What the figure of a cell shows."""
    if study.multilabel:
        return findings_figure.CAPTION
    fixed = bool(protocol_mark(study))
    chosen = (
        "δ was fixed at 0.4 and the state chosen on test patients" if fixed else "δ was chosen on validation patients"
    )
    return (
        "HM as a function of the threshold δ a patient's share of positive patches must reach; the cell's first "
        f"confirm trial. {chosen}; the best δ on test patients is hindsight, used nowhere."
    )


_Drawn = tuple[str, str, pd.DataFrame, Callable[[pd.DataFrame], go.Figure], str, bool]


def _drawn(study: Study) -> Iterator[_Drawn]:
    folds = folds_of(study)
    confirmed = f"{ONLY_CONFIRM} A seed's patients are pooled over {folds} folds." if folds else ONLY_CONFIRM
    scored = "the test patients, as the papers' protocol has it" if protocol_mark(study) else "validation patients only"
    score = score_word(study.records)
    hollow = " Hollow: the papers' Table 5, chosen and scored on their own 615 patients." if score == "HM" else ""
    yield (
        "hm-by-parameters",
        f"{score} by parameters",
        figures.hm_by_parameters_frame(study),
        figures.hm_by_parameters_figure,
        f"{confirmed}{hollow}",
        True,
    )
    minimum: pd.DataFrame = answer_figure.minimum_frame(study)
    if run_rows(study).empty:
        minimum = minimum.iloc[:0]
    draw = partial(answer_figure.minimum_figure, line=answer_figure.growth_frame(minimum))
    yield "minimum", "Smallest sufficient count, by parameters", minimum, draw, _answer_caption(study), False
    yield (
        "hm-by-images",
        f"{score} by distilled images",
        figures.hm_by_images_frame(study),
        figures.hm_by_images_figure,
        f"{confirmed} Ringed: the smallest count by the papers' rule.",
        False,
    )
    yield (
        "operating",
        "Sensitivity and specificity",
        operating_figure.operating_frame(study) if score == "HM" else study.records.iloc[:0],
        operating_figure.operating_figure,
        f"Confirm trials only; means over seeds. Dotted: lines of equal HM. A symbol a network.{hollow}",
        False,
    )
    yield (
        "sharing",
        f"{score} by what is shared",
        sharing_figure.sharing_frame(study),
        sharing_figure.sharing_figure,
        "Confirm trials only; means over seeds. Memory*: images and batch-norm statistics as the papers count them.",
        False,
    )
    yield (
        "methods",
        "Beside ordinary training and other methods",
        methods_figure.methods_frame(study),
        methods_figure.methods_figure,
        confirmed,
        True,
    )
    searched = search_figures.search_frame(study)
    looked = f"Search trials, scored on {scored}."
    yield (
        "search",
        "Where the search looked",
        searched,
        search_figures.rates_figure,
        f"{looked} One point a trial, a symbol a backbone.",
        False,
    )
    yield (
        "parallel",
        "What the search tried",
        searched[searched["val_hm"].notna() & searched["delta"].notna()],
        search_figures.parallel_figure,
        f"{looked} One line a trial through its rates, its threshold and its HM.",
        False,
    )
    staged = study.records["stage"].notna().any()
    others = " Crosses: on patients of other collections, to be where networks start." if staged else ""
    yield (
        "finished",
        "Trials over time",
        search_figures.finished_frame(study),
        search_figures.finished_figure,
        f"All trials by their {score} on {scored}: hollow where they searched, filled where they confirmed. Lines: the "
        f"best that each network's search had found by then.{others}",
        True,
    )


def _answer_caption(study: Study) -> str:
    rule, score = Rule.of(study.config), score_word(study.records)
    return (
        f"Point: the smallest count whose mean {score} is within {rule.margin:.2f} of the backbone's best, the papers' "
        f"rule. Bar: what a paired bootstrap over patients and seeds ({rule.resamples:,} resamples) leaves open at the "
        f"{percent(rule.level)} level, from above the counts shown to fall short by more than {rule.margin:.2f} "
        "to the smallest shown not to; an arrow where no count is. With one seed it covers patients only. A backbone "
        f"whose best {score} is under {rule.floor:g} has no point: hollow at the top. Dashed, where three bars or more "
        "are closed: a fitted line with its 95 % band."
    )
