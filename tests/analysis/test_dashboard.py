from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest

from analysis.dashboard import main, write_dashboard
from analysis.records.records import read_study
from analysis.records.tasks import TASKS, USUAL
from analysis.text.summary import ONCE, headline, highlights, smallest_counts
from tests.analysis.conftest import voters
from tests.analysis.pages import cells_of, data_of, everything_in, page_of

PANELS = [
    "minimum", "hm-by-parameters", "hm-by-images", "operating", "sharing", "search", "parallel", "cell-chart",
]  # fmt: skip


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
    for words in (
        TASKS[USUAL].protocol,
        "0123abc",
        "fe" * 8,
        "python 3.11.7",
        "train 24, validation 12, test 24",
        "repeats: 2",
    ):
        assert words in page


def test_the_headline_asks_answers_and_says_what_the_points_show(demo):
    asked, answered, others, curves = headline(read_study(demo))
    assert "24 training patients" in asked
    assert "3 networks of 118 k to 2.31 M parameters, trying 1, 2 or 3 images?" in asked
    assert answered == (
        "Measured on 24 test patients, no count can be claimed to suffice: the study has no ordinary training "
        "(grid.method=[sldd,train]) to hold images against."
    )
    assert "Second view, HM 0.80 whatever ordinary training has: shown at the 95 % level for" in others
    assert "By the papers' rule (means alone, within 0.10 of the network's own best count" in others
    assert "looks frugal): test_convnet with 1 image (mean 0.91), test_resnet" in others
    assert "and test_vgg with 3 images (mean 0.93)." in others
    assert curves.startswith("By the whole curves of 3 networks")
    assert "p ≥ 1/6" in smallest_counts(read_study(demo))


def test_the_answers_caption_states_the_rule_the_study_was_run_with(demo, ledger, tmp_path):
    page = page_of(write_dashboard(demo, out=tmp_path / "page.html"))
    assert "within 0.10 of the network" in page
    assert "at the 95 % level to have at most 0.10 HM less than ordinary training" in page
    study = ledger(config={"minimum": {"margin": 0.05, "level": 0.9, "resamples": 500, "target": 0.7}})
    for images, hm in ((1, 0.8), (None, 0.85)):
        cell = study.cell("net", 10, images, method="sldd" if images else "train")
        for index in range(2):
            study.done(cell, index, hm=hm)
    page = page_of(write_dashboard(study.folder))
    assert "at the 90 % level to have at most 0.05 HM less than ordinary training" in page
    assert "no count is shown to suffice. Undecided for net. A count" in page
    assert "Second view, HM 0.70 whatever" in page


def test_many_networks_are_answered_in_one_sentence(ledger):
    study = ledger()
    for place in range(9):
        for images, hm in ((1, 0.6), (2, 0.9), (None, 0.9)):
            cell = study.cell(f"net{place}", 10 + place, images, method="sldd" if images else "train")
            for index in range(2):
                study.done(cell, index, hm=hm, patients=voters(hm, 100))
    _, answered, others, *_ = headline(read_study(study.folder))
    assert answered.startswith(
        "Measured on 24 test patients, at the 95 % level: a count is shown to suffice for 9 of 9 networks and "
        "settings, from 2 to 2. A count suffices where the whole 95 % interval has it at most 0.10 HM under ordinary "
    )
    assert others.endswith("looks frugal): 9 of 9 networks and settings, from 2 to 2.")


def test_the_answer_says_what_is_shown_and_what_is_not(ledger):
    """Each outcome by its name: a count, none, not to be distilled, training that fails, none to compare with."""
    study = ledger()
    networks = {"good": (0.9, 0.9, 0.9), "poor": (0.65, 0.7, 0.95), "dead": (0.45, 0.5, 0.9), "hard": (0.5, 0.5, 0.5)}
    networks |= {"alone": (0.8, 0.8, None)}
    for place, (name, hms) in enumerate(networks.items()):
        for images, hm in zip((1, 2, None), hms, strict=True):
            if hm is not None:
                cell = study.cell(name, 10 + place, images, method="sldd" if images else "train")
                for index in range(2):
                    study.done(cell, index, hm=hm, patients=voters(hm, 100))
    read = read_study(study.folder)
    _, answered, *_ = headline(read)
    for words in (
        "at the 95 % level: 1 image suffices for good (HM 0.90). More than were tried are needed by poor; every count "
        "tried falls short of ordinary training (HM 0.95; best HM 0.70).",
        "Could not be distilled with the counts tried: dead; ordinary training has HM 0.90, and no count tried is",
        "Not judged: hard; ordinary training itself is not shown to be above 0.5 (HM 0.50, 95 % interval 0.",
        "Not judged: alone; the study has no ordinary training (grid.method=[sldd,train]) to hold images against.",
    ):
        assert words in answered
    assert ("1 of 5", "networks and settings with a count shown to suffice") in highlights(read)
    assert "(the best of 10 cells, so probably too high)" in highlights(read)[3][1]
    assert write_dashboard(study.folder).is_file()


