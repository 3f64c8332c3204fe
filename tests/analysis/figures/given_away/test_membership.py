"""Score against membership."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from analysis.figures.given_away.membership import membership_figure, membership_frame
from analysis.page.content import make_content
from analysis.records.records import read_study
from analysis.text.anonymity import REPORT
from tests.analysis.conftest import Ledger
from tests.analysis.reports import anonymity_report, found


@pytest.fixture
def attacked(tmp_path: Path) -> Callable[[str], Ledger]:
    """A study of one package that was attacked with references, one without any, and ordinary training beside them."""

    def made(name: str) -> Ledger:
        study = Ledger(tmp_path / name)
        study.described["name"] = name
        trained = study.done(study.cell("net", 1000, None, method="train"), 0, hm=0.95)
        control = {"trial": f"{trained.parent.name}/{trained.name}", "found": found(0.8, 0.001)}
        for images, calibrated in ((1, None), (3, found(0.62))):
            folder = study.done(study.cell("net", 1000, images), 0, hm=0.3 * images)
            report = anonymity_report() | {"trial": f"{folder.parent.name}/{folder.name}"}
            report["membership"] |= {"calibrated": calibrated, "control": calibrated and control}
            (folder / REPORT).write_text(json.dumps(report))
        study.save()
        return study

    return made


def test_a_package_is_a_point_and_its_control_another(attacked: Callable[[str], Ledger]) -> None:
    frame = membership_frame([read_study(attacked("one").folder)])
    assert frame[["subject", "measure", "value", "hm"]].to_numpy().tolist() == [
        ["package", "raw", 0.6, pytest.approx(0.3)],
        ["package", "calibrated", 0.62, pytest.approx(0.9)],
        ["trained", "calibrated", 0.8, 0.95],
    ]
    raw, calibrated, control = membership_figure(frame).data
    assert raw.marker.symbol.endswith("-open")
    assert "without references" in raw.name
    assert not calibrated.marker.symbol.endswith("-open")
    assert calibrated.error_x.array == pytest.approx([0.1])
    assert control.name == "control: trained on the patients themselves"
    assert "membership AUC: 0.800 (0.700 to 0.900)" in control.hovertext[0]


def test_a_study_that_nobody_attacked_has_no_such_figure(tmp_path: Path) -> None:
    study = Ledger(tmp_path / "plain")
    study.done(study.cell("net", 1000, 3), 0)
    study.save()
    assert membership_frame([read_study(study.folder)]).empty
    assert "study-1-membership" not in make_content([read_study(study.folder)]).charts


def test_several_studies_stand_beside_each_other(attacked: Callable[[str], Ledger]) -> None:
    studies = [read_study(attacked(name).folder) for name in ("one", "two")]
    content = make_content(studies)
    names = [trace["name"] for trace in content.charts["beside-membership"]["data"]]
    assert names == [
        "one, net, 1 image, without references",
        "one, net, 3 images",
        "two, net, 1 image, without references",
        "two, net, 3 images",
        "control: trained on the patients themselves",
    ]
