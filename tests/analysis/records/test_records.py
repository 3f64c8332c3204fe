from __future__ import annotations

import csv
import json
import math

import pandas as pd
import pytest

from analysis.dashboard import write_dashboard
from analysis.records.records import COLUMNS, NotAStudyError, compared, read_study, write_records
from analysis.stats.minimum import minimum_images

# Typed from the contract in design.md, not from the code.
CONTRACT = """
trial, cell, phase, attempt, status, error, method, backbone, parameters, images, label_init, norm, distill_steps,
distill_epochs, seed, outer_lr, inner_lr, delta, val_hm, val_auc, val_patch_accuracy, test_sensitivity,
test_specificity, test_hm, test_hm_at_0.4, test_auc, test_patch_accuracy, undecided_patients, outer_steps, seconds,
peak_memory_mib, device, memory_mib, memory_star_kb, compression_rate, start,
train_patches, train_classes, train_view, fold, protocol, shared_kb, epochs, stopped, finished, micro_batch, epsilon,
task, val_ap, test_ap, test_hamming_loss, test_auc_low, test_auc_high, test_ap_low, test_ap_high, defined_classes,
chain, transfer, stage, note, ended, best_step, val_balanced_accuracy, val_accuracy, test_balanced_accuracy,
test_accuracy, test_balanced_accuracy_low, test_balanced_accuracy_high,
core_seconds, fresh_score, options
""".replace("\n", " ").strip().split(", ")  # fmt: skip


def test_the_columns_are_the_contract(demo):
    contract = [name.strip() for name in CONTRACT]
    assert contract == COLUMNS
    assert list(read_study(demo).records.columns) == contract


def test_a_study_is_read_whole(demo):
    study = read_study(demo)
    assert (study.name, len(study.cells), len(study.records)) == ("demo", 9, 27)
    assert study.provenance["revision"] == "0123abc"
    row = study.records.iloc[1]
    assert row["trial"] == "test_convnet-m1-one_hot-as_is-sldd-s1e1/1"
    assert (row["phase"], row["status"], row["parameters"], row["images"], row["seed"]) == (
        "confirm", "done", 118_403, 1, 101
    )  # fmt: skip
    result = study.result(row["trial"])
    assert row["test_hm"] == result["test"]["hm"]
    assert row["test_hm_at_0.4"] == result["test"]["hm_at_0.4"]
    assert row["val_auc"] == result["validation"]["auc"]
    assert row["delta"] == result["delta"]


def test_rows_come_in_study_order_unknown_cells_last_and_trials_by_number(ledger):
    study = ledger()
    second, first = study.cell("zebra", 1, 1), study.cell("ant", 1, 1)
    for cell, index in (("unknown-b", 0), ("unknown-a", 0), (first, 10), (first, 9), (second, 0)):
        study.done(cell, index)
    (study.folder / "trials" / first / "notes").mkdir()
    (study.folder / "trials" / ".DS_Store").write_text("")
    trials = read_study(study.folder).records["trial"].tolist()
    assert trials == [f"{second}/0", f"{first}/9", f"{first}/10", "unknown-a/0", "unknown-b/0"]


def test_a_trial_without_a_result_is_running_with_its_configured_threshold(ledger):
    study = ledger()
    study.trial(study.cell("net", 1, 1), 0, "search")
    row = read_study(study.folder).records.iloc[0]
    assert (row["status"], row["delta"], row["outer_lr"]) == ("running", 0.37, 0.02)
    assert math.isnan(row["val_hm"])


@pytest.mark.parametrize("content", ["", '{"status": "do', "[1, 2]", "\xff\xfe", '{"attempt": 1}', "[" * 100_000])
def test_a_damaged_result_counts_as_absent(ledger, content):
    study = ledger()
    cell = study.cell("net", 1, 1)
    (study.trial(cell, 0) / "result.json").write_bytes(content.encode("latin-1"))
    study.done(cell, 1)
    assert read_study(study.folder).records["status"].tolist() == ["running", "done"]


@pytest.mark.parametrize("content", ["", '{"phase": "sea', "null", "\xff"])
def test_a_trial_with_a_damaged_config_is_skipped(ledger, content):
    study = ledger()
    cell = study.cell("net", 1, 1)
    (study.done(cell, 0) / "config.json").write_bytes(content.encode("latin-1"))
    study.done(cell, 1)
    assert read_study(study.folder).records["trial"].tolist() == [f"{cell}/1"]


def test_values_of_the_wrong_kind_are_missing_values(ledger):
    study = ledger()
    cell = study.cell("net", 1, 1)
    study.end(
        study.trial(cell, 0, parameters="many", seed=2**63 - 1, images=3.0), seconds="long", validation=[1], test=7
    )
    study.end(study.trial(cell, 1, seed=2**80), seconds=float("inf"), delta=None)
    first, second = (row for _, row in read_study(study.folder).records.iterrows())
    assert first["parameters"] is pd.NA
    assert (first["seed"], first["images"]) == (2**63 - 1, 3)
    assert second["seed"] is pd.NA
    assert math.isnan(second["seconds"])
    assert math.isnan(second["delta"])


@pytest.mark.parametrize(
    "damage",
    [
        {"images": 0},
        {"images": -1.0},
        {"parameters": 0},
        {"parameters": -5},
        {"backbone": None},
        {"backbone": None, "images": 0},
    ],
)
def test_a_damaged_configuration_costs_its_own_trial_and_not_the_page(ledger, damage):
    study = ledger()
    for images in (1, 2):
        cell = study.cell("net", 100, images)
        study.done(cell, 0, "confirm")
    whole = minimum_images(read_study(study.folder))
    study.done(study.cell("other", 300, 1), 0, "confirm")
    config = study.folder / "trials" / study.described["cells"][-1]["cell"] / "0" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | damage))
    read = read_study(study.folder)
    assert len(read.records) == 3, "it is listed"
    found = minimum_images(read)
    pd.testing.assert_frame_equal(found[found["backbone"] == "net"].reset_index(drop=True), whole)
    assert write_dashboard(study.folder).is_file()


