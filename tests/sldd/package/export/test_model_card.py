"""Model cards: what a package says, intervals from its counts, and "not stated" elsewhere."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sldd.package import Claims, Package, Scores
from sldd.package.cli.commands import main
from sldd.package.format.container import read
from sldd.package.format.signature import generate


def _card(path: Path, *options: str) -> dict[str, Any]:
    out = path.with_name("card.json")
    assert main(["card", str(path), "--out", str(out), *options]) == 0
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def _said(card: dict[str, Any], number: int) -> str:
    (row,) = [row for row in card["items"] if row["number"] == number]
    return str(row["said"])


def _report(path: Path) -> dict[str, Any]:
    test = {"auc": 0.71, "auc_low": 0.6, "auc_high": 0.81, "p": 0.0004}
    return {
        "format": "sldd-anonymity/1",
        "package": hashlib.sha256(path.read_bytes()).hexdigest(),
        "patients": {"training": 83, "held_out": 34},
        "membership": {"raw": test | {"auc": 0.55}, "calibrated": test},
        "theta_bn": None,
    }


def test_a_card_says_what_the_package_holds(saved: Path, package: Package) -> None:
    card = _card(saved)
    assert card["package"]["digest"] == read(saved).metadata["digest"]
    rows = {(row["patients"], row["measure"]): row for row in card["scores"]}
    test = rows["test", "sensitivity"]
    assert (test["number"], test["positive"], test["value"]) == (24, 5, 0.8)
    assert test["low"] == pytest.approx(0.3755, abs=1e-3)  # 4 of 5 by Wilson
    assert test["high"] == pytest.approx(0.9638, abs=1e-3)
    assert rows["test", "hm"]["low"] is None
    assert _said(card, 7) == _said(card, 44) == "not stated"
    assert "unsigned" in _said(card, 40)
    assert "not stated (python -m study.anonymity)" in _said(card, 11)
    assert "seed 3" in _said(card, 24)
    numbers = [row["number"] for row in card["items"]]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] <= 44


def test_a_card_without_claims_states_no_scores(saved: Path, package: Package) -> None:
    replace(package, claims=None).save(saved)
    assert _card(saved)["scores"] == []
    assert main(["card", str(saved), "--out", str(saved.with_name("card.md"))]) == 0
    text = saved.with_name("card.md").read_text()
    assert "Not stated." in text
    assert "no scores are claimed" in text


def test_a_card_says_what_makes_its_scores_and_its_network_doubtful(saved: Path, package: Package) -> None:
    assert package.claims is not None
    assert package.self_test is not None
    shaky = replace(package.self_test, spread=0.2)
    for change, words in (
        ({"claims": replace(package.claims, protocol="paper")}, "chosen on test patients: scores are too high"),
        ({"claims": replace(package.claims, test=None)}, "no test patients: validation scores are too high"),
        ({"self_test": shaky}, "chaotic inner steps: another machine may get another network"),
        ({"self_test": None, "expected": None}, "no self-test"),
    ):
        package.save(saved)
        assert words not in _said(_card(saved), 40)
        replace(package, **change).save(saved)
        assert words in _said(_card(saved), 40)
    words = "batch-norm statistics can give members away"
    assert words in _said(_card(saved), 40)
    replace(package, theta_bn={}).save(saved)
    assert words not in _said(_card(saved), 40)


def test_scores_over_classes_have_no_counts_for_an_interval(saved: Path, package: Package) -> None:
    scores = Scores(24, 0, 0, 0.8, None, None, 0.9)
    replace(
        package, classes=("a", "b", "c"), exclusive=True, delta=None, claims=Claims("validation", scores, scores)
    ).save(saved)
    card = _card(saved)
    assert {row["low"] for row in card["scores"]} == {None}
    assert "balanced accuracy" in _said(card, 28)
    assert _said(card, 29) == "not stated"


def test_means_over_findings_have_no_interval_and_no_threshold(saved: Path, package: Package) -> None:
    scores = Scores(100, 60, 0, None, None, None, 0.8)
    replace(package, classes=("a", "b", "c"), delta=None, claims=Claims("validation", scores, None)).save(saved)
    card = _card(saved)
    assert [(row["measure"], row["low"], row["high"]) for row in card["scores"]] == [("auc", None, None)]
    assert _said(card, 26) == "state chosen on validation patients"
    assert _said(card, 28) == "AUC, the mean over the findings"
    assert _said(card, 29) == "not stated"


def test_a_card_does_not_overwrite_the_report(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reports = [saved.with_name(name) for name in ("anonymity.json", "other.json")]
    for report in reports:
        report.write_text(json.dumps(_report(saved)))
    assert main(["card", str(saved), "--out", str(reports[0])]) == 2
    assert main(["card", str(saved), "--out", str(reports[1]), "--anonymity", str(reports[1])]) == 2
    assert capsys.readouterr().err.count("a file that is read here") == 2
    assert [json.loads(report.read_text()) for report in reports] == [_report(saved)] * 2


def test_an_anonymity_report_is_of_this_very_package(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report, beside = _report(saved), saved.with_name("anonymity.json")
    beside.write_text(json.dumps(report))
    assert "83 patients who trained and 34 others; membership AUC 0.71 (0.60 to 0.81), p = 0.0004" in _said(
        _card(saved), 11
    )
    beside.write_text(json.dumps(report | {"package": "0" * 64}))
    assert "attacks on it not stated" in _said(_card(saved), 11)
    assert main(["card", str(saved), "--anonymity", str(beside)]) == 2
    assert "another package" in capsys.readouterr().err
    beside.write_text("[]")
    assert main(["card", str(saved), "--anonymity", str(beside)]) == 2
    assert "no report" in capsys.readouterr().err


def test_a_signers_words_are_words(saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generate(tmp_path / "key")
    signed = tmp_path / "signed.safetensors"
    words = "A | [click](http://x) <b>"
    main(["sign", str(saved), "--key", str(tmp_path / "key"), "--signer", words, "--out", str(signed)])
    assert _card(signed)["package"]["signed"]["signer"] == words
    capsys.readouterr()
    assert main(["card", str(signed)]) == 0
    assert "A \\| \\[click\\](http://x) \\<b\\>" in capsys.readouterr().out


def test_a_card_of_another_ending_is_refused(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["card", str(saved), "--out", str(saved.with_name("card.txt"))]) == 2
    assert ".md or a .json" in capsys.readouterr().err
