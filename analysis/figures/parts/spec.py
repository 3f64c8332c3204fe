"""Specification of a figure: a function that returns numbers, one that draws them, title and caption."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import pandas as pd
import plotly.graph_objects as go

from analysis.records.records import Study

Subject = TypeVar("Subject", Study, Sequence[Study])
"""A figure is about one study, or sets several beside each other."""
Table = tuple[Sequence[str], Iterable[Sequence[Any]]]
"""Headings and rows."""


@dataclass(frozen=True, eq=False)
class FigureSpec(Generic[Subject]):
    """One figure; words are plain text.

    Attributes:
        name: that of its file and of its element on the page.
        title: `{score}` is what the study's trials are compared by, HM or AUC.
        frame: the numbers; without a row there is no figure.
        draw: draws a frame, and nothing else.
        caption: says what is drawn, and what must not be read into it.
        wide: takes a whole row of the page; others stand two in one.
        when: whether the figure has a meaning for the study at all.
        table: headings and rows of a frame, to stand under the figure.
    """

    name: str
    title: str
    frame: Callable[[Subject], pd.DataFrame]
    draw: Callable[[pd.DataFrame], go.Figure]
    caption: Callable[[Subject], str]
    wide: bool = False
    when: Callable[[Subject], bool] = lambda _: True
    table: Callable[[pd.DataFrame], Table] | None = None

    def numbers(self, subject: Subject) -> pd.DataFrame | None:
        """The frame; None where there is nothing to draw."""
        frame = self.frame(subject) if self.when(subject) else None
        return frame if frame is not None and len(frame) else None