@pytest.mark.parametrize("damage", [{}, [{}], "many", -1, 0, 1.5, True])
def test_damaged_numbers_of_a_cell_count_as_absent_and_do_not_cost_the_page(ledger, damage):
    study = ledger()
    for name in ("net", "other"):
        study.done(study.cell(name, 100, 1), 0, "confirm")
    study.described["cells"][0] |= {"parameters": damage, "images": damage}
    study.save()
    first, second = read_study(study.folder).compared_cells
    assert (first["parameters"], first["images"]) == (None, None)
    assert (second["parameters"], second["images"]) == (100, 1)
    assert write_dashboard(study.folder).is_file()


def test_a_rule_that_is_none_is_refused(ledger):
    for number, minimum in enumerate(({"margin": "P-0"}, {"margin": -1}, {"level": 1.5}, {"resamples": 3})):
        study = ledger(str(number), config={"minimum": minimum})
        with pytest.raises(NotAStudyError, match=r"its study\.yaml: minimum \(margin, .* out of range or no number"):
            read_study(study.folder)


def test_undecided_patients_are_those_of_the_test_split_where_there_is_one(ledger):
    study = ledger()
    cell = study.cell("net", 1, 1)
    study.done(cell, 0, "search")
    study.done(cell, 1, "confirm")
    assert read_study(study.folder).records["undecided_patients"].tolist() == [1, 2]


def test_a_search_trial_never_shows_test_scores(ledger):
    study = ledger()
    folder = study.done(study.cell("net", 1, 1), 0, "search")
    result = json.loads((folder / "result.json").read_text())
    study.end(folder, validation=result["validation"], test=result["validation"])
    row = read_study(study.folder).records.iloc[0]
    assert row["val_hm"] == 0.8
    assert row.filter(like="test_").isna().all()


def test_a_chain_is_one_word_in_its_order_and_no_chain_is_none(ledger):
    study = ledger()
    study.done(study.cell("net", 1, 1, cell="a", chain=["nih", "chexpert"], transfer="regular"), 0)
    study.cell("net", 1, 1, cell="b", chain=["pretrained", "nih"], transfer="mixed", refused="nih is not there")
    study.done(study.cell("net", 1, 1, cell="c", chain=[], transfer=None, stage="chexpert+nih"), 0)
    study.done(study.cell("net", 1, 1, cell="d"), 0)
    read = read_study(study.folder)
    assert read.records[["chain", "transfer", "stage"]].fillna("").to_numpy().tolist() == [
        ["nih+chexpert", "regular", ""],
        ["pretrained+nih", "mixed", ""],
        ["", "", "chexpert+nih"],
        ["", "", ""],
    ]
    assert [cell["cell"] for cell in read.compared_cells] == ["a", "b", "d"]
    assert compared(read.records)["cell"].tolist() == ["a", "b", "d"]


def test_an_empty_study_has_the_columns_and_no_rows(ledger):
    folder = ledger().folder
    assert list(read_study(folder).records.columns) == COLUMNS
    assert write_records(folder).read_text() == ",".join(COLUMNS) + "\n"


@pytest.mark.parametrize("error", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)"])
def test_text_cannot_become_a_formula(ledger, error):
    study = ledger()
    study.end(study.trial(study.cell("net", 1, 1), 0, outer_lr=-0.5), status="failed", error=error)
    with write_records(study.folder).open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["error"] == "'" + error
    assert row["outer_lr"] == "-0.5"  # a number is not text
    assert read_study(study.folder).records["error"].tolist() == [error]


def test_an_error_stays_on_one_valid_line(ledger):
    study = ledger()
    study.end(study.trial(study.cell("net", 1, 1), 0), status="failed", error='two\nlines, a "quote" and \ud800')
    with write_records(study.folder).open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert row["error"] == 'two lines, a "quote" and \\ud800'


def test_records_csv_reads_back_as_it_was(demo, tmp_path):
    study = read_study(demo)
    (tmp_path / "study.yaml").write_bytes((demo / "study.yaml").read_bytes())
    (tmp_path / "trials").symlink_to(demo / "trials")
    path = write_records(tmp_path)
    again = pd.read_csv(path, dtype=dict(study.records.dtypes))
    pd.testing.assert_frame_equal(again, study.records, check_exact=True)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["records.csv", "study.yaml", "trials"]


def test_a_write_that_fails_leaves_the_old_file(ledger, monkeypatch):
    folder = ledger().folder
    old = write_records(folder).read_bytes()

    def refuse(*_):
        raise OSError("disk full")

    monkeypatch.setattr("ledger.storage.os.fsync", refuse)
    with pytest.raises(OSError, match="disk full"):
        write_records(folder)
    assert (folder / "records.csv").read_bytes() == old
    assert sorted(entry.name for entry in folder.iterdir()) == ["records.csv", "study.yaml"]


@pytest.mark.parametrize("content", [None, "a: [", "just words", "\xff"])
def test_what_is_not_a_study_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / "study.yaml").write_bytes(content.encode("latin-1"))
    with pytest.raises(NotAStudyError, match=r"study\.yaml"):
        read_study(tmp_path)
    with pytest.raises(NotAStudyError, match="no such folder"):
        read_study(tmp_path / "missing")