@pytest.mark.parametrize(
    ("networks", "seeds", "words"),
    [
        (
            {"net": (0.8, 0.9, 0.9)},
            1,
            "with one confirm seed nothing is known of other seeds, so no interval is claimed",
        ),
        ({"net": (0.8, 0.9, 0.9)}, 2, "2 images suffice for net"),
        (
            {"net": (0.8, 0.9, None)},
            2,
            "the study has no ordinary training (grid.method=[sldd,train]) to hold images against",
        ),
    ],
)
def test_a_study_of_little_says_what_is_missing(ledger, networks, seeds, words):
    study = ledger()
    for name, hms in networks.items():
        for images, hm in zip((1, 2, None), hms, strict=True):
            if hm is not None:
                cell = study.cell(name, 10, images, method="sldd" if images else "train")
                for index in range(seeds):
                    study.done(cell, index, hm=hm, patients=voters(hm, 100))
    _, answered, others, *_ = headline(read_study(study.folder))
    assert words in answered
    assert ("Second view" in others) == (seeds > 1)
    assert "single point" in smallest_counts(read_study(study.folder)), "one network shows nothing of parameters"
    assert write_dashboard(study.folder).is_file()


def test_test_patients_of_one_label_say_so(ledger):
    study = ledger()
    for images in (1, None):
        cell = study.cell("net", 10, images, method="sldd" if images else "train")
        for index in range(2):
            study.done(cell, index, hm=0.9, patients=[each for each in voters(0.9, 10) if each["label"]])
    assert "takes votes of the same test patients, of each kind" in headline(read_study(study.folder))[1]
    assert write_dashboard(study.folder).is_file()
    unscored = ledger("unscored")
    unscored.done(unscored.cell("net", 10, 1), 0, hm=None)
    why = "1 confirm trial is done, without HM: that takes test patients of each kind."
    assert headline(read_study(unscored.folder))[1].endswith(why)


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
        "Measured on 80 patients, each a test patient in one of 2 folds, no count can be claimed to suffice"
    )
    page = page_of(write_dashboard(study.folder))
    assert "patients are pooled over 2 folds." in page
    assert "net · 1 image · fold 1 of 2" in page
    assert "net · 1 image · fold 2 of 2" not in page


def test_a_study_that_grew_says_how_often_test_patients_were_scored(ledger):
    study = ledger()
    cell = study.cell("net", 10, 1)
    study.done(cell, 0, "search")
    study.done(cell, 3)
    assert ONCE in page_of(write_dashboard(study.folder))
    for index, phase in ((1, "confirm"), (2, "confirm"), (4, "search")):
        moved = study.done(cell, index, phase)
        (study.folder / "superseded" / cell).mkdir(parents=True, exist_ok=True)
        moved.rename(study.folder / "superseded" / cell / f"{index}-0a1b")
    page = page_of(write_dashboard(study.folder))
    assert ONCE not in page
    assert "in 1 cell they were scored again with what was best then, and 2 earlier confirm trials moved aside." in page
    assert "State and threshold were chosen on these patients, so this HM is too high" in page


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
    assert "<img src=x" not in json.dumps(data_of(page, 'id="content"')["words"]), "and so in its boxes"


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
    whole = everything_in(page)
    for denial in (TASKS[USUAL].protocol, "never met a test patient", "validation patients", "HM on<br>validation"):
        assert denial not in whole
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
    assert "What such a study can show" in page


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


@pytest.mark.parametrize("out", ["{folder}/missing/page.html", "foo://bucket/page.html"])
def test_a_page_that_cannot_be_written_is_status_2(ledger, tmp_path, capsys, out):
    out = out.format(folder=tmp_path)
    assert main([str(ledger().folder), "--out", out]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"dashboard: {out}: ")
    assert said.count("\n") == 1


def test_help_has_an_example(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["--help"])
    assert exit_.value.code == 0
    assert "python -m analysis.dashboard results/demo" in capsys.readouterr().out
