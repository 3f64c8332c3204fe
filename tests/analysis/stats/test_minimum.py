from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import analysis
from analysis.records.bootstrap import generator
from analysis.records.records import Study, read_study
from analysis.records.rule import Rule
from analysis.stats.evidence import CELL, count_evidence, setting_generator
from analysis.stats.minimum import bracket, minimum_images, shown_points
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
    assert found["rule_reason"].tolist() == ["best HM 0.49 is under 0.5", "no confirm trial is done", ""]
    assert found["outcome"].tolist() == ["not judged", "not confirmed", "not judged"]
    assert found["at_least"].isna().all()
    assert found.loc["never", "best_images"] == 2


def test_a_best_that_rounds_to_the_floor_is_said_more_exactly():
    assert answer(network("net", 1, {1: 0.4971}))["rule_reason"].tolist() == ["best HM 0.497 is under 0.5"]


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


TRAINED = {"method": "train", "label_init": None, "distill_steps": None, "distill_epochs": None}


@pytest.fixture
def confirmed(ledger):
    """`confirmed({1: (0.6, 0.7), 2: (0.9, 0.9)}, each=200)`: one network's HM by image count, for every seed; and that
    of its ordinary training, none where that is empty."""

    def write(
        hms: dict[int, tuple[float, ...]],
        each: int = 200,
        trained: tuple[float, ...] = (0.9, 0.9, 0.9),
        folder: str = "demo",
        **minimum,
    ) -> Study:
        written = ledger(folder, config={"minimum": minimum})
        for images, seeds in {**hms, **({None: trained} if trained else {})}.items():
            cell = written.cell("net", 1000, images, **({} if images else TRAINED))
            for index, hm in enumerate(seeds):
                written.done(cell, index, hm=hm, patients=voters(hm, each))
        return read_study(written.folder)

    return write


def test_many_patients_decide_what_few_leave_open(confirmed):
    hms = {1: (0.6, 0.65, 0.6), 2: (0.9, 0.9, 0.85), 3: (0.9, 0.9, 0.9)}
    (many,) = minimum_images(confirmed(hms)).to_dict("records")
    assert (many["outcome"], many["at_least"], many["by_points"], many["minimum_images"]) == ("shown", 2, 2, 2)
    assert not many["censored"]


def test_a_count_that_was_not_tried_may_be_the_smallest(confirmed):
    (row,) = minimum_images(confirmed({1: (0.6, 0.6), 3: (0.9, 0.9)})).to_dict("records")
    assert (row["at_least"], row["by_points"], row["minimum_images"]) == (2, 3, 3)
    assert bracket(pd.Series(row)) == "between 2 and 3"


def test_few_patients_leave_open_what_the_points_decide(confirmed):
    few = minimum_images(confirmed({1: (0.8, 0.8), 2: (0.9, 0.9)}, each=40)).iloc[0]
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
    assert counts["reaches"].tolist() == ["insufficient", "open", "sufficient"]
    assert counts["shortfall"].tolist() == pytest.approx([0.275, 0.075, 0])
    assert (counts["shortfall_low"] < counts["shortfall"]).all()
    assert (counts["shortfall_high"] > counts["shortfall"]).all()
    assert counts["hm"].between(counts["interval_low"], counts["interval_high"]).all()


def test_a_network_that_fails_alike_at_every_count_is_not_frugal(confirmed):
    alike = minimum_images(confirmed({1: (0.7, 0.7), 2: (0.7, 0.7)}, trained=(0.95, 0.95))).iloc[0]
    assert (alike["by_points"], alike["outcome"], alike["at_least"]) == (1, "more than tried", 3)
    assert alike["reason"] == "every count tried falls short of ordinary training (HM 0.95; best HM 0.70)"
    assert bracket(alike) == "more than 2"


def test_a_network_at_chance_beside_training_that_works_could_not_be_distilled(confirmed):
    never = minimum_images(confirmed({1: (0.52, 0.5), 2: (0.45, 0.5)}, each=30)).iloc[0]
    assert (never["by_points"], never["outcome"]) == (1, "not distilled")
    assert (
        never["reason"] == "ordinary training has HM 0.90, and no count tried is shown to be above 0.5 (best HM 0.51)"
    )
    assert bracket(never) == "could not be distilled with 1, 2"
    assert pd.isna(never["at_least"]), "that it fails is no sign of needing more"


def test_the_floor_is_held_against_the_lower_end(confirmed):
    """Close to ordinary training, and neither of the two is shown to work."""
    (row,) = minimum_images(confirmed({1: (0.55, 0.55)}, each=30, trained=(0.55, 0.55))).to_dict("records")
    assert row["outcome"] == "not learned"
    assert row["reason"].startswith(
        "ordinary training itself is not shown to be above 0.5 (HM 0.55, 95 % interval 0.42 to"
    )
    hms = {"hms": {1: (0.55, 0.55)}, "each": 40, "trained": (0.8, 0.8), "margin": 0.6}
    (row,) = minimum_images(confirmed(**hms, folder="near")).to_dict("records")
    assert row["outcome"] == "undecided", "within the margin, and not shown to be above chance"
    (row,) = minimum_images(confirmed(**hms, floor=0.3, folder="above")).to_dict("records")
    assert row["outcome"] == "shown"


