from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from analysis.published import footprints
from analysis.records.records import Study, read_study
from analysis.tables.formats import Table
from analysis.tables.published_comparison import published_tables
from tests.analysis.conftest import Ledger
from tests.analysis.papers import papers_study


def cell(ledger: Ledger, images: int, backbone: str = "paper/alexnet", norm: str = "batch", **changed: Any) -> str:
    """A cell of Table 5's kind, AlexNet unless another network is named."""
    name = f"{backbone.replace('/', '=')}-{norm}-m{images}"
    known = {"backbone": backbone, "images": images, "norm": norm, "parameters": 57_000_643, "cell": name}
    return ledger.cell(**(known | changed))


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Study:
    ledger = Ledger(tmp_path_factory.mktemp("papers") / "all")
    papers_study(ledger)
    return read_study(ledger.folder)


def table(studies: list[Study], number: int) -> Table:
    (found,) = published_tables(studies, [number])
    return found


def run(found: Table) -> list[str]:
    """The column that says which network was run, or why none was."""
    place = [column.heading for column in found.columns].index("Network run")
    return [row[place] for row in found.rows()]


def rows(found: Table) -> pd.DataFrame:
    return found.frame.set_index("row")


@pytest.mark.parametrize("number", [1, 2, 3, 5])
def test_published_and_measured_stand_in_one_row(papers, number):
    found = table([papers], number)
    assert found.frame["hm"].tolist() == pytest.approx(found.frame["published_hm"].tolist())
    assert found.frame["table"].eq(number).all()
    assert found.frame["status"].eq("").all()
    assert found.lines == []
    assert not {"Remarks", "Study"} & {column.heading for column in found.columns}


def test_a_row_reads_as_in_the_paper_with_its_seeds_and_its_network(papers):
    assert table([papers], 1).rows()[0] == [
        *("SLDD (3)", "0.886", "0.869", "0.877", "0.877", "0.877", "0.877", "1"),
        "paper/resnet18, 1,000 parameters",
    ]


def test_several_seeds_give_a_mean_and_a_range(ledger: Callable[..., Ledger]):
    written = ledger()
    name = cell(written, 2, "paper/vgg16", "none")
    for index, hm in enumerate((0.7, 0.9)):
        written.done(name, index, hm=hm)
    found = table([read_study(written.folder)], 2)
    assert found.rows()[0][6:8] == ["0.800 (0.700 to 0.900)", "2"]
    assert found.lines == ["Not measured: 5 of 6 rows. To run them: python -m study.run table2 data.root=FOLDER"]


def test_rows_without_numbers_say_why(ledger: Callable[..., Ledger]):
    written = ledger()
    cell(written, 1, refused="needs 40 GiB, a worker has 16")
    written.trial(cell(written, 3), 0)
    failed = cell(written, 2, "paper/vgg16/8", "none")
    written.end(written.trial(failed, 0), status="failed", error="out of memory")
    found = table([read_study(written.folder)], 5)
    said = dict(zip(found.frame["row"], run(found), strict=True))
    assert said["AlexNet (1)"] == "refused: needs 40 GiB, a worker has 16 (paper/alexnet)"
    assert said["AlexNet (3)"] == "running (paper/alexnet)"
    assert said["VGG16 (2)"] == "failed: out of memory (paper/vgg16/8)"
    assert said["VGG19 (3)"] == "not run"
    assert found.lines[0].startswith("Not measured: 14 of 14 rows. To run them: python -m study.run table5 ")


def test_what_was_refused_is_not_worth_running_again(ledger: Callable[..., Ledger]):
    written = ledger()
    for _, row in footprints().iterrows():
        for norm in ("batch", "none"):
            cell(written, row["minimum_images"], f"paper/{row['backbone']}", norm, refused="too large")
    assert table([read_study(written.folder)], 4).lines == ["Not measured: 6 of 6 rows."]


def test_the_papers_protocol_and_stand_ins_are_marked(ledger: Callable[..., Ledger]):
    written = ledger()
    written.done(cell(written, 1, "paper/alexnet/8", parameters=900_001, protocol="paper"), 0)
    found = table([read_study(written.folder)], 5)
    assert rows(found).loc["AlexNet (1)", "remarks"] == "stand-in: widths / 8; papers' protocol"
    assert "paper/alexnet/8, 900,001 parameters" in run(found)


def test_a_stand_in_says_what_became_of_the_papers_own_network(ledger: Callable[..., Ledger]):
    written = ledger()
    cell(written, 1, refused="needs 40 GiB")
    written.done(cell(written, 1, "paper/alexnet/8"), 0)
    said = rows(table([read_study(written.folder)], 5)).loc["AlexNet (1)", "remarks"]
    assert said == "stand-in: widths / 8; paper/alexnet itself: refused: needs 40 GiB"


def test_several_studies_hold_the_cells_together(ledger: Callable[..., Ledger]):
    first, second = ledger("first"), ledger("second")
    first.trial(cell(first, 1), 0)
    for images in (1, 3):
        second.done(cell(second, images), 0)
    found = table([read_study(first.folder), read_study(second.folder)], 5)
    assert rows(found).loc[["AlexNet (1)", "AlexNet (3)"], "study"].tolist() == ["second", "second"]
    assert "Study" in {column.heading for column in found.columns}


def test_footprints_are_those_at_the_published_count(ledger: Callable[..., Ledger]):
    written = ledger()
    size = {"memory_mib": 217.44, "memory_star_kb": 201.3, "compression_rate": 0.0009}
    name = cell(written, 1, norm="none")
    written.done(name, 0, shared_bytes=203_112, **size)
    written.done(name, 1, shared_bytes=203_312, **size)
    written.done(cell(written, 3, norm="none"), 0, **(size | {"memory_star_kb": 603.0}))
    found = table([read_study(written.folder)], 4)
    place = [row[0] for row in found.rows()].index("AlexNet")
    assert found.rows()[place][:10] == [
        *("AlexNet", "1", "217.44", "201.29", "0.00093", "217.44", "201.30", "0.00090", "203.21", "2"),
    ]
    assert rows(found).loc["AlexNet", "remarks"] == ""


def test_a_footprint_with_the_other_norm_says_so(ledger: Callable[..., Ledger]):
    written = ledger()
    written.done(cell(written, 1), 0)
    assert rows(table([read_study(written.folder)], 4)).loc["AlexNet", "remarks"] == "with batch norm"


def test_the_smallest_count_stands_beside_the_published_one(papers):
    found = rows(table([papers], 6))
    assert found["minimum_images"].tolist() == found["published_minimum_images"].tolist()
    assert found["tried"].tolist() == ["1, 3"] * 4 + ["1, 2, 3"] * 2
    assert found.loc["VGG19", ["published_parameters", "parameters"]].tolist() == [139_581_379, 1000]


def test_a_network_that_never_works_has_no_smallest_count(ledger: Callable[..., Ledger]):
    written = ledger()
    for index in (0, 1):
        written.done(cell(written, 1, protocol="paper"), index, hm=0.3)
    written.trial(cell(written, 1, "paper/vgg16", "none"), 0)
    found = rows(table([read_study(written.folder)], 6))
    assert pd.isna(found.loc["AlexNet", "minimum_images"])
    assert found.loc["AlexNet", "status"] == ""
    assert found.loc["AlexNet", "remarks"] == (
        "no count by the papers' rule: best HM 0.30 is under 0.5; papers' protocol"
    )
    assert found.loc["AlexNet", "beside_training"] == "not judged", "there is no ordinary training"
    assert found.loc["VGG16", "status"] == "not run"  # two images, as published, were not tried
