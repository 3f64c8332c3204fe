"""A cell of films with findings: what is told of each finding, and the labels of its images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from analysis.figures.cells.findings import finding_figure, finding_frame
from analysis.page.content import make_content
from analysis.page.gallery import films
from analysis.pictures import finding_caption
from analysis.publish import figures
from analysis.records.packages import likeliest, read_distilled
from analysis.records.records import Study, read_study
from tests.analysis.films import LABELS, PATIENTS, SCORES, film_split

CLASSES = ["Mass", "<b>Edema</b>", "Hernia"]
FOUND = [
    {"class": "Mass", "auc": 0.75, "auc_low": 0.5, "auc_high": 0.9, "positives": 12, "negatives": 17},
    {"class": "<b>Edema</b>", "auc": 0.5, "auc_low": 0.4, "auc_high": 0.6, "positives": 10, "negatives": 20},
    {"class": "Hernia", "auc": None, "auc_low": None, "auc_high": None, "positives": 0, "negatives": 30},
]


def _package(path: Path, facts: str = json.dumps({"classes": CLASSES})) -> None:
    tensors = {
        "images": np.random.default_rng(0).normal(size=(1, 2, 1, 8, 8)),
        "labels": np.array([[[0.1, 0.7, 0.2], [0.9, 0.25, 0.5]]]),
        "rates": np.array([[0.03]]),
    }
    metadata = {"format": "sldd-package/5", "facts": facts}
    save_file({name: tensor.astype(np.float32) for name, tensor in tensors.items()}, path, metadata)


@pytest.fixture
def study(ledger) -> Study:
    written = ledger(config={"task": "multilabel"})
    cell = written.cell("net", 1000, 2, task="multilabel")
    test = film_split(LABELS, SCORES, PATIENTS) | {"classes": FOUND}
    trial = written.trial(cell, 1)
    written.end(trial, validation=test, test=test, delta=None)
    _package(trial / "package.safetensors")
    return read_study(written.folder)


def test_a_finding_without_an_auc_is_not_drawn_at_zero(study: Study) -> None:
    frame = finding_frame(study)
    assert frame["finding"].tolist() == CLASSES
    assert frame["auc"].isna().tolist() == [False, False, True]
    (points,) = finding_figure(frame).data
    assert points.y == ("&lt;b&gt;Edema&lt;/b&gt;", "Mass")
    assert points.x == (0.5, 0.75)
    assert points.error_x.array == pytest.approx([0.1, 0.15])
    assert points.error_x.arrayminus == pytest.approx([0.1, 0.25])


@pytest.mark.parametrize("damage", [None, 3, "classes", [None], [{"class": "Mass", "auc": "high"}], {}])
def test_a_damaged_result_costs_its_own_points(ledger, damage: object) -> None:
    written = ledger(config={"task": "multilabel"})
    test = film_split(LABELS, SCORES, PATIENTS) | {"classes": damage}
    written.end(written.trial(written.cell("net", 1, 2, task="multilabel"), 1), validation=test, test=test, delta=None)
    assert finding_frame(read_study(written.folder))["auc"].notna().sum() == 0


def test_a_cell_shows_its_films_and_every_finding(study: Study) -> None:
    content = make_content([study])
    ((name, piece),) = content.cells.items()
    assert name.startswith("study-0/")
    assert "test AUC" in piece["html"]
    assert piece["html"].count("<figure") == 2
    assert "&lt;b&gt;Edema&lt;/b&gt; 70 %" in piece["html"]
    assert "<b>Edema" not in piece["html"]
    assert piece["data"][0]["x"] == [0.5, 0.75]
    card = next(section.html for section in content.sections["study-0"] if section.id == "study-0-cell")
    assert "finding by finding" in card
    assert "HM" not in card
    assert [name for name, _ in figures(study)][-1].startswith("auc-by-finding-")


def test_labels_are_said_from_the_likeliest_on(study: Study) -> None:
    distilled = read_distilled(study.trial_folder(study.records["trial"].iloc[0]))
    assert distilled is not None
    assert distilled.findings
    assert likeliest(distilled, distilled.labels[0, 1], 2) == [("Mass", pytest.approx(0.9)), ("Hernia", 0.5)]
    assert finding_caption(distilled, distilled.labels[0, 0]) == ["<b>Edema</b>: 70%", "Hernia: 20%", "Mass: 10%"]
    assert "image 2, soft label Mass 90 %" in films(distilled)


DEEP = '{"classes": ' + "[" * 100_000 + "]" * 100_000 + "}"


@pytest.mark.parametrize(
    "facts", ['{"classes": ["Mass"]}', '{"classes": [1, 2, 3]}', '{"classes": null}', "[]", "{", DEEP]
)
def test_names_that_do_not_go_with_the_labels(tmp_path: Path, facts: str) -> None:
    _package(tmp_path / "package.safetensors", facts)
    assert read_distilled(tmp_path) is None


def test_a_number_of_films_that_is_none_costs_itself(study: Study) -> None:
    path = study.trial_folder(study.records["trial"].iloc[0]) / "result.json"
    result = json.loads(path.read_text())
    result["test"]["classes"][0]["positives"] = "x"
    path.write_text(json.dumps(result))
    (points,) = finding_figure(finding_frame(study)).data
    assert "n/a with it, 17 without" in points.hovertext[1]