def test_one_seed_claims_no_count(confirmed):
    (one,) = minimum_images(confirmed({1: (0.6,), 2: (0.9,)}, trained=(0.9,))).to_dict("records")
    assert (one["outcome"], one["by_points"]) == ("not judged", 2)
    assert one["reason"] == "with one confirm seed nothing is known of other seeds, so no interval is claimed"
    assert pd.isna([one[name] for name in ("at_least", "minimum_images", "target_at_least", "target_images")]).all()


def test_without_ordinary_training_the_fixed_score_is_what_is_shown(confirmed):
    found = minimum_images(confirmed({1: (0.6, 0.65), 2: (0.9, 0.9)}, trained=()))
    row = found.iloc[0]
    assert row["outcome"] == "not judged"
    assert row["reason"] == "the study has no ordinary training (grid.method=[sldd,train]) to hold images against"
    assert (row["target_at_least"], row["target_images"]) == (2, 2)
    assert bracket(row, "target") == "exactly 2"
    assert shown_points(found)[["lower", "upper"]].to_numpy().tolist() == [[2, 2]]
    open_one = found.assign(target_images=pd.array([None], "Int64"))
    assert shown_points(open_one)["reason"].tolist() == ["no count is shown to reach it"]


def test_ordinary_training_of_other_patients_is_nothing_to_hold_images_against(confirmed, ledger):
    written = ledger("others")
    for images, first in ((1, 0), (None, 5000)):
        cell = written.cell("net", 1000, images, **({} if images else TRAINED))
        for index in range(2):
            written.done(cell, index, hm=0.9, patients=voters(0.9, 40, first=first))
    (row,) = minimum_images(read_study(written.folder)).to_dict("records")
    assert row["outcome"] == "not judged"
    assert row["reason"].startswith("an interval takes votes of the same test patients")


def test_a_single_count_is_held_against_ordinary_training(confirmed):
    alone = minimum_images(confirmed({2: (0.9, 0.9)})).iloc[0]
    assert (alone["by_points"], alone["at_least"], alone["minimum_images"]) == (2, 1, 2)


def test_the_rule_is_the_studys_own(confirmed):
    loose = confirmed({1: (0.7, 0.7), 2: (0.9, 0.9)}, margin=0.3, target=0.6, level=0.9, floor=0.4, resamples=300)
    assert Rule.of(loose.config) == Rule(0.3, 0.6, 0.9, 0.4, 300)
    (row,) = minimum_images(loose).to_dict("records")
    assert (row["by_points"], row["minimum_images"], row["target_images"], row["level"]) == (1, 1, 1, 0.9)
    assert Rule.of(study().config) == Rule() == Rule(0.10, 0.80, 0.95, 0.5, 2000)


def test_without_votes_the_points_alone_answer():
    trained = {"method": "train", "images": None, "label_init": None, "distill_steps": None, "distill_epochs": None}
    two = [network("net", 1, {1: 0.6, 2: 0.9}, seed=seed) for seed in (0, 1)]
    row = answer(*two, *([trained | {"parameters": 1, "test_hm": 0.9, "seed": seed}] for seed in (0, 1))).iloc[0]
    assert (row["by_points"], row["outcome"], row["censored"]) == (2, "not judged", True)
    assert row["reason"].startswith("an interval takes votes of the same test patients")


def test_the_bounds_do_not_depend_on_what_else_was_studied(ledger):
    alone, beside = ledger("here"), ledger("there", name="here")
    for written, networks in ((alone, ("net",)), (beside, ("other", "net", "third"))):
        for name in networks:
            for images in (1, 2) if written is alone else (2, 1):
                cell = written.cell(name, 10, images)
                for seed in range(2):  # alike, so that what seeds differ by, pooled over cells, is nothing
                    written.done(cell, seed, hm=0.5 + 0.2 * images, patients=voters(0.5 + 0.2 * images))
            cell = written.cell(name, 10, None, **TRAINED)
            for seed in range(2):
                written.done(cell, seed, hm=0.95, patients=voters(0.95))
    columns = ["interval_low", "interval_high", "shortfall_low", "shortfall_high"]
    first, second = (
        count_evidence(read_study(written.folder)).query("backbone == 'net'").set_index("images")[columns].sort_index()
        for written in (alone, beside)
    )
    pd.testing.assert_frame_equal(first, second)


def test_folds_are_pooled_before_they_are_resampled(ledger):
    written = ledger(config={"confirm": {"folds": 2}})
    for images, hm in ((1, 0.6), (2, 0.9), (None, 0.9)):
        for fold, cell in enumerate(written.rotated("net", 1000, images, 2, **({} if images else TRAINED))):
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
