from __future__ import annotations

import numpy as np
import pytest

from analysis.design.simulation import Design
from benchmarks.statistics import main, measured, simulate


def test_intervals_cover_what_they_say_and_one_seed_claims_none():
    assert measured(Design(), 40)["coverage"] == pytest.approx(0.95, abs=0.04)
    assert np.isnan(measured(Design(networks=2, seeds=1), 1)["coverage"])


def test_a_simulated_study_has_the_hm_it_was_given():
    design = Design(networks=1, counts=(1, 2), seeds=400, patients=400)
    study, truth = simulate(design, 0)
    trained = study.records[study.records["images"].isna()]
    assert study.records.groupby("images")["test_hm"].mean().to_numpy() == pytest.approx(truth[0, 1:], abs=0.03)
    assert trained["test_hm"].mean() == pytest.approx(truth[0, 0], abs=0.03)


def test_searched_counts_are_few_and_their_study_says_which_could_have_been_run():
    study, _ = simulate(Design(networks=3, counts=(1, 2, 3, 4, 6, 8), searched=True), 0)
    tried = study.records.dropna(subset="images").groupby("backbone")["images"].agg(set)
    assert tried.map(lambda counts: 8 in counts).all()
    assert tried.map(len).min() < 6
    assert len(study.cells) == 18


def test_power_is_as_promised():
    found = measured(Design(networks=8, counts=(1, 2), correlation=1.0, seed_spread=0.03), 25)
    assert found["curves"] == pytest.approx(found["promised_curves"], abs=0.3)
    assert found["counts"] == pytest.approx(found["promised_counts"], abs=0.3)


def test_a_table_is_printed(capsys):
    assert main(["chance", "--studies", "1"]) == 0
    assert "2 seeds, 200 patients, training 0.85" in capsys.readouterr().out


def test_levels_are_printed_by_the_light_path(capsys):
    assert main(["level", "--light", "--studies", "2"]) == 0
    said = capsys.readouterr().out
    assert "| 12 of 5 families, alike 0.9, searched | 2 | 0." in said
    assert "power" not in said
