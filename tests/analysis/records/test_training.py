"""Ordinary training beside distilled images: shown as what it is, and never part of the answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from analysis.dashboard import write_dashboard
from analysis.figures import hm as figures
from analysis.figures.cells.threshold_curve import shown_trials
from analysis.records.cell_means import cell_means, trained_beside, training_means, usual_epochs
from analysis.records.records import Study, read_study
from analysis.stats.evidence import count_evidence
from analysis.stats.minimum import minimum_images
from analysis.text.summary import headline
from tests.analysis.conftest import Ledger

TRAINING = {"method": "train", "label_init": None, "distill_steps": None, "distill_epochs": None}


@pytest.fixture
def study(ledger: Callable[..., Ledger]) -> Study:
    written = ledger()
    for images, hm in ((1, 0.6), (3, 0.8)):
        written.done(written.cell("net", 1000, images), 0, hm=hm)
    trained = written.cell("net", 1000, None, cell="net-as_is-train", **TRAINING)  # type: ignore[arg-type]
    for index, hm in enumerate((0.85, 0.95)):
        written.done(trained, index, hm=hm)
    return read_study(written.folder)


def trained_lines(drawn: Any) -> list[float]:
    """The heights of the dotted lines that stand for ordinary training."""
    return [trace.y[0] for trace in drawn.data if trace.mode == "lines" and trace.showlegend is False]


def measured(drawn: Any) -> set[str]:
    """Names of the traces that are not the papers'."""
    return {trace.name for trace in drawn.data if trace.legendgroup != "published"}


def test_training_is_averaged_apart(study: Study) -> None:
    assert cell_means(study)["images"].tolist() == [1, 3]
    (trained,) = training_means(study).to_dict("records")
    assert (trained["backbone"], trained["seeds"]) == ("net", 2)
    assert trained["hm"] == pytest.approx(0.9)


def test_another_start_is_another_setting(ledger: Callable[..., Ledger]) -> None:
    written = ledger()
    for start, hm in (("xavier", 0.5), ("/where/ever/public.safetensors", 0.9)):
        for images in (1, 3):
            written.done(written.cell("net", 1000, images, cell=f"net-m{images}-{hm}", start=start), 0, hm=hm)
        trained = written.cell("net", 1000, None, cell=f"net-train-{hm}", start=start, **TRAINING)  # type: ignore[arg-type]
        written.done(trained, 0, hm=hm + 0.05)
    study = read_study(written.folder)
    assert cell_means(study)["hm"].tolist() == [0.5, 0.5, 0.9, 0.9]
    assert set(study.records["start"]) == {"xavier", "public.safetensors"}
    by_images = figures.hm_by_images_figure(figures.hm_by_images_frame(study))
    assert trained_lines(by_images) == pytest.approx([0.55, 0.95])
    assert "gives HM 0.55 for net (start xavier) and 0.95 for net (start public.safetensors)." in headline(study)[1]


def test_training_on_fewer_patches_is_told_apart(ledger: Callable[..., Ledger]) -> None:
    written = ledger()
    written.done(written.cell("net", 1000, 1), 0, hm=0.6)
    for patches, classes, hm in ((None, "INP", 0.9), (100, "INP", 0.7), (None, "NP", 0.5)):
        facts = TRAINING | {"train_patches": patches, "train_classes": classes}
        written.done(written.cell("net", 1000, None, cell=f"net-{hm}", **facts), 0, hm=hm)  # type: ignore[arg-type]
    few = read_study(written.folder)
    by_parameters = figures.hm_by_parameters_figure(figures.hm_by_parameters_frame(few))
    assert measured(by_parameters) == {
        "1 image",
        "ordinary training, all patches, all classes",
        "ordinary training, 100 patches a class, all classes",
        "ordinary training, all patches, N and P only",
    }
    by_images = figures.hm_by_images_figure(figures.hm_by_images_frame(few))
    assert trained_lines(by_images) == [pytest.approx(0.9)]
    assert "Ordinary training on all patches gives HM 0.90 for net." in headline(few)[1]
    assert shown_trials(few)["label"].nunique() == 4


