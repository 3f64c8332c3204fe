from __future__ import annotations

import base64
import gzip
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from plotly.offline import get_plotlyjs

from analysis.dashboard import main, write_dashboard
from analysis.records.records import read_study
from analysis.text.summary import HONEST, headline
from tests.analysis.conftest import voters

PANELS = [
    "hm-by-parameters", "minimum", "hm-by-images", "operating", "sharing", "search", "parallel", "cell-chart",
]  # fmt: skip


def page_of(path: Path) -> str:
    """The page without plotly.js, which has to be in it exactly once."""
    before, *after = path.read_text(encoding="utf-8").split(get_plotlyjs())
    assert len(after) == 1
    return before + after[0]


def data_of(page: str, name: str) -> Any:
    """What the page's scripts read: `id="content"`, or a cell's."""
    (text,) = re.findall(rf'<script type="text/plain" {name}>(.*?)</script>', page, re.DOTALL)
    return json.loads(gzip.decompress(base64.b64decode(text)))


def cells_of(page: str) -> dict[str, Any]:
    """The pieces of all cells."""
    names = re.findall(r'plain" data-cell="([^"]+)"', page)
    return {name: data_of(page, f'data-cell="{re.escape(name)}"') for name in names}


class Loads(HTMLParser):
    """Everything a page asks a browser to fetch."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in {"src", "href", "srcset", "data", "action"}]


def test_the_page_stands_alone(demo, tmp_path):
    page = page_of(write_dashboard(demo, out=tmp_path / "page.html"))
    loads = [load for cell in cells_of(page).values() for load in Loads(cell["html"]).found]
    assert len(loads) == 18  # the distilled images, one PNG each
    assert Loads(page).found == []
    assert all(load.startswith("data:image/png;base64,") for load in loads)
    assert not re.search(r"@import|url\(", page)
    assert "default-src 'none'" in page


def test_the_page_has_every_panel_the_images_every_trial_and_where_it_came_from(demo, tmp_path):
    page = page_of(write_dashboard(demo, out=tmp_path / "page.html"))
    assert re.findall(r'<div class="chart" id="study-0-([a-z-]+)"', page) == PANELS
    content = data_of(page, 'id="content"')
    assert list(content["charts"]) == [f"study-0-{name}" for name in PANELS if name != "cell-chart"]
    assert sum(cell["html"].count('class="film"') for cell in cells_of(page).values()) == 18
    trials = content["tables"]["study-0-trials"]
    assert {len(column["values"]) for column in trials["columns"]} == {27} == {len(trials["keys"])}
    for words in (HONEST, "0123abc", "fe" * 8, "python 3.11.7", "train 24, validation 12, test 24", "repeats: 2"):
        assert words in page


def test_the_headline_asks_answers_and_says_what_the_points_show(demo):
    asked, answered, shown = headline(read_study(demo))
    assert "24 training patients" in asked
    assert "3 networks of 118 k to 2.31 M parameters, trying 1, 2 or 3 images?" in asked
    assert answered.startswith("Measured on 24 test patients, by the papers' rule: test_convnet needs 1 image (HM 0.91")
    assert "test_vgg needs 3 images (HM 0.93, its best), at the 95 % level between 2 and 3." in answered
    assert "p ≥ 1/6" in shown


def test_the_answers_caption_states_the_rule_the_study_was_run_with(demo, ledger, tmp_path):
    page = page_of(write_dashboard(demo, out=tmp_path / "page.html"))
    assert "within 0.10 of the backbone" in page
    assert "at the 95 % level" in page
    assert "paired bootstrap over patients and seeds (2,000 resamples)" in page
    study = ledger(config={"minimum": {"margin": 0.05, "level": 0.9, "resamples": 500}})
    study.done(study.cell("net", 10, 1), 0)
    page = page_of(write_dashboard(study.folder))
    assert "within 0.05 of the backbone" in page
    assert "at the 90 % level between 1 and more than 1" in page
    assert "(500 resamples)" in page


def test_many_networks_are_answered_in_one_sentence(ledger):
    study = ledger()
    for place in range(9):
        for images, hm in ((1, 0.6), (2, 0.9)):
            study.done(study.cell(f"net{place}", 10 + place, images), 0, hm=hm, patients=voters(hm, 100))
    assert headline(read_study(study.folder))[1] == (
        "Measured on 24 test patients, by the papers' rule: a count suffices for 9 of 9 networks and settings, "
        "from 2 to 2; at the 95 % level one is shown to suffice for 9, from 2 to 2."
    )


def test_a_study_in_folds_says_so(ledger):
    study = ledger(config={"confirm": {"folds": 2}})
    first, second = study.rotated("net", 10, 1, 2)
    study.done(first, 0)
    asked, answered = headline(read_study(study.folder))
    assert "stand in for the training patients' radiographs" in asked
    assert answered == "There is no answer yet: no cell is confirmed on test patients in all 2 folds."
    assert 'class="chart"' in page_of(write_dashboard(study.folder))
    study.done(second, 0, patients=voters(0.8, first=1000))
    assert headline(read_study(study.folder))[1].startswith(
        "Measured on 80 patients, each a test patient in one of 2 folds, by the papers' rule: net needs 1 image"
    )
    page = page_of(write_dashboard(study.folder))
    assert "patients are pooled over 2 folds." in page
    assert "net · 1 image · fold 1 of 2" in page
    assert "net · 1 image · fold 2 of 2" not in page


def test_markup_in_a_study_is_shown_not_obeyed(ledger):
    evil = "<script>alert(1)<!-- \"'><img src=x onerror=alert(1)>"
    study = ledger("evil", name=evil, command=evil, config={evil: evil}, provenance={evil: evil, "revision": evil})
    cell = study.cell(evil, 10, 1, cell="<i>cell&", label_init=evil, norm=evil)
    study.cell(evil, 10, 2, cell="<i>other", refused=evil)
    study.done(cell, 0, "search")
    study.done(cell, 1, device=evil)
    study.end(study.trial(cell, 2), status="failed", error=evil)
    page = page_of(write_dashboard(study.folder))
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "<i>" not in page
    assert "&lt;script&gt;alert(1)" in page
    for piece in cells_of(page).values():
        assert "<i>" not in piece["html"]
    for chart in data_of(page, 'id="content"')["charts"].values():
        drawn = json.dumps([[trace.get(name) for name in ("name", "hovertext", "text")] for trace in chart["data"]])
        assert "<img" not in drawn, "plotly reads a little HTML"


def test_an_empty_study_says_so(ledger):
    page = page_of(write_dashboard(ledger().folder))
    assert "there are 0 trials in the ledger" in page
    assert "There is no answer yet" in page
    assert 'class="chart"' not in page


def test_a_study_of_failures_says_so_and_why(ledger):
    study = ledger()
    cell = study.cell("net", 10, 1)
    study.cell("huge", 10**9, 1, refused="needs 40 GiB, a worker has 16")
    study.end(study.trial(cell, 0, "search"), status="failed", error="out of memory")
    study.end(study.trial(cell, 1, "search"), status="diverged")
    page = page_of(write_dashboard(study.folder))
    for words in (
        "No trial has succeeded: 1 failed, 1 diverged.",
        "0 of 1 cells confirmed",
        "out of memory",
        "no reason was recorded",
        "huge-m1-one_hot-as_is-sldd-s1e1",
        "needs 40 GiB, a worker has 16",
    ):
        assert words in page


def test_a_running_study_counts_its_confirmed_cells(ledger):
    study = ledger()
    first, second = study.cell("net", 10, 1), study.cell("net", 10, 2)
    study.done(first, 0)
    study.done(second, 0, "search")
    study.trial(second, 1)
    page = page_of(write_dashboard(study.folder))
    assert "Not finished: 1 of 2 cells confirmed." in page
    assert "1 trial has no result yet" in page


def test_the_papers_protocol_is_called_what_it_is(ledger):
    study = ledger(config={"protocol": "paper"})
    cell = study.cell("net", 10, 1, protocol="paper")
    study.done(cell, 0)
    study.done(cell, 1, "search")
    page = page_of(write_dashboard(study.folder))
    assert "states were chosen on the test patients themselves" in page
    for denial in (HONEST, "never met a test patient", "validation patients", "HM on<br>validation"):
        assert denial not in page
    for panel in (
        "HM by parameters",
        "HM by distilled images",
        "best HM on test patients",
    ):
        assert f"{panel} (papers' protocol)" in page or f"{panel} (papers&#x27; protocol)" in page
    (piece,) = cells_of(page).values()
    assert "test HM 0.80 (papers&#x27; protocol)" in piece["html"]


def test_the_page_says_what_six_points_can_show_and_how_many_it_takes(demo, tmp_path):
    page = page_of(write_dashboard(demo, out=tmp_path / "page.html"))
    assert "Li et al. (2022): 6 backbones" in page
    assert "1/15" in page
    assert "How many backbones it takes" in page


def test_negative_label_weights_are_footnoted(demo, tmp_path):
    assert "A weight was negative and is shown as zero" in page_of(write_dashboard(demo, out=tmp_path / "page.html"))


def test_several_studies_share_a_page(demo, ledger, tmp_path, capsys):
    out = tmp_path / "both.html"
    assert main([str(demo), str(ledger("second").folder), "--out", str(out)]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    page = page_of(out)
    assert page.count("<article") == 3
    assert "Studies beside each other" in page
    assert '<a href="#study-1">second</a>' in page
    assert [entry.name for entry in tmp_path.glob("*.html*")] == ["both.html"]


@pytest.mark.parametrize("missing", ["nowhere", "."])
def test_what_is_not_a_study_is_one_line_and_status_2(tmp_path, capsys, missing):
    assert main([str(tmp_path / missing)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("dashboard: ")
    assert said.err.count("\n") == 1


def test_a_page_that_cannot_be_written_is_status_2(demo, tmp_path, capsys):
    assert main([str(demo), "--out", str(tmp_path / "missing" / "page.html")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_help_has_an_example(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["--help"])
    assert exit_.value.code == 0
    assert "python -m analysis.dashboard results/demo" in capsys.readouterr().out
