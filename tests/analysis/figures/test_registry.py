"""The list of figures."""

from __future__ import annotations

import importlib
import pkgutil

from analysis import figures
from analysis.figures.parts.spec import FigureSpec


def test_every_figure_of_a_module_is_listed_once() -> None:
    listed = [*figures.FIGURES, *figures.CELL_FIGURES, *figures.COMPARISONS]
    modules = [
        importlib.import_module(found.name) for found in pkgutil.walk_packages(figures.__path__, "analysis.figures.")
    ]
    written = [value for module in modules for value in vars(module).values() if isinstance(value, FigureSpec)]
    assert sorted(map(id, written)) == sorted(map(id, listed))


def test_names_of_figures_are_names_of_files_and_of_no_other_figure() -> None:
    for group in ([*figures.FIGURES, *figures.CELL_FIGURES], figures.COMPARISONS):
        names = [spec.name for spec in group]
        assert len(set(names)) == len(names)
        assert all(name.replace("-", "").isalnum() for name in names)


def test_a_study_has_one_figure_of_a_cell(mixed) -> None:
    assert [spec.when(mixed) for spec in figures.CELL_FIGURES] == [True, False, False]
