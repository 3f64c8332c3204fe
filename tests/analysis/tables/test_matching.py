from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from analysis.published import results
from analysis.records.records import read_study
from analysis.tables import matching
from analysis.tables.matching import kinship, measured_cells, remarks
from tests.analysis.conftest import Ledger, voters
from tests.analysis.papers import facts, named, papers_study

ROWS = {(row["table"], row["row"]): row for _, row in results().iterrows()}


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    ledger = Ledger(tmp_path_factory.mktemp("papers") / "all")
    papers_study(ledger)
    return measured_cells([read_study(ledger.folder)])


def match(row: pd.Series, measured: pd.DataFrame) -> pd.Series | None:
    """With the norm that is the row's own."""
    return matching.match(row, measured, [row["norm"]])


def cells(*ledgers: Ledger) -> pd.DataFrame:
    return measured_cells([read_study(ledger.folder) for ledger in ledgers])


def write(ledger: Ledger, row: pd.Series, hm: float = 0.8, **changed: Any) -> str:
    """One confirmed cell for `row`, with what differs."""
    known = facts(row) | changed
    cell = ledger.cell(parameters=1000, cell=named(known), **known)
    ledger.done(cell, 0, hm=hm)
    return cell


@pytest.mark.parametrize("key", ROWS, ids=lambda key: f"{key[0]}-{key[1]}")
def test_every_published_row_finds_its_own_cell(papers, key):
    found = match(ROWS[key], papers)
    assert found is not None
    assert found["cell"] == named(facts(ROWS[key]))
    assert found["hm"] == pytest.approx(ROWS[key]["hm"])
    assert found["status"] == ""
    assert remarks(ROWS[key], found) == []


@pytest.mark.parametrize("key", ROWS, ids=lambda key: f"{key[0]}-{key[1]}")
def test_without_its_own_cell_a_row_finds_nothing(papers, key):
    rest = papers[papers["cell"] != named(facts(ROWS[key]))]
    assert match(ROWS[key], rest) is None


@pytest.mark.parametrize(
    ("backbone", "expected"),
    [
        ("paper/vgg16", (0, 1)),
        ("paper/vgg16/8", (1, 8)),
        ("vgg16", (2, 1)),
        ("torchvision/vgg16", (2, 1)),
        ("paper/vgg19", None),
        ("paper/vgg16/x", None),
        ("vgg16/8", None),
        ("vgg16_bn", None),
    ],
)
def test_kinship_of_networks(backbone, expected):
    assert kinship(backbone, "vgg16") == expected


def test_the_papers_network_goes_before_the_widest_narrower_one_before_a_librarys(ledger: Callable[..., Ledger]):
    row, written = ROWS[5, "VGG16 (2)"], ledger()
    for backbone, remark in (
        ("vgg16", "stand-in: a library's network of that name"),
        ("paper/vgg16/8", "stand-in: widths / 8"),
        ("paper/vgg16/2", "stand-in: widths / 2"),
        ("paper/vgg16", None),
    ):
        cell = write(written, row, backbone=backbone)
        found = match(row, cells(written))
        assert found is not None
        assert found["cell"] == cell
        assert remarks(row, found) == ([remark] if remark else [])


def test_a_confirmed_stand_in_goes_before_a_cell_without_numbers(ledger: Callable[..., Ledger]):
    row, first, second = ROWS[5, "VGG16 (2)"], ledger("first"), ledger("second")
    first.cell(parameters=134_271_683, cell="big", refused="needs 40 GiB", **facts(row))
    found = match(row, cells(first))
    assert found is not None
    assert (found["status"], found["parameters"]) == ("refused: needs 40 GiB", 134_271_683)
    cell = write(second, row, backbone="paper/vgg16/8")
    found = match(row, cells(first, second))
    assert found is not None
    assert (found["cell"], found["study"]) == (cell, 1)


@pytest.mark.parametrize(
    ("backbone", "norm", "fits"),
    [
        ("resnet18", "as_is", "bn"),
        ("googlenet", "as_is", "bn"),
        ("alexnet", "as_is", "no_bn"),
        ("vgg16", "as_is", "no_bn"),
        ("resnet18", "batch", "bn"),
        ("resnet18", "none", "no_bn"),
        ("vgg16", "batch", "bn"),
        ("vgg16", "group", None),
    ],
)
def test_norms(ledger: Callable[..., Ledger], backbone, norm, fits):
    written, third = ledger(), results().query("table == 3").set_index("backbone").loc[[backbone]].reset_index()
    write(written, third.iloc[0], norm=norm)
    measured = cells(written)
    assert [row["norm"] for _, row in third.iterrows() if match(row, measured) is not None] == ([fits] if fits else [])


def test_a_single_image_starts_at_n_however_that_is_spelled(ledger: Callable[..., Ledger]):
    one, three, written = ROWS[5, "ResNet18 (1)"], ROWS[5, "ResNet18 (3)"], ledger()
    for row in (one, three):
        write(written, row, label_init="constant:N")
        write(written, row, label_init="uniform")
    found = match(one, cells(written))
    assert found is not None
    assert found["label_init"] == "constant:N"
    assert match(three, cells(written)) is None


