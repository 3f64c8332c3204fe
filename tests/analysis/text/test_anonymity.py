"""Reports as a table and in words."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import pytest

from analysis.dashboard import write_dashboard
from analysis.page.content import make_content
from analysis.records.records import read_study
from analysis.text.anonymity import (
    COLUMNS,
    REPORT,
    adjusted,
    anonymity_table,
    found_something,
    read_report,
    reports,
    sentences,
    works,
)
from ledger.storage import read_many
from tests.analysis.conftest import Ledger
from tests.analysis.reports import anonymity_report, found


@pytest.fixture
def report() -> dict[str, Any]:
    return anonymity_report()


def test_nothing_found_is_not_called_anonymous(report: dict[str, Any]) -> None:
    assert works(report)
    assert found_something(report) == []
    said = sentences(report)
    assert said[1].startswith("Verdict: nothing was found (14 tests, together at the 5 % level). That is not anonymity")
    together = " ".join(said)
    assert "3 distilled images against 20 patients who trained and 20 held-out patients (1,234 and 1,200" in together
    assert "calibrated by 8 references made anew on halves of the patients, 4 for each patient: AUC 0.52" in together
    assert "too few to tell 1 % from none: that takes 100" in together
    assert "0.97 of 2" in together
    assert "of 3 real training patches in the images' place 3 were found as copies and 3 matched" in together
    assert "of 3 noise images, 0" in together


def test_a_copy_is_found_whatever_the_tests_say(report: dict[str, Any]) -> None:
    report["nearest"]["pixel"]["copies"] = 1
    assert found_something(report) == ["images are as near to training patients as copies"]
    assert sentences(report)[1].startswith("Verdict: this package gives patients away")
    assert "Copies: 1 of 3." in " ".join(sentences(report))


def test_p_values_are_corrected_for_their_number(report: dict[str, Any]) -> None:
    report["membership"]["calibrated"]["p"] = 0.003  # 14 tests: 0.042
    report["theta_bn"]["found"]["p"] = 0.004  # 13 left: 0.052
    rows = {(row["attack"], row.get("measure")): row for row in adjusted(report) if row["subject"] == "package"}
    assert rows["membership", "calibrated"]["adjusted"] == pytest.approx(0.042)
    assert rows["theta_bn", None]["adjusted"] == pytest.approx(0.052)
    assert rows["copy", "pixel"]["adjusted"] == 1.0
    assert found_something(report) == ["membership inference"]
    assert (
        "Verdict: something was found (14 tests, together at the 5 % level): membership inference. By chance"
        in (sentences(report)[1])
    )
    assert all("adjusted" not in row for row in adjusted(report) if row["subject"] != "package")


def test_a_corrected_p_value_is_no_smaller_than_that_of_a_smaller_one(report: dict[str, Any]) -> None:
    report["membership"]["calibrated"]["p"] = 0.003  # 14 tests: 0.042
    report["theta_bn"]["found"]["p"] = 0.0031  # 13 left: 0.0403
    rows = {row["attack"]: row for row in adjusted(report) if row["subject"] == "package"}
    assert rows["membership"]["adjusted"] == rows["theta_bn"]["adjusted"] == pytest.approx(0.042)


@pytest.mark.parametrize(
    ("control", "attack", "measure", "change"),
    [
        ("real", "nearest", "pixel", {"copies": 2}),
        ("real", "nearest", "feature", {"copies": 2}),
        ("real", "reidentification", "pixel", {"matched": 2}),
        ("noise", "nearest", "pixel", {"copies": 1}),
        ("noise", "nearest", "ssim", {"copies": 1}),
        ("noise", "nearest", "feature", {"copies": 1}),
    ],
)
def test_attacks_whose_controls_fail_say_nothing(
    report: dict[str, Any], control: str, attack: str, measure: str, change: dict[str, int]
) -> None:
    report["controls"][control][attack][measure].update(change)
    assert not works(report)
    assert sentences(report)[1].startswith("Verdict: none. The controls failed")


def test_what_limits_a_report_is_said(report: dict[str, Any]) -> None:
    report |= {"divided": "manifest", "protocol": "paper", "theta_bn": None}
    report["membership"]["calibrated"] = None
    report["membership"]["raw"] = found(0.6, held_out=150)
    together = " ".join(sentences(report))
    assert "without references (--references): AUC 0.60" in together
    assert "with 1 false alarm among 150 held-out patients it finds 5 %" in together
    assert "this package has none" in together
    assert "The manifest divided the patients" in together
    assert "chose states on the held-out patients" in together


def test_the_control_of_the_membership_attack_is_said(report: dict[str, Any]) -> None:
    report["membership"]["control"] = {"trial": "net-train/1", "found": found(0.75, 0.002)}
    (said,) = (each for each in sentences(report) if each.startswith("Membership"))
    assert said.endswith("As a control, on ordinary training of the same network (net-train/1) it has AUC 0.75 "
                         "(0.65 to 0.85, p = 0.002).")  # fmt: skip
    report["membership"]["control"]["found"]["p"] = 0.3
    (said,) = (each for each in sentences(report) if each.startswith("Membership"))
    assert said.endswith("p = 0.30), so that it hardly finds members here, whatever they trained.")
    table = anonymity_table([report])
    row = table[table["subject"] == "trained"].iloc[0]
    assert (row["attack"], row["measure"], row["value"]) == ("membership", "calibrated", 0.75)
    assert found_something(report) == []  # the control is no test of the package


def test_the_table_has_a_row_for_every_subject_attack_and_measure(report: dict[str, Any]) -> None:
    table = anonymity_table([report, report | {"trial": "net-m3/5", "theta_bn": None}])
    assert table.dtypes.astype(str).to_dict() == COLUMNS
    assert table.groupby("trial").size().tolist() == [38, 37]  # 12 for each of three subjects, and two attacks more
    row = table[(table["attack"] == "membership") & (table["trial"] == "net-m3/4")].iloc[0]
    assert (row["measure"], row["value"], row["chance"], row["held_out"]) == ("calibrated", 0.52, 0.5, 20)
    assert table[table["attack"] == "copy"].set_index("subject")["value"].loc["real"].tolist() == [1.0] * 6
    assert anonymity_table([]).empty


def test_a_report_that_is_damaged_or_of_another_version_is_not_there(tmp_path: Path, report: dict[str, Any]) -> None:
    path = tmp_path / "anonymity.json"
    assert read_report(tmp_path) is None
    for content in ("{", "[]", json.dumps(report | {"format": "sldd-anonymity/0"})):
        path.write_text(content)
        assert read_report(tmp_path) is None
    for missing in ("membership", "controls", "nearest"):
        path.write_text(json.dumps({name: value for name, value in report.items() if name != missing}))
        assert read_report(tmp_path) is None
    path.write_text(json.dumps(report))
    assert read_report(tmp_path) == report


def test_the_page_shows_the_verdict_and_its_numbers(
    report: dict[str, Any], ledger: Callable[..., Ledger], tmp_path: Path
) -> None:
    study = ledger()
    folder = study.done(study.cell("net", 10, 1), 0)
    assert "give away" not in Path(write_dashboard(study.folder)).read_text()
    (folder / REPORT).write_text(json.dumps(report))
    page = Path(write_dashboard(study.folder)).read_text()
    assert "What the packages give away" in page
    for sentence in sentences(report):
        assert escape(sentence) in page


def test_a_page_reads_all_reports_at_once(
    report: dict[str, Any], ledger: Callable[..., Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    study = ledger()
    cell = study.cell("net", 10, 1)
    for index in range(2):
        (study.done(cell, index) / REPORT).write_text(json.dumps(report | {"trial": f"{cell}/{index}"}))
    asked: list[str] = []

    def counting(folder: Path, pattern: re.Pattern[str]) -> Any:
        asked.append(pattern.pattern)
        return read_many(folder, pattern)

    monkeypatch.setattr("analysis.text.anonymity.read_many", counting)
    monkeypatch.setattr("analysis.text.sensitivity.read_many", counting)
    content = make_content([read_study(study.folder)])
    assert "study-0-membership" in content.charts
    assert len(asked) == 2, "the reports, and the tables of fragility"
    assert [found["trial"] for found in reports(read_study(study.folder))] == [f"{cell}/0", f"{cell}/1"]
