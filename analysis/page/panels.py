"""Drawn figures of a study, for the page and for print."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import plotly.graph_objects as go

from analysis.figures import CELL_FIGURES, FIGURES
from analysis.figures.parts.spec import FigureSpec
from analysis.records.records import Study, score_word
from analysis.text.words import protocol_mark


@dataclass(frozen=True, eq=False)
class Panel:
    """A drawn figure with its words, as `FigureSpec` has them."""

    name: str
    title: str
    caption: str
    figure: go.Figure
    wide: bool = False


def panels(study: Study) -> list[Panel]:
    """Panels of the figures that have data; one that would stand alone in its row takes all of it."""
    found = list(_panels(study))
    narrow = 0  # narrow panels one after the other, up to this one: two share a row
    for place, panel in enumerate(found):
        narrow = 0 if panel.wide else narrow + 1
        ends_here = place + 1 == len(found) or found[place + 1].wide
        if ends_here and narrow % 2:
            found[place] = replace(panel, wide=True)
    return found


def _panels(study: Study) -> Iterator[Panel]:
    score, mark = score_word(study.records), protocol_mark(study)
    for spec in FIGURES:
        if (frame := spec.numbers(study)) is not None:
            title = f"{spec.title.format(score=score)}{mark}"
            yield Panel(spec.name, title, spec.caption(study), spec.draw(frame), spec.wide)


@dataclass(frozen=True, eq=False)
class CellPanel:
    """The figure of one cell; the trial that stands for the cell, and a name for it that a reader understands."""

    cell: str
    trial: str
    label: str
    figure: go.Figure


def cell_figure(study: Study) -> FigureSpec[Study]:
    """The figure that is drawn of each cell."""
    return next(spec for spec in CELL_FIGURES if spec.when(study))


def cell_panels(study: Study) -> Iterator[CellPanel]:
    """Panels of every confirmed cell."""
    spec = cell_figure(study)
    for (cell, trial, label), rows in spec.frame(study).groupby(["cell", "trial", "label"], sort=False):
        yield CellPanel(str(cell), str(trial), str(label), spec.draw(rows))
