"""What is said of methods beside real images, and what the figures and tables of methods are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from analysis.figures import cost, methods
from analysis.records.records import Study, read_study
from analysis.tables.cli import cell_table
from analysis.tables.cross_network import cross_table
from analysis.tables.formats import as_text
from analysis.text.controls import control_sentences

METHODS = {
    "random_real": {"label": "random real patches", "control": True},
    "herding": {"label": "herding", "control": True},
    "dm": {"label": "DM"},
    "sldd": {"label": "SLDD"},
}


def _study(ledger: Callable[..., Any], scores: dict[str, float], **described: Any) -> Study:
    study = ledger("methods", methods=METHODS, **described)
    for method, hm in scores.items():
        cell = study.cell("net", 1000, 3, cell=f"net-{method}", method=method)
        fresh = [{"backbone": "net", "start": 0, "score": hm - 0.1}, {"backbone": "other", "start": 0, "score": 0.5},
                 {"backbone": "net", "start": 1, "error": "cannot"}, "damaged"]  # fmt: skip
        study.done(cell, 0, hm=hm, core_seconds=10.0, fresh=fresh)
    return read_study(study.folder)


def test_a_method_that_does_not_beat_real_images_is_named(ledger: Callable[..., Any]) -> None:
    study = _study(ledger, {"random_real": 0.7, "dm": 0.6, "sldd": 0.9})
    said = "DM does not beat real images in HM: 3 images on net (0.60 against 0.70 of random real patches)."
    assert list(control_sentences(study)) == [said]
    assert said in methods.FIGURE.caption(study)


def test_the_best_of_real_images_is_what_has_to_be_beaten(ledger: Callable[..., Any]) -> None:
    study = _study(ledger, {"herding": 0.8, "random_real": 0.7, "dm": 0.75, "sldd": 0.8})
    assert list(control_sentences(study)) == [
        "DM does not beat real images in HM: 3 images on net (0.75 against 0.80 of herding).",
        "SLDD does not beat real images in HM: 3 images on net (0.80 against 0.80 of herding).",
    ]


def test_without_real_images_that_is_said(ledger: Callable[..., Any]) -> None:
    (said,) = control_sentences(_study(ledger, {"dm": 0.6, "sldd": 0.9}))
    assert said.startswith("No real images beside them (grid.method=random_real, herding)")


def test_one_method_is_held_against_none(ledger: Callable[..., Any]) -> None:
    assert list(control_sentences(_study(ledger, {"sldd": 0.9}))) == []


def test_cost_is_drawn_for_each_method(ledger: Callable[..., Any]) -> None:
    study = _study(ledger, {"random_real": 0.7, "sldd": 0.9})
    frame = cost.FIGURE.numbers(study)
    assert frame is not None
    drawn = cost.FIGURE.draw(frame)
    assert [(trace.name, trace.x[0]) for trace in drawn.data] == [("random real patches", 10.0), ("SLDD", 10.0)]


def test_networks_are_told_apart_by_symbols_that_the_legend_has(ledger: Callable[..., Any]) -> None:
    study = ledger("methods", methods=METHODS)
    for place, name in enumerate(["net", "other"]):
        for method in ("sldd", "train"):
            images = None if method == "train" else 3
            cell = study.cell(name, 1000 + place, images, cell=f"{name}-{method}", method=method)
            study.done(cell, 0, core_seconds=10.0)
    frame = cost.FIGURE.numbers(read_study(study.folder))
    assert frame is not None
    drawn = cost.FIGURE.draw(frame)
    assert [trace.name for trace in drawn.data] == ["SLDD", "ordinary training", "net", "other"]
    assert drawn.data[0].marker.symbol == (drawn.data[2].marker.symbol, drawn.data[3].marker.symbol)


def test_fresh_starts_are_a_table_by_network(ledger: Callable[..., Any]) -> None:
    study = _study(ledger, {"random_real": 0.7, "sldd": 0.9}, config={"evaluate": {"starts": 2}})
    assert study.records["fresh_score"].round(3).tolist() == [0.6, 0.8]
    table = cross_table(study)
    assert table is not None
    assert list(table.rows()) == [["net-random_real", "0.600", "0.500"], ["net-sldd", "0.800", "0.500"]]
    assert table.frame["study"].tolist() == ["methods", "methods"]
    assert table.lines[1] == "Could not be trained so: net."
    (line,) = [line for line in as_text([cell_table(study)], []).splitlines() if "net-sldd" in line]
    assert line.split()[-3:] == ["0.800", "10", "512"], "fresh starts, core seconds, peak memory"
    assert cross_table(_study(lambda *a, **k: ledger("other", **k), {"sldd": 0.9})) is None