def test_trials_from_before_there_was_a_choice_stay_with_later_ones(ledger: Callable[..., Ledger]) -> None:
    written = ledger()
    cell = written.cell("net", 1000, None, cell="net-as_is-train", **TRAINING)  # type: ignore[arg-type]
    written.done(cell, 0, hm=0.7)
    later = written.trial(cell, 1, train_classes="INP", train_view="patches", start="xavier")
    result = (written.folder / "trials" / cell / "0" / "result.json").read_text().replace("0.7", "0.9")
    (later / "result.json").write_text(result)
    (means,) = training_means(read_study(written.folder)).to_dict("records")
    assert means["hm"] == pytest.approx(0.8)


def test_training_is_no_image_count(study: Study) -> None:
    (answer,) = minimum_images(study).to_dict("records")
    assert answer["by_points"] == 3
    assert answer["best_hm"] == pytest.approx(0.8), "the margin is to the best distilled count"


def test_training_is_drawn_and_told(study: Study) -> None:
    by_parameters = figures.hm_by_parameters_figure(figures.hm_by_parameters_frame(study))
    assert measured(by_parameters) == {"1 image", "3 images", "ordinary training"}
    by_images = figures.hm_by_images_figure(figures.hm_by_images_frame(study))
    assert trained_lines(by_images) == [pytest.approx(0.9)]
    assert "Ordinary training on all patches gives HM 0.90 for net." in headline(study)[1]
    assert shown_trials(study)["label"].tolist() == ["net · 1 image", "net · 3 images", "net · ordinary training"]
    assert write_dashboard(study.folder).is_file()


def test_training_of_other_epochs_is_not_drawn_beside(ledger):
    written = ledger()
    for epochs, hm in ((None, 0.9), (100, 0.6)):
        for method, images in (("sldd", 1), ("train", None)):
            cell = written.cell("net", 10, images, cell=f"{method}-{epochs}", method=method, epochs=epochs)
            written.done(cell, 0, hm=hm if method == "train" else 0.5)
    frame = figures.hm_by_images_frame(read_study(written.folder))
    assert frame[["hm", "trained_hm"]].to_numpy().tolist() == [[0.5, 0.9], [0.5, 0.6]]


def test_a_cell_is_held_against_training_of_its_own_epochs_or_else_of_the_most(ledger):
    written = ledger()
    for images in (1, 2):
        written.done(written.cell("net", 10, images, cell=f"m{images}", epochs=(50, 100)[images - 1]), 0, hm=0.5)
    trained = ((20, 0.6), (50, 0.7), (200, 0.9))
    for epochs, hm in trained:
        written.done(written.cell("net", 10, None, cell=f"train-{epochs}", method="train", epochs=epochs), 0, hm=hm)
    for name, facts in (("few", {"train_patches": 9}), ("np", {"train_classes": "NP"}), ("group", {"norm": "group"})):
        written.done(written.cell("net", 10, None, cell=name, method="train", epochs=50, **facts), 0, hm=1.0)
    assert count_evidence(read_study(written.folder))["trained_hm"].tolist() == [0.7, 0.9]


@pytest.mark.parametrize(("own", "expected"), [(None, 0.9), (100, 0.7), (50, 0.9), (400, 0.9)])
def test_training_without_epochs_of_its_own_took_the_studys(ledger, own, expected):
    written = ledger(config={"outer": {"epochs": 400}})
    for epochs, hm in ((None, 0.9), (100, 0.7), (200, 0.8)):
        written.done(written.cell("net", 10, None, cell=f"train-{epochs}", method="train", epochs=epochs), 0, hm=hm)
    study = read_study(written.folder)
    trained = training_means(study)
    cell = trained.iloc[0].to_dict() | {"epochs": own}
    assert trained_beside(trained, usual_epochs(study))(cell)["hm"].tolist() == [expected]


def test_a_study_that_counts_steps_has_no_usual_epochs(study: Study) -> None:
    assert usual_epochs(study) is None
