"""Transfer learning as published beside what was measured, and cells that only prepare where others start."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.figures.minimum import minimum_frame
from analysis.figures.parts.facets import choices, facet_keys
from analysis.figures.search import finished_figure, finished_frame
from analysis.page.content import make_content
from analysis.page.panels import panels
from analysis.published import transfers
from analysis.records.cell_means import cell_means, setting_labels, training_means
from analysis.records.multilabel_runs import FilmRun
from analysis.records.records import Study, read_study, write_records
from analysis.stats.coverage import confirmed_cells
from analysis.stats.evidence import count_evidence
from analysis.stats.minimum import minimum_images
from analysis.tables.cli import cell_table, main
from analysis.tables.formats import Table
from analysis.tables.transfer import network_name, pretraining, transfer_frame, transfer_table
from analysis.text.summary import headline, highlights
from tests.analysis.conftest import Ledger
from tests.analysis.films import LABELS, PATIENTS, SCORES, film_split

TRAINING: dict[str, Any] = {"method": "train", "label_init": None, "distill_steps": None, "distill_epochs": None}
CONFIG = {"task": "multilabel", "minimum": {"resamples": 100}}
KEY = ["network", "transfer", "pretraining"]


def told(skill: float) -> np.ndarray:
    """Probabilities that know so much of the labels."""
    return SCORES + skill * np.nan_to_num(LABELS)


def trained(ledger: Ledger, name: str, backbone: str = "torchvision/resnet50", **changed: Any) -> str:
    """A cell of ordinary training on films."""
    return ledger.cell(backbone, 23_000_000, None, **({"cell": name, "task": "multilabel"} | TRAINING | changed))


def confirm(ledger: Ledger, cell: str, *skills: float, phase: str = "confirm", **changed: Any) -> None:
    """A trial a skill."""
    for index, skill in enumerate(skills, start=10 if phase == "confirm" else 0):
        split = film_split(LABELS, told(skill), PATIENTS)
        test = split if phase == "confirm" else None
        trial = ledger.trial(cell, index, phase, outer_lr=0.02 / (1 + index))
        ledger.end(trial, validation=split, test=test, delta=None, **changed)


def found(frame: pd.DataFrame, network: str, transfer: str, before: str) -> pd.Series:
    """The row about that."""
    (place,) = frame.index[(frame[KEY] == [network, transfer, before]).all(axis=1)]
    return frame.loc[place]


def column(table: Table, heading: str) -> list[str]:
    place = [each.heading for each in table.columns].index(heading)
    return [row[place] for row in table.rows()]


@pytest.mark.parametrize(
    ("backbone", "name"),
    [
        ("resnet50", "resnet50"),
        ("torchvision/resnet50", "resnet50"),
        ("timm/DenseNet121", "densenet121"),
        ("torchvision/resnet50/8", "8"),  # narrower layers: another network
    ],
)
def test_a_network_goes_by_its_published_name(backbone: str, name: str) -> None:
    assert network_name(backbone) == name


@pytest.mark.parametrize(
    ("start", "chain", "transfer", "words"),
    [
        ("pretrained", None, "regular", "imagenet"),
        ("xavier", None, "regular", "none"),
        ("xavier", "NIH", "regular", "nih"),
        ("pretrained", "nih+chexpert", "regular", "imagenet+nih+chexpert"),
        ("pretrained", "chexpert+nih", "regular", "imagenet+chexpert+nih"),
        ("xavier", "pretrained+nih", "mixed", "imagenet+nih"),
        ("pretrained", "nih+pretrained", "mixed", "imagenet+nih"),
        ("xavier", "nih+chexpert", "co_trained", "chexpert+nih"),
        ("weights.safetensors", "nih", "regular", "weights.safetensors+nih"),
    ],
)
def test_what_a_network_was_trained_on_in_the_published_words(
    start: str, chain: str | None, transfer: str, words: str
) -> None:
    assert pretraining(start, chain, transfer) == words


def as_cell(row: pd.Series) -> dict[str, Any]:
    """The cell that a published row asks for."""
    first, *rest = row["pretraining"].split("+")
    names = rest if first == "imagenet" else [first, *rest]
    facts = {"backbone": f"torchvision/{row['backbone']}", "start": "pretrained" if first == "imagenet" else "xavier"}
    if row["transfer"] == "mixed":
        facts |= {"start": "xavier", "chain": ["pretrained", *names]}
    else:
        facts |= {"chain": [name.upper() for name in names]}
    return facts | {"transfer": row["transfer"] if facts["chain"] else None}


def test_every_published_row_finds_its_cell_and_no_other(ledger: Callable[..., Ledger]) -> None:
    written, rows = ledger(config=CONFIG), transfers()
    for place, row in rows.iterrows():
        confirm(written, trained(written, f"cell-{place}", **as_cell(row)), float(place) / 16)
    study = read_study(written.folder)
    table = transfer_table([study])
    assert table.frame["pretraining"].tolist() == rows["pretraining"].tolist(), "as many rows, in printed order"
    assert table.frame["status"].eq("").all()
    assert table.frame["ap"].tolist() == pytest.approx(
        [FilmRun(PATIENTS, LABELS, told(place / 16)).ap for place in rows.index]
    ), "each beside its own"
    assert table.frame["published_test_ap"].tolist() == rows["test_ap"].tolist()
    assert not any(line.startswith("Not measured") for line in table.lines)


def test_measured_means_their_interval_and_runs(ledger: Callable[..., Ledger]) -> None:
    written = ledger(config=CONFIG)
    confirm(written, trained(written, "a", start="pretrained"), 0.1, 0.3)
    study = read_study(written.folder)
    row = found(transfer_frame([study]), "resnet50", "regular", "imagenet")
    runs = [FilmRun(PATIENTS, LABELS, told(skill)) for skill in (0.1, 0.3)]
    assert row["auc"] == pytest.approx(np.mean([run.auc for run in runs]))
    assert row["ap"] == pytest.approx(np.mean([run.ap for run in runs]))
    for score in ("auc", "ap"):
        assert row[f"{score}_low"] < row[score] < row[f"{score}_high"]
    assert (row["seeds"], row["backbone"], row["study"]) == (2, "torchvision/resnet50", "demo")
    table = transfer_table([study])
    assert re.fullmatch(r"0\.\d{3} \(0\.\d{3} to 0\.\d{3}\)", column(table, "Measured\nAUC")[0])
    assert column(table, "Runs")[:2] == ["2", "-"]
    assert column(table, "Published\ntrain accuracy")[0] == "0.9353"
    assert any("95 % interval, patients by a bootstrap" in line for line in table.lines)
    assert "here not measured" in table.lines[-1]


def test_runs_on_other_films_have_a_mean_and_no_interval(ledger: Callable[..., Ledger]) -> None:
    written = ledger(config=CONFIG)
    cell = trained(written, "a", start="pretrained")
    confirm(written, cell, 0.1)
    other = film_split(LABELS[::-1], told(0.1)[::-1], PATIENTS)
    written.end(written.trial(cell, 11), validation=other, test=other, delta=None)
    row = transfer_frame([read_study(written.folder)]).iloc[0]
    assert row["seeds"] == 2
    assert pd.isna(row["auc_low"])
    assert pd.isna(row["ap_high"])


def test_a_row_without_a_number_says_why(ledger: Callable[..., Ledger]) -> None:
    written = ledger(config=CONFIG)
    gone = {"chain": ["chexpert"], "transfer": "regular", "refused": "chexpert is not there"}
    trained(written, "gone", **gone)
    trained(written, "planned", chain=["nih"], transfer="regular")
    written.trial(trained(written, "busy", start="pretrained"), 0)
    table = transfer_table([read_study(written.folder)])
    said = dict(zip(table.frame["pretraining"][:3], column(table, "Network run")[:3], strict=True))
    assert said == {
        "imagenet": "running (torchvision/resnet50)",
        "chexpert": "refused: chexpert is not there (torchvision/resnet50)",
        "nih": "not run",
    }
    assert column(table, "Measured\nAP")[:3] == ["-", "-", "-"]
    assert column(table, "Published\nAP")[1] == "0.191"
    assert table.lines[0] == "Not measured: 16 of 16 published rows. To run them: python -m study.run chest-transfer"


def test_what_nobody_published_comes_last_with_what_tells_it_apart(ledger: Callable[..., Ledger]) -> None:
    written = ledger(config=CONFIG)
    confirm(written, trained(written, "few", start="pretrained", train_patches=100), 0.9)
    confirm(written, trained(written, "all", start="pretrained"), 0.2)
    confirm(written, trained(written, "scratch", "convnet_w32"), 0.1)
    confirm(written, trained(written, "other", chain=["nih", "chexpert"], transfer="regular"), 0.1)
    frame = transfer_frame([read_study(written.folder)])
    assert len(frame) == 16 + 3
    assert frame[KEY][16:].to_numpy().tolist() == [
        ["resnet50", "regular", "imagenet"],
        ["convnet_w32", "regular", "none"],
        ["resnet50", "regular", "nih+chexpert"],
    ]
    assert frame["published_test_ap"][16:].isna().all()
    assert frame["remarks"][0] == "all patches", "full training is what was published"
    assert frame["remarks"][16] == "100 patches a class"
    assert frame["auc"][0] == pytest.approx(FilmRun(PATIENTS, LABELS, told(0.2)).auc)


def test_a_chain_and_its_transfer_are_settings(ledger: Callable[..., Ledger]) -> None:
    written = ledger(config=CONFIG)
    for chain, transfer in (([], None), (["nih"], "regular"), (["pretrained", "nih"], "mixed")):
        facts = {"chain": chain, "transfer": transfer, "task": "multilabel"}
        confirm(written, written.cell("net", 9, 1, cell=f"d-{chain}", **facts), 0.1)
        confirm(written, trained(written, f"t-{chain}", "net", chain=chain, transfer=transfer), 0.4)
    study = read_study(written.folder)
    means = cell_means(study)
    assert means["seeds"].tolist() == [1, 1, 1]
    labels = [
        "on no other films before",
        "regular transfer, on nih before",
        "mixed transfer, on pretrained+nih before",
    ]
    assert setting_labels(means).tolist() == labels
    found = choices(facet_keys(study.records))
    assert found["chain"] == ["none", "nih", "pretrained+nih"]
    assert found["transfer"] == ["none", "regular", "mixed"]
    drawn = {panel.name: panel.figure for panel in panels(study)}
    dotted = [trace.name for trace in drawn["hm-by-images"].data if trace.mode == "lines"]
    assert dotted.pop() == "ordinary training", "the legend names them once"
    assert dotted == ["net, ordinary training", "net, regular, nih, ordinary training"] + [
        "net, mixed, pretrained+nih, ordinary training"
    ], "each beside the training of its own chain"


def test_searched_counts_go_by_their_chain(ledger: Callable[..., Ledger]) -> None:
    written = ledger(config=CONFIG)
    for chain in ([], ["nih"]):
        for count in (1, 2):
            facts = {"counted": True, "chain": chain, "transfer": "regular" if chain else None, "task": "multilabel"}
            cell = written.cell("net", 9, count, cell=f"{chain}{count}", **facts)
            if count == 2 and chain:
                confirm(written, cell, 1.0)
    assert confirmed_cells(read_study(written.folder)) == (1, 3), "the largest without, and the smallest with a chain"


def write_study(written: Ledger, staged: bool) -> Study:
    """A distilled and a trained network after one collection; where `staged`, with the cell that trains on it."""
    chain = {"chain": ["nih"], "transfer": "regular", "task": "multilabel"}
    for images, skill in ((1, 0.2), (3, 0.4)):
        cell = written.cell("net", 1000, images, **chain)
        confirm(written, cell, skill - 0.1, skill - 0.2, phase="search", finished="2026-11-21T22:30:00+00:00")
        confirm(written, cell, skill, skill + 0.1, finished="2026-11-21T22:50:00+00:00")
    confirm(written, trained(written, "net-train", "net", **chain), 0.6, 0.7)
    if staged:  # better than all others, earlier, and of more images than any
        for images, facts in ((None, TRAINING), (50, {})):
            known = {"stage": "nih", "task": "multilabel", "cell": f"stage-{images}"} | facts
            cell = written.cell("net", 1000, images, **known)
            confirm(written, cell, 2.0, 2.0, phase="search", finished="2026-11-21T22:40:00+00:00")
            confirm(written, cell, 2.0, finished="2026-11-21T22:45:00+00:00")
        written.cell("wide", 9_000_000, None, cell="stage-wide", stage="nih", task="multilabel", **TRAINING)
    return read_study(written.folder)


def test_a_stage_enters_no_comparison(ledger: Callable[..., Ledger]) -> None:
    with_stages = write_study(ledger("with", name="same", config=CONFIG), staged=True)
    without = write_study(ledger("without", name="same", config=CONFIG), staged=False)
    assert len(with_stages.records) > len(without.records)
    for frame in (cell_means, training_means, count_evidence, minimum_images, minimum_frame):
        pd.testing.assert_frame_equal(frame(with_stages), frame(without))
    pd.testing.assert_frame_equal(transfer_frame([with_stages]), transfer_frame([without]))
    pd.testing.assert_frame_equal(cell_table(with_stages).frame, cell_table(without).frame)
    assert headline(with_stages) == headline(without)
    assert confirmed_cells(with_stages) == confirmed_cells(without) == (3, 3)
    told = [[tile for tile in highlights(study) if tile[1] != "trials"] for study in (with_stages, without)]
    assert told[0] == told[1]
    drawn = [{panel.name: panel for panel in panels(study)} for study in (with_stages, without)]
    assert drawn[0].keys() == drawn[1].keys() >= {"hm-by-images", "minimum", "methods", "search", "finished"}
    for name in drawn[0].keys() - {"finished"}:
        assert drawn[0][name].figure.to_json() == drawn[1][name].figure.to_json(), name


def test_a_stage_stays_where_trials_are_listed(ledger: Callable[..., Ledger]) -> None:
    study = write_study(ledger(config=CONFIG), staged=True)
    with write_records(study.folder).open(newline="") as file:
        stages = [row["stage"] for row in csv.DictReader(file) if row["cell"].startswith("stage-")]
    assert stages == ["nih"] * 6
    content = make_content([study])
    headings = [column["heading"] for column in content.tables["study-0-trials"]["columns"]]
    assert {"chain", "transfer", "stage"} <= set(headings)
    page = "".join(section.html for section in content.sections["study-0"])
    assert "Trials with a stage train on that collection" in page
    frame = finished_frame(study)
    assert frame["best"].max() < 1, "the best search is of the study's own patients"
    faint = [trace for trace in finished_figure(frame).data if trace.name == "on patients of nih"]
    assert [len(trace.x) for trace in faint] == [6]
    assert "Crosses: on patients of other collections" in {p.name: p for p in panels(study)}["finished"].caption
    assert cell_table(study).lines == ["Left out: cells that train on nih, to be where others start."]


def test_the_page_has_the_table_where_a_cell_has_a_chain(ledger: Callable[..., Ledger]) -> None:
    with_chain, without = ledger("with", config=CONFIG), ledger("without", config=CONFIG)
    confirm(with_chain, trained(with_chain, "a", chain=["<nih>"], transfer="regular"), 0.1)
    confirm(without, trained(without, "a"), 0.1)
    content = make_content([read_study(with_chain.folder), read_study(without.folder)])
    by_id = {section.id: section.html for sections in content.sections.values() for section in sections}
    assert "study-1-transfer" not in by_id
    page = by_id["study-0-transfer"]
    assert page.count("<tr>") == 1 + 16 + 1
    assert "&lt;nih&gt;" in page
    assert "(NYCU 2021)" in page
    json.dumps(content.script())


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main([str(each) for each in arguments]) == 0
    return capsys.readouterr().out


def test_each_study_has_the_tables_that_are_about_it(ledger: Callable[..., Ledger], demo: Path, capsys) -> None:
    written = ledger("films", config=CONFIG)
    confirm(written, trained(written, "a", start="pretrained"), 0.1)
    films = said(capsys, written.folder, "--against", "published")
    assert films.startswith("Transfer learning for chest films")
    assert "Table 1" not in films
    assert "HM:" not in films
    assert "Transfer learning" not in said(capsys, demo, "--against", "published")
    both = said(capsys, demo, written.folder, "--against", "published", "--table", "5", "transfer")
    assert re.findall(r"^(Table \d|Transfer)", both, re.M) == ["Table 5", "Transfer"]
    assert "Study" not in both.partition("Transfer learning")[2], "one study has films"
    latex = said(capsys, written.folder, "--against", "published", "--format", "latex")
    assert r"\caption{Transfer learning for chest films with several findings (NYCU 2021)}" in latex
    rows = list(csv.DictReader(io.StringIO(said(capsys, written.folder, "--against", "published", "--format", "csv"))))
    assert len(rows) == 16
    assert (rows[0]["table"], rows[0]["seeds"], rows[0]["published_test_auc"]) == ("transfer", "1", "0.796")


def test_a_study_that_no_table_is_about_is_one_line(ledger: Callable[..., Ledger], capsys) -> None:
    distilled = ledger("distilled", config=CONFIG)
    confirm(distilled, distilled.cell("net", 9, 1, task="multilabel"), 0.1)
    films = ledger("films", config=CONFIG)
    confirm(films, trained(films, "a"), 0.1)
    for wrong in ([distilled.folder], [films.folder, "--table", "5"]):
        assert main([str(wrong[0]), "--against", "published", *wrong[1:]]) == 2
        out = capsys.readouterr()
        assert out.out == ""
        assert out.err.startswith(f"tables: {wrong[0]}: no such table is published")
        assert out.err.count("\n") == 1
