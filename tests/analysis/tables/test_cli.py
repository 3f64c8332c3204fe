from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from analysis.records.records import read_study
from analysis.stats.evidence import count_evidence
from analysis.tables.cli import cell_table, main
from ledger.storage import open_folder
from tests.analysis.conftest import Ledger
from tests.analysis.papers import TRAINING, papers_study


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    ledger = Ledger(tmp_path_factory.mktemp("results") / "papers")
    papers_study(ledger)
    return ledger.folder


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main([str(each) for each in arguments]) == 0
    out = capsys.readouterr()
    assert out.err == ""
    return out.out


def test_a_studys_own_cells_in_its_own_order(demo, capsys):
    lines = said(capsys, demo).splitlines()
    assert lines[0] == "demo"
    cells = [line.split()[0] for line in lines if "-m" in line]
    assert cells == [cell["cell"] for cell in read_study(demo).cells]
    assert re.search(
        r"^test_convnet-m1\S+ +118,403 +0\.\d{3} \(0\.\d{3} to 0\.\d{3}\) .* 2 +0\.45 +4\.10 ", "\n".join(lines), re.M
    )


def test_cells_without_numbers_are_listed_with_their_reason(ledger: Callable[..., Ledger]):
    written = ledger()
    written.cell("waiting", 10, 1)
    written.cell("huge", 10**9, 1, refused="needs 40 GiB")
    written.done(written.cell("net", 20, 1, protocol="paper"), 0)
    written.trial(written.cell("busy", 30, 1), 0)
    frame = cell_table(read_study(written.folder)).frame
    assert [cell.split("-")[0] for cell in frame["cell"]] == ["waiting", "huge", "net", "busy"]
    assert frame["status"].tolist() == ["not run", "refused: needs 40 GiB", "", "running"]
    assert frame["remarks"].tolist() == ["", "", "papers' protocol", ""]
    assert frame["parameters"].tolist() == [10, 10**9, 20, 30]


def test_intervals_stand_beside_images_and_the_training_they_are_held_against(ledger: Callable[..., Ledger]):
    written = ledger()
    for images, facts in ((1, {}), (None, TRAINING), (None, TRAINING | {"cell": "subset", "train_patches": 20})):
        cell = written.cell("net", 10, images, **facts)
        for index in (1, 2):
            written.done(cell, index, hm=0.7 + index / 20)
    study = read_study(written.folder)
    (evidence,) = count_evidence(study).to_dict("records")
    table = cell_table(study)
    assert "95 %\ninterval" in [column.heading for column in table.columns]
    shown = table.frame[["interval_low", "interval_high"]].astype(float).to_numpy()
    assert shown[0] == pytest.approx([evidence["interval_low"], evidence["interval_high"]])
    assert shown[1] == pytest.approx([evidence["trained_low"], evidence["trained_high"]])
    assert np.isnan(shown[2]).all(), "of training on a part of the patches nothing is said"


def test_an_empty_study_has_an_empty_table(ledger: Callable[..., Ledger], capsys):
    assert said(capsys, ledger().folder).splitlines()[0] == "demo"


def test_all_six_tables_or_those_named(papers, capsys):
    everything = said(capsys, papers, "--against", "published")
    assert re.findall(r"^Table (\d): ", everything, re.M) == ["1", "2", "3", "4", "5", "6"]
    assert f"Measured in {papers}: 24 train, 12 validation, 24 test patients." in everything
    assert "they are marked papers' protocol" in everything
    some = said(capsys, papers, "--against", "published", "--table", "5", "2")
    assert re.findall(r"^Table (\d): ", some, re.M) == ["5", "2"]


def test_what_all_cells_of_a_study_have_in_common_is_said_once(ledger: Callable[..., Ledger], capsys):
    config = {"patches": {"input_size": 48}, "distill": {"inner_weights": "head"}}
    shown = said(capsys, ledger(config=config, provenance={}).folder, "--against", "published", "--table", "1")
    assert shown.endswith("demo: input 48 x 48; inner steps change the last layer only.\n")


def test_markdown_tables_keep_their_shape(ledger: Callable[..., Ledger], papers, capsys):
    evil = ledger("evil")
    evil.cell("a|b`c*[d]<i>\\", 10, 1, cell="a|b`c*[d]<i>\\", refused="x|y")
    page = said(capsys, evil.folder, "--format", "markdown")
    assert "a\\|b\\`c\\*\\[d\\]&lt;i>\\\\ |" in page
    for text in (page, said(capsys, papers, evil.folder, "--against", "published", "--format", "markdown")):
        for block in re.findall(r"(?:^\|.*\n)+", text, re.M):
            widths = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
            assert len(widths) == 1
            assert re.fullmatch(r"\|( :?---:? \|)+", block.splitlines()[1].replace("---:", "---:"))


