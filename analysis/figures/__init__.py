"""Figures, one a module: a function that returns numbers, one that draws them, and a `FIGURE` with title and caption.

What is here is in the order in which a reader asks.
"""

from analysis.figures import (
    compare_studies,
    cost,
    hm,
    importance,
    landscape,
    leads,
    methods,
    minimum,
    operating_point,
    search,
)
from analysis.figures.cells import confusion, findings, threshold_curve
from analysis.figures.given_away import epsilon, membership, sharing

FIGURES = (
    minimum.FIGURE,
    hm.BY_PARAMETERS,
    leads.FIGURE,
    hm.BY_IMAGES,
    operating_point.FIGURE,
    sharing.FIGURE,
    membership.FIGURE,
    methods.FIGURE,
    cost.FIGURE,
    search.RATES,
    search.PARALLEL,
    importance.FIGURE,
    landscape.FIGURE,
    search.OVER_TIME,
)
"""Those of a study."""
CELL_FIGURES = (threshold_curve.FIGURE, findings.FIGURE, confusion.FIGURE)
"""Those of one cell: the first that a study can have is drawn for every cell, from the frame's rows about it."""
COMPARISONS = (compare_studies.FIGURE, epsilon.FIGURE, membership.COMPARISON)
"""Those of several studies."""
