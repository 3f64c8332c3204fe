"""The figures of a study, side by side."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from analysis.page.panels import panels
from analysis.records.records import read_study
from tests.analysis.conftest import Ledger


@pytest.mark.parametrize("delta", [0.4, None])
def test_a_panel_that_would_stand_alone_takes_the_row(ledger: Callable[..., Ledger], delta: float | None) -> None:
    written = ledger()
    scores = {"hm": 0.8, "auc": 0.8, "patch_accuracy": 0.8}
    trial = written.trial(written.cell("net", 10, 1), 0, "search", delta=delta)
    written.end(trial, validation=scores, delta=delta)
    wide = {panel.name: panel.wide for panel in panels(read_study(written.folder))}
    alone = delta is None  # lines through thresholds need one
    assert ("parallel" not in wide) == alone
    assert wide["search"] == alone
