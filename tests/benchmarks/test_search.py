"""The benchmark of samplers: simulated cells, and a table of what is confirmed."""

from __future__ import annotations

import pytest

from benchmarks.search import DRIFTS, confirmed_shares, main, result, simulated_cells
from sldd.rng import stream
from study.config.search_settings import SearchSettings


def test_more_skill_shows_in_every_score() -> None:
    low, high = (result(skill, 200, stream(0, "x"), 1)["validation"] for skill in (0.1, 0.9))
    for score in ("hm", "auc", "patch_accuracy"):
        assert low[score] < high[score]


@pytest.mark.parametrize("drift", DRIFTS)
def test_the_best_setting_has_all_of_its_cells_skill(drift: str) -> None:
    settings = SearchSettings(trials=1)
    cells = simulated_cells(DRIFTS[drift], 0, number=3)
    shares, _ = confirmed_shares(cells, settings, patients=16, seed=0)
    assert len(shares) == 3
    assert all(0 < share <= 1 for share in shares)
    if drift == "near":
        assert min(shares) > 0.7, "the middle is near by"


def test_a_table_has_a_row_for_each_sampler_and_score(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["random", "--studies", "1", "--trials", "1", "--patients", "8"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + len(DRIFTS) * 3
    assert sum("| random | smooth |" in line for line in lines) == len(DRIFTS)
