from __future__ import annotations

import numpy as np
import pytest

from benchmarks.statistics import Design, main, measured, simulate


def test_intervals_cover_what_they_say_and_one_seed_claims_none():
    assert measured(Design(), 40)["coverage"] == pytest.approx(0.95, abs=0.04)
    assert np.isnan(measured(Design(networks=2, seeds=1), 1)["coverage"])


def test_a_simulated_study_has_the_hm_it_was_given():
    design = Design(networks=1, counts=(1, 2), seeds=400, patients=400)
    study, truth = simulate(design, 0)
    assert study.records.groupby("images")["test_hm"].mean().to_numpy() == pytest.approx(truth[0, 1:], abs=0.03)


def test_a_table_is_printed(capsys):
    assert main(["chance", "--studies", "1"]) == 0
    assert "2 seeds, 200 patients, training 0.85" in capsys.readouterr().out