def test_another_start_stands_in_only_where_there_is_no_xavier(ledger: Callable[..., Ledger]):
    row, written = ROWS[1, "SLDD (3)"], ledger()
    write(written, row, start="/some/where/public.safetensors")
    found = match(row, cells(written))
    assert found is not None
    assert remarks(row, found) == ["start public.safetensors"]
    write(written, row, backbone="paper/resnet18/8")
    found = match(row, cells(written))
    assert found is not None
    assert remarks(row, found) == ["stand-in: widths / 8"]


def test_fine_tuning_may_start_from_a_file_but_not_from_scratch(ledger: Callable[..., Ledger]):
    row, written = ROWS[2, "CM5"], ledger()
    write(written, row, start="xavier")
    assert match(row, cells(written)) is None
    write(written, row, start="public.safetensors")
    found = match(row, cells(written))
    assert found is not None
    assert remarks(row, found) == ["start public.safetensors"]


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([50, 200, 100], [600, 300, 150]),
        ([200, 50], [600, 150, None]),
        ([400, 300, 200, 100], [1200, 900, 600]),
        ([2000, 50, 9], [None, 6000, None]),
    ],
)
def test_smaller_training_sets_stand_in_by_order_of_size(ledger: Callable[..., Ledger], sizes, expected):
    rows, written = [ROWS[1, f"ResNet18 ({count})"] for count in (9000, 6000, 3000)], ledger()
    for size in sizes:
        write(written, rows[0], train_patches=size)
    measured = cells(written)
    found = [match(row, measured) for row in rows]
    assert [None if each is None else int(each["train_patches"]) * 3 for each in found] == expected
    for row, each in zip(rows, found, strict=True):
        if each is not None and each["train_patches"] * 3 != row["train_images"]:
            assert remarks(row, each) == [f"trained on {each['train_patches'] * 3:,} patches"]


def test_sizes_are_compared_among_cells_that_see_the_same_classes(ledger: Callable[..., Ledger]):
    row, written = ROWS[1, "ResNet18 (9000)"], ledger()
    write(written, row, train_patches=400, train_classes="NP")
    cell = write(written, row, train_patches=100)
    found = match(row, cells(written))
    assert found is not None
    assert found["cell"] == cell


def test_one_trial_by_the_papers_protocol_marks_its_cell(ledger: Callable[..., Ledger]):
    row, written = ROWS[1, "SLDD (3)"], ledger()
    cell = write(written, row)
    folder = written.trial(cell, 1, protocol="paper")
    (folder / "result.json").write_bytes((written.folder / "trials" / cell / "0" / "result.json").read_bytes())
    found = match(row, cells(written))
    assert found is not None
    assert (found["seeds"], remarks(row, found)) == (2, ["papers' protocol"])


def test_the_folds_of_a_setting_are_one_cell_that_says_so(ledger: Callable[..., Ledger]):
    row = ROWS[1, "SLDD (3)"]
    for folds in (2, 3):
        written = ledger(str(folds), config={"confirm": {"folds": folds}})
        for fold, hm in enumerate((0.6, 0.8)):
            known = facts(row) | {"fold": fold}
            cell = written.cell(parameters=1000, cell=f"{named(known)}-f{fold}", **known)
            written.done(cell, 0, patients=voters(hm, first=40 * fold))
        found = match(row, cells(written))
        assert found is not None
        if folds == 2:
            assert (found["hm"], remarks(row, found)) == (pytest.approx(0.7), ["pooled over 2 folds"])
        else:
            assert (found["status"], pd.isna(found["hm"])) == ("confirmed on 2 of 3 folds", True)


@pytest.mark.parametrize(
    ("trials", "status"),
    [
        ([("search", "done"), ("confirm", "done")], ""),
        ([("search", "done"), ("confirm", None)], "running"),
        ([("search", "done")], "searched, not confirmed yet"),
        ([("search", "done"), ("search", "failed")], "searched, not confirmed yet"),
        ([("search", "failed")], "failed: out of memory"),
        ([("search", "done"), ("confirm", "diverged")], "diverged: out of memory"),
        ([("confirm", "undefined")], "confirmed, but its HM is undefined"),
    ],
)
def test_how_far_a_cell_has_come(ledger: Callable[..., Ledger], trials, status):
    written = ledger()
    cell = written.cell("net", 10, 1)
    for index, (phase, ended) in enumerate(trials):
        if ended in ("done", "undefined"):
            written.done(cell, index, phase, hm=0.8 if ended == "done" else None)
        elif ended is None:
            written.trial(cell, index, phase)
        else:
            written.end(written.trial(cell, index, phase), status=ended, error="out of memory")
    assert cells(written)["status"].tolist() == [status]


def test_a_study_without_trials_matches_nothing(ledger: Callable[..., Ledger]):
    measured = cells(ledger("first"), ledger("second"))
    assert all(match(row, measured) is None for row in ROWS.values())
