"""The figures of a study, side by side."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from analysis.page.panels import panels
from analysis.records.records import read_study
from analysis.stats.minimum import minimum_images
from analysis.text.at_a_glance import not_measured
from tests.analysis.conftest import Ledger


@pytest.mark.parametrize("delta", [0.4, None])
def test_a_panel_that_would_stand_alone_takes_the_row(ledger: Callable[..., Ledger], delta: float | None) -> None:
    written = ledger()
    scores = {"hm": 0.8, "auc": 0.8, "patch_accuracy": 0.8}
    cell = written.cell("net", 10, 1)
    for index, rate in enumerate((0.02, 0.05)):
        written.end(written.trial(cell, index, "search", delta=delta, outer_lr=rate), validation=scores, delta=delta)
    wide = {panel.name: panel.wide for panel in panels(read_study(written.folder))}
    alone = delta is None  # lines through thresholds need one
    assert ("parallel" not in wide) == alone
    assert wide["search"] == alone


def test_one_setting_says_nothing_of_others(ledger: Callable[..., Ledger]) -> None:
    written = ledger()
    for network in ("small", "large"):
        written.done(written.cell(network, 10, 1), 0, "search")
    study = read_study(written.folder)
    assert not {"search", "parallel"} & {panel.name for panel in panels(study)}
    answer = minimum_images(study)
    said = "Other rates: the search tried one setting of each network."
    assert said in list(not_measured(study, answer))
    written.end(written.trial("small-m1-one_hot-as_is-sldd-s1e1", 1, "search", inner_lr=0.1), delta=0.4)
    assert said not in list(not_measured(read_study(written.folder), answer))
