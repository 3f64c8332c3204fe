from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import analysis
from analysis.records.records import Study, read_study
from analysis.records.rule import Rule
from analysis.stats.bootstrap import generator
from analysis.stats.minimum import CELL, bracket, count_evidence, minimum_images, setting_generator
from analysis.text.conclusion import verdict
from ledger.schema import SCHEMA
from tests.analysis.conftest import voters

PUBLISHED = Path(analysis.__file__).parent / "published"


def study(*trials: dict, minimum: dict | None = None) -> Study:
    """A study whose ledger has no results, of confirm trials that are done unless a trial says otherwise."""
    usual = {"phase": "confirm", "status": "done", "method": "sldd", "norm": "as_is", "label_init": "one_hot"}
    usual |= {"distill_steps": 1, "distill_epochs": 1, "parameters": 1000, "backbone": "net", "images": 1}
    rows = [usual | {"trial": f"cell/{place}"} | trial for place, trial in enumerate(trials)]
    records = pd.DataFrame(rows, columns=list(SCHEMA)).astype(SCHEMA)
    return Study("study", Path("nowhere"), {"minimum": minimum}, {}, "", [], records)


def network(name: str, parameters: int, hms: dict[int, float], **changed) -> list[dict]:
    known = {"backbone": name, "parameters": parameters} | changed
    return [known | {"images": images, "test_hm": hm} for images, hm in hms.items()]


def answer(*networks: list[dict], **minimum) -> pd.DataFrame:
    return minimum_images(study(*(trial for each in networks for trial in each), minimum=minimum))


def published() -> tuple[pd.DataFrame, pd.DataFrame]:
    """The answer from Li et al. 2022, Table 5, and the parameters and published smallest counts of Tables 4 and 6."""
    results = pd.read_csv(PUBLISHED / "results.csv").query("table == 5")
    footprints = pd.read_csv(PUBLISHED / "footprints.csv").set_index("backbone")
    networks = [
        network(
            name,
            int(footprints.loc[name, "parameters"]),
            dict(zip(rows["images"].astype(int), rows["hm"], strict=True)),
        )
        for name, rows in results.groupby("backbone", sort=False)
    ]
    return answer(*networks), footprints


def test_the_rule_on_points_reproduces_the_published_column():
    found, footprints = published()
    assert len(found) == 6
    assert found.set_index("backbone")["by_points"].to_dict() == footprints["minimum_images"].to_dict()


def test_the_mean_over_seeds_decides_and_other_trials_do_not():
    row = minimum_images(
        study(
            {"images": 1, "test_hm": 0.9},
            {"images": 1, "test_hm": 0.5},
            {"images": 2, "test_hm": 0.8},
            {"images": 2, "test_hm": 0.9},
            {"images": 1, "test_hm": 1.0, "phase": "search"},
            {"images": 1, "test_hm": 1.0, "status": "diverged"},
            {"images": 3, "status": "running"},
        )
    ).iloc[0]
    assert (row["by_points"], row["best_images"], row["tried"]) == (2, 2, "1, 2")
    assert row["best_hm"] == row["hm_by_points"] == pytest.approx(0.85)


def test_a_difference_of_exactly_the_margin_suffices():
    assert answer(network("net", 1, {1: 0.8, 2: 0.9}))["by_points"].tolist() == [1]
    assert answer(network("net", 1, {1: 0.799, 2: 0.9}))["by_points"].tolist() == [2]


def test_backbones_without_a_usable_count_are_censored_with_their_reason():
    never, waiting = network("never", 10, {1: 0.45, 2: 0.49}), [{"backbone": "waiting", "status": "running"}]
    found = answer(never, waiting, network("works", 20, {1: 0.5})).set_index("backbone")
    assert found["by_points"].isna().tolist() == [True, True, False]
    assert found["reason"].tolist()[:2] == ["best HM 0.49 is under 0.5", "no confirm trial is done"]
    assert found["at_least"].isna().tolist() == [False, True, False]
    assert found.loc["never", "best_images"] == 2


def test_a_best_that_rounds_to_the_floor_is_said_more_exactly():
    assert answer(network("net", 1, {1: 0.4971}))["reason"].tolist() == ["best HM 0.497 is under 0.5"]