def test_csv_has_a_row_a_printed_row_and_unrounded_numbers(papers, capsys):
    rows = list(csv.DictReader(io.StringIO(said(capsys, papers, "--against", "published", "--format", "csv"))))
    assert [row["table"] for row in rows] == [*"111111", *"222222", *"33333333", *"444444", *"5" * 14, *"666666"]
    assert rows[0]["row"] == "SLDD (3)"
    assert float(rows[0]["hm"]) == float(rows[0]["published_hm"]) == 0.877
    assert rows[-1]["minimum_images"] == rows[-1]["published_minimum_images"] == "2"


def test_csv_runs_no_formula(ledger: Callable[..., Ledger], capsys):
    written = ledger("=name")
    written.cell("net", 10, 1, cell="=HYPERLINK(1)", refused="@why")
    (row,) = csv.DictReader(io.StringIO(said(capsys, written.folder, "--format", "csv")))
    assert (row["study"], row["cell"], row["status"]) == ("'=name", "'=HYPERLINK(1)", "refused: @why")


def test_text_obeys_no_markup_and_moves_no_cursor(ledger: Callable[..., Ledger], capsys):
    written = ledger()
    written.cell("net", 10, 1, cell="[red]net\x1b[2J", refused="why")
    page = said(capsys, written.folder)
    assert "[red]net" in page
    assert "\x1b" not in page


def test_out_is_written_whole_and_its_name_printed(demo, tmp_path, capsys):
    out = tmp_path / "cells.md"
    assert said(capsys, demo, "--format", "markdown", "--out", out).strip() == str(out)
    assert out.read_text(encoding="utf-8").startswith("**demo**\n\n| Cell |")
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize(
    "wrong",
    [["nowhere"], ["{demo}", "--table", "1"], ["{demo}", "--out", "nowhere/tables.md"]],
)
def test_wrong_input_is_one_line_and_status_2(demo, tmp_path, monkeypatch, capsys, wrong):
    monkeypatch.chdir(tmp_path)
    assert main([each.format(demo=demo) for each in wrong]) == 2
    out = capsys.readouterr()
    assert out.out == ""
    assert out.err.startswith("tables: ")
    assert out.err.count("\n") == 1


@pytest.mark.parametrize("wrong", [["--table", "7"], ["--against", "nobody"], ["--format", "pdf"]])
def test_wrong_choices_are_status_2(demo, capsys, wrong):
    with pytest.raises(SystemExit) as exit_:
        main([str(demo), *wrong])
    assert exit_.value.code == 2


def test_help_has_examples(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["--help"])
    assert exit_.value.code == 0
    assert "--against published --table 1 5" in " ".join(capsys.readouterr().out.split())


def test_latex_prints_names_as_text(ledger: Callable[..., Ledger], papers, capsys):
    evil = ledger(name="50%_of & \\input{x}")
    evil.cell("net", 10, 1, cell="{a}$b", refused="x & y")
    page = said(capsys, evil.folder, "--format", "latex")
    assert r"\caption{50\%\_of \& \textbackslash{}input\{x\}}" in page
    assert "\n\\{a\\}\\$b & 10 & - & - & - & - & - & - & - & - & - & refused: x \\& y \\\\\n" in page
    assert said(capsys, papers, "--against", "published", "--format", "latex").count(r"\toprule") == 6


def test_a_cell_is_one_row_however_many_of_its_folds_have_begun(ledger: Callable[..., Ledger]):
    written = ledger(config={"confirm": {"folds": 3}})
    first, *_ = written.rotated("net", 10, 1, 3)
    written.done(first, 0)
    written.rotated("later", 20, 1, 3)
    frame = cell_table(read_study(written.folder)).frame
    assert frame["cell"].str.split("-").str[0].tolist() == ["net", "later"]
    assert frame["status"].tolist() == ["confirmed on 1 of 3 folds", "not run"]


def test_out_may_be_an_object_store(demo, capsys):
    assert said(capsys, demo, "--out", "memory://tables/cells.txt").strip() == "memory://tables/cells.txt"
    assert (open_folder("memory://tables") / "cells.txt").read_text().startswith("demo\n")
    assert main([str(demo), "--out", "foo://bucket/cells.txt"]) == 2
    assert capsys.readouterr().err.startswith("tables: foo://bucket/cells.txt: ")
