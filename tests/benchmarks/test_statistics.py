from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from analysis.design.power import measures, p_values
from analysis.design.simulation import Design, hms_of
from analysis.records.records import read_study
from analysis.stats.dose_response import curves, relations, summaries
from analysis.stats.evidence import count_evidence
from analysis.stats.minimum import compared_minimum, minimum_images, rule_points
from analysis.stats.ranks.block_orders import block_orders
from analysis.stats.ranks.rank_tests import scores, spearman
from benchmarks import statistics
from benchmarks.leads import main as leads
from benchmarks.statistics import claimed, drawn, main, measured, names, significant, simulate
from tests.analysis.conftest import Ledger


def test_intervals_cover_what_they_say_and_one_seed_claims_none():
    found = measured(Design(), 40, claimed)
    assert found[["coverage", "difference"]].tolist() == pytest.approx([0.95, 0.95], abs=0.02)
    assert np.isnan(measured(Design(networks=2, seeds=1), 1, claimed)["coverage"])


def test_one_network_is_as_sure_as_it_says():
    """Of two seeds a cell and four cells, which is little to know by how far seeds differ."""
    assert measured(Design(networks=1), 100, claimed)["difference"] == pytest.approx(0.95, abs=0.02)


def test_a_ledgers_files_give_what_memory_gives(tmp_path):
    study, _ = simulate(Design(networks=2), 0)
    ledger = Ledger(tmp_path / "study", name=study.name, config=study.config)
    for row in study.records.drop(columns=["status", "attempt", "delta"]).to_dict("records"):
        facts = {
            name: None if pd.isna(value) else value for name, value in row.items() if name not in ("trial", "cell")
        }
        trial = ledger.trial(row["cell"], int(row["trial"].split("/")[1]), **facts)
        result = study.result(row["trial"])
        ledger.end(trial, delta=result["delta"], test=result["test"] | {"hm": row["test_hm"]})
    read = read_study(ledger.folder)
    assert_frame_equal(minimum_images(read), minimum_images(study), check_exact=True)
    ends = ["backbone", "images", "interval_low", "interval_high", "shortfall_low", "shortfall_high"]
    assert_frame_equal(count_evidence(read)[ends], count_evidence(study)[ends], check_exact=True)
    assert relations(read) == relations(study)


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


@pytest.mark.parametrize(
    "design",
    [
        Design(networks=5, families=2, alike=0.5),
        Design(networks=5, counts=(1, 2), larger_at=(3, 4)),
        Design(networks=4, counts=(1, 2, 3, 4, 6, 8), searched=True),
    ],
)
def test_power_is_of_what_the_study_itself_tests(design):
    """The same calls: curves and smallest counts by `analysis.design.power` are those that the whole path finds."""
    study, _ = simulate(design, 1)
    parameters, _, right = drawn(design, 1)
    level, steepness, counts = measures(design, parameters, hms_of(right).mean(axis=-1))
    answer = compared_minimum(study).set_index("backbone").loc[names(design)]
    points = rule_points(answer.reset_index())
    assert scores(points["lower"].to_numpy(), points["upper"].to_numpy()).tolist() == counts.tolist()
    rows = curves(study).set_index("backbone").loc[names(design)]
    shared = relations(study)[""].counts
    means = np.array([[own[count] for count in shared] for own in rows["scores"]])
    assert summaries(means, shared, rows["reference"].to_numpy()) == pytest.approx(level)
    assert summaries(means, shared, None) == pytest.approx(steepness)


def test_smallest_counts_are_tested_alike_where_their_brackets_overlap():
    """Scores of brackets that overlap are no ranks: here p of their ranks would be 0.79."""
    design = Design(networks=4, counts=(1, 2, 3, 4, 6, 8), searched=True)
    study, _ = simulate(design, 2)
    parameters, _, right = drawn(design, 2)
    answer = compared_minimum(study).set_index("backbone").loc[names(design)]
    points = rule_points(answer.reset_index())
    whole = spearman(points["parameters"], points["lower"], points["upper"], design.kinds)
    found = measures(design, parameters, hms_of(right).mean(axis=-1))
    p = p_values(parameters, found, [block_orders(design.kinds)] * 2)
    assert p[2] == p[3] == float(whole.p) == 0.875


def test_power_is_as_promised(monkeypatch):
    monkeypatch.setattr(statistics, "PROMISED", 400)
    found = measured(Design(networks=8, counts=(1, 2), correlation=1.0, seed_spread=0.03), 25, significant)
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


def test_intervals_of_leads_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    assert leads(["--studies", "2"]) == 0
    _, *rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 9
    assert all(0 <= float(share) <= 1 for row in rows for share in row.split()[2:])