def test_settings_are_answered_apart():
    found = answer(
        network("net", 1, {1: 0.9, 2: 0.9}),
        network("net", 1, {1: 0.6, 2: 0.9}, label_init="uniform"),
        network("net", 1, {1: 0.3, 2: 0.9}, distill_steps=3),
    )
    assert found[["label_init", "distill_steps", "by_points"]].to_numpy().tolist() == [
        ["one_hot", 1, 1],
        ["uniform", 1, 2],
        ["one_hot", 3, 2],
    ]
    said = verdict(found)
    assert said.count("single point") == 1, "what holds of all three is said once"
    settings = "labels one_hot, distill steps 1; labels uniform, distill steps 1; labels one_hot, distill steps 3"
    assert said.startswith(f"With {settings}: At the 95 % level no backbone's count is known")


def test_a_setting_that_answers_otherwise_is_said_apart():
    found = answer(
        network("net", 1, {1: 0.9, 2: 0.9}),
        network("net", 1, {1: 0.3, 2: 0.3}, label_init="uniform"),
        network("a", 1, {1: 0.9, 2: 0.9}, distill_steps=3),
        network("b", 2, {1: 0.3, 2: 0.9}, distill_steps=3),
    )
    said = verdict(found)
    assert said.count("single point") == 1
    assert "distill steps 1; labels uniform, distill steps 1: " in said
    assert "With labels one_hot, distill steps 3: " in said


def test_no_trials_no_answer():
    found = minimum_images(study())
    assert found.empty
    assert {"backbone", "minimum_images", "censored"} <= set(found.columns)
    assert "nothing can be said" in verdict(found)


@pytest.fixture
def confirmed(ledger):
    """`confirmed({1: (0.6, 0.7), 2: (0.9, 0.9)}, each=200)`: one network's HM by image count, for every seed."""

    def write(hms: dict[int, tuple[float, ...]], each: int = 200, **minimum) -> Study:
        written = ledger(config={"minimum": minimum})
        for images, seeds in hms.items():
            cell = written.cell("net", 1000, images)
            for index, hm in enumerate(seeds):
                written.done(cell, index, hm=hm, patients=voters(hm, each))
        return read_study(written.folder)

    return write


def test_many_patients_decide_what_few_leave_open(confirmed):
    hms = {1: (0.6, 0.65, 0.6), 2: (0.9, 0.9, 0.85), 3: (0.9, 0.9, 0.9)}
    (many,) = minimum_images(confirmed(hms)).to_dict("records")
    assert (many["at_least"], many["by_points"], many["minimum_images"], many["censored"]) == (2, 2, 2, False)


def test_a_count_that_was_not_tried_may_be_the_smallest(confirmed):
    (row,) = minimum_images(confirmed({1: (0.6, 0.6), 3: (0.9, 0.9)})).to_dict("records")
    assert (row["at_least"], row["by_points"], row["minimum_images"]) == (2, 3, 3)
    assert bracket(pd.Series(row)) == "between 2 and 3"


def test_few_patients_leave_open_what_the_points_decide(confirmed):
    few = minimum_images(confirmed({1: (0.8, 0.8), 2: (0.9, 0.9)}, each=10)).iloc[0]
    assert (few["at_least"], few["by_points"], few["minimum_images"]) == (1, 1, 2)
    assert bracket(few) == "between 1 and 2"


def test_seeds_that_disagree_leave_everything_open(confirmed):
    few = minimum_images(confirmed({1: (0.6, 0.9), 2: (0.9, 0.6)})).iloc[0]
    assert (few["at_least"], few["by_points"], few["censored"]) == (1, 1, True)
    assert few["reason"] == "no count is shown to suffice at the 95 % level"
    assert bracket(few) == "between 1 and more than 2"


def test_what_each_count_shows(confirmed):
    counts = count_evidence(confirmed({1: (0.6, 0.65), 2: (0.8, 0.85), 3: (0.9, 0.9)}))
    assert counts["shown"].tolist() == ["insufficient", "open", "sufficient"]
    assert counts["shortfall"].tolist() == pytest.approx([0.275, 0.075, -0.075])
    assert (counts["shortfall_low"] < counts["shortfall"]).all()
    assert (counts["shortfall_high"] > counts["shortfall"]).all()
    assert counts["hm"].between(counts["interval_low"], counts["interval_high"]).all()


def test_a_network_shown_to_be_under_the_floor_needs_more_than_was_tried(confirmed):
    under = minimum_images(confirmed({1: (0.3, 0.3), 2: (0.3, 0.4)})).iloc[0]
    assert under["at_least"] == 3
    assert under["reason"] == "best HM 0.35 is under 0.5"
    assert bracket(under) == "more than 2"


def test_a_single_count_passes_by_points_and_shows_nothing(confirmed):
    alone = minimum_images(confirmed({2: (0.9, 0.9)})).iloc[0]
    assert (alone["by_points"], alone["at_least"], alone["censored"]) == (2, 1, True)
    assert alone["reason"] == "a single count is confirmed, with nothing to compare it to"


def test_one_seed_is_enough_for_an_answer(confirmed):
    (one,) = minimum_images(confirmed({1: (0.6,), 2: (0.9,)})).to_dict("records")
    assert (one["at_least"], one["minimum_images"]) == (2, 2)


def test_the_rule_is_the_studys_own(confirmed):
    loose = confirmed({1: (0.7, 0.7), 2: (0.9, 0.9)}, margin=0.3, level=0.9, floor=0.4, resamples=300)
    assert Rule.of(loose.config) == Rule(0.3, 0.9, 0.4, 300)
    (row,) = minimum_images(loose).to_dict("records")
    assert (row["by_points"], row["minimum_images"], row["level"]) == (1, 1, 0.9)
    assert Rule.of(study().config) == Rule() == Rule(0.10, 0.95, 0.5, 2000)


def test_without_votes_the_points_alone_answer():
    row = answer(network("net", 1, {1: 0.6, 2: 0.9})).iloc[0]
    assert (row["by_points"], row["at_least"], row["censored"]) == (2, 1, True)
    assert row["reason"] == "no patients' votes are kept to resample"


def test_the_bounds_do_not_depend_on_what_else_was_studied(ledger):
    alone, beside = ledger("here"), ledger("there", name="here")
    for written, networks in ((alone, ("net",)), (beside, ("other", "net", "third"))):
        for name in networks:
            for images in (1, 2) if written is alone else (2, 1):
                written.done(
                    written.cell(name, 10, images), 0, hm=0.5 + 0.2 * images, patients=voters(0.5 + 0.2 * images)
                )
    columns = ["interval_low", "interval_high", "shortfall_low", "shortfall_high"]
    first, second = (
        count_evidence(read_study(written.folder)).query("backbone == 'net'").set_index("images")[columns].sort_index()
        for written in (alone, beside)
    )
    pd.testing.assert_frame_equal(first, second)


def test_folds_are_pooled_before_they_are_resampled(ledger):
    written = ledger(config={"confirm": {"folds": 2}})
    for images, hm in ((1, 0.6), (2, 0.9)):
        for fold, cell in enumerate(written.rotated("net", 1000, images, 2)):
            for index in range(2):
                if (images, fold, index) != (2, 1, 1):
                    written.done(cell, index, hm=hm, patients=voters(hm, 100, first=1000 * fold))
    (row,) = minimum_images(read_study(written.folder)).to_dict("records")
    assert (row["at_least"], row["by_points"], row["minimum_images"]) == (2, 2, 2)
    assert count_evidence(read_study(written.folder))["seeds"].tolist() == [2, 1]


def test_a_study_whose_folds_are_not_through_waits(ledger):
    written = ledger(config={"confirm": {"folds": 2}})
    written.done(written.rotated("net", 1000, 1, 2)[0], 0)
    (row,) = minimum_images(read_study(written.folder)).to_dict("records")
    assert row["reason"] == "no confirm run has all 2 folds"


def test_the_bounds_of_older_studies_stay_as_they_were():
    """What is drawn goes by a setting's names; columns that came later count only where they have a value."""
    nothing = study()
    names = dict.fromkeys(CELL[:-1], pd.NA) | {"method": "sldd", "start": "xavier", "backbone": "net"}
    # As it was before there were chains, of: method, norm, start, label_init, two of distillation, three of training,
    # epochs and backbone.
    before = generator("study", "sldd", "", "xavier", "", "", "", "", "", "", "", "net")
    now = setting_generator(nothing, names.values()).random()
    assert now == before.random()
    chained = names | {"chain": "nih", "transfer": "regular"}
    assert now != setting_generator(nothing, chained.values()).random()
