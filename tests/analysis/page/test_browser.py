"""The page as a real browser draws it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from analysis.dashboard import write_dashboard
from tests.analysis.test_dashboard import PANELS

CELL = "test_vgg-m3-one_hot-as_is-sldd-s1e1"
Opener = Callable[..., Page]


@pytest.fixture
def opened(browser: Browser) -> Iterator[Opener]:
    """`opened(path, hash, width)`: a page in a tab of its own; at the end of the test, none may have complained."""
    complaints: list[str] = []
    tabs = []

    def opening(path: Path, asked: str = "", width: int = 1280) -> Page:
        tab = browser.new_page(viewport={"width": width, "height": 900})
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("dialog", lambda dialog: complaints.append(dialog.message) or dialog.dismiss())
        tab.on(
            "request",
            lambda request: None if request.url.startswith(("file:", "data:")) else complaints.append(request.url),
        )
        tab.goto(path.resolve().as_uri() + asked)
        tabs.append(tab)
        return tab

    yield opening
    for tab in tabs:
        tab.close()
    assert complaints == []


@pytest.fixture(scope="module")
def page(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = write_dashboard(demo, out=tmp_path_factory.mktemp("page") / "page.html")
    assert isinstance(path, Path)
    return path


def all_drawn(tab: Page) -> None:
    """Wait until every chart shows what it should, also those out of sight."""
    tab.locator(".chart:not([data-drawn]), .chart[data-stale]").first.wait_for(state="detached")


def points(tab: Page, name: str) -> int:
    """How many points and corners of lines a chart shows."""
    shown: list[list[Any]] = tab.evaluate(
        "id => document.getElementById(id).data.filter(trace => trace.visible ?? true).map(trace => trace.x)",
        f"study-0-{name}",
    )
    return sum(place is not None for places in shown for place in places)


def test_every_panel_is_drawn_with_its_data(page, opened):
    tab = opened(page)
    all_drawn(tab)
    assert [element.get_attribute("id") for element in tab.locator(".chart").all()] == [f"study-0-{n}" for n in PANELS]
    for name in PANELS:
        assert points(tab, name) > 0
        assert tab.locator(f"#study-0-{name} .trace path").count() > 0
    assert tab.locator(".film img").count() == 1
    assert tab.locator(".film img").first.evaluate("image => image.naturalWidth") == 32


def test_filters_act_on_all_panels_and_are_in_the_address(page, opened):
    tab = opened(page)
    all_drawn(tab)
    before = {name: points(tab, name) for name in PANELS}
    tab.locator("summary", has_text="Network").click()
    tab.get_by_role("checkbox", name="test_vgg").check()
    tab.get_by_text("27 rows in all").or_(tab.get_by_text("9 of 9 rows (27 in all)")).wait_for()
    assert tab.url.endswith("#backbone=test_vgg")
    assert tab.locator("#shown").inner_text() == "9 of 27 trials"
    all_drawn(tab)
    after = {name: points(tab, name) for name in PANELS}
    for name in set(PANELS) - {"cell-chart"}:
        assert 0 < after[name] < before[name], name
    assert tab.locator("select").input_value() == "study-0/test_vgg-m1-one_hot-as_is-sldd-s1e1"
    again = opened(page, "#backbone=test_vgg")
    all_drawn(again)
    assert {name: points(again, name) for name in PANELS} == after
    tab.get_by_role("button", name="Show all").click()
    all_drawn(tab)
    assert {name: points(tab, name) for name in PANELS} == before
    assert "#" not in tab.url


def test_a_cell_has_an_address_that_opens_it(page, opened):
    tab = opened(page, f"#cell=study-0/{CELL}")
    all_drawn(tab)
    expect(tab.locator(".film img")).to_have_count(3)
    tab.locator("select").select_option(f"study-0/{CELL.replace('m3', 'm2')}")
    expect(tab.locator(".film img")).to_have_count(2)
    assert "m2" in tab.url
    assert tab.locator(".film img").first.evaluate("image => getComputedStyle(image).filter") == "contrast(1)"
    tab.get_by_label("Contrast").fill("2.5")
    assert tab.locator(".film img").first.evaluate("image => getComputedStyle(image).filter") == "contrast(2.5)"
    expect(opened(page, "#cell=study-0/nowhere").locator(".cell-view")).to_contain_text("no such cell")


def test_what_is_filtered_out_is_not_looked_into(page, opened):
    tab = opened(page, f"#backbone=test_resnet&cell=study-0/{CELL}")
    all_drawn(tab)
    assert "test_resnet" in tab.locator("select").input_value()
    assert points(tab, "cell-chart") > 0
    tab.evaluate("location.hash = 'backbone=none'")
    expect(tab.locator(".cell-view")).to_have_text("No cell is left.")
    all_drawn(tab)
    assert points(tab, "cell-chart") == 0
    assert tab.locator("select").input_value() == ""


def test_a_point_opens_its_cell(page, opened):
    tab = opened(page)
    all_drawn(tab)
    tab.evaluate(
        """() => { const chart = document.getElementById("study-0-hm-by-images");
        chart.emit("plotly_click", {points: [{data: chart.data[2], pointNumber: 1}]}); }"""
    )
    assert "cell=study-0%2Ftest_vgg-m2" in tab.url


def test_the_trials_are_sorted_and_found(page, opened):
    tab = opened(page)
    all_drawn(tab)
    heads = tab.locator(".trials th").all_inner_texts()
    column = heads.index("test hm")
    tab.get_by_role("button", name="test hm", exact=True).click()
    cells = [row.locator("td").nth(column).inner_text() for row in tab.locator(".trials tbody tr").all()]
    scores = [float(text) for text in cells if text]
    assert len(scores) == 18
    assert scores == sorted(scores)
    assert cells[18:] == [""] * 9  # search trials have none and stay last
    tab.get_by_role("button", name="test hm", exact=True).click()
    assert float(tab.locator(".trials tbody tr").first.locator("td").nth(column).inner_text()) == max(scores)
    tab.get_by_label("Find").fill("VGG-m2")
    assert tab.locator(".trials tbody tr").count() == 3
    assert tab.locator(".rows").inner_text() == "3 of 3 rows (27 in all)"


@pytest.mark.parametrize("width", [1280, 390])
def test_it_is_legible_and_accessible(page, opened, width):
    tab = opened(page, width=width)
    all_drawn(tab)
    assert tab.evaluate("document.documentElement.scrollWidth") == width, "nothing sticks out"
    found = [
        violation
        for violation in Axe().run(tab).response["violations"]
        if violation["impact"] in ("serious", "critical")
    ]
    assert found == []
    small = tab.evaluate(
        """() => [...document.querySelectorAll("main *")]
        .filter(element => element.textContent.trim() && !element.children.length)
        .filter(element => parseFloat(getComputedStyle(element).fontSize) < 11).map(element => element.outerHTML)"""
    )
    assert small == []


def test_filters_can_be_used_without_a_mouse(page, opened):
    tab = opened(page)
    all_drawn(tab)
    tab.keyboard.press("Tab")
    tab.keyboard.press("Enter")
    assert tab.locator("#filters details").first.get_attribute("open") is not None
    tab.keyboard.press("Tab")
    tab.keyboard.press("Space")
    tab.wait_for_function("location.hash === '#backbone=test_convnet'")
    tab.keyboard.press("Escape")
    assert tab.locator("#filters details[open]").count() == 0
    assert tab.evaluate("document.activeElement.tagName") == "SUMMARY"


def test_a_study_with_next_to_nothing_still_has_a_page(ledger, opened):
    assert "there are 0 trials" in opened(write_dashboard(ledger("empty").folder)).locator("main").inner_text()
    study = ledger("failed")
    study.end(study.trial(study.cell("net", 10, 1), 0, "search"), status="failed", error="out of memory")
    assert "out of memory" in opened(write_dashboard(study.folder)).locator("main").inner_text()
    study = ledger("one")
    study.done(study.cell("net", 10, 1), 0)
    tab = opened(write_dashboard(study.folder))
    all_drawn(tab)
    assert tab.locator("#filters").is_hidden()


def test_names_with_markup_are_drawn_as_text(ledger, opened):
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"
    study = ledger("evil", name=evil)
    study.done(study.cell(evil, 10, 1, cell="evil", label_init=evil), 0)
    study.done(study.cell("net", 20, 1, cell="net"), 0, device=evil)
    tab = opened(write_dashboard(study.folder))
    all_drawn(tab)
    assert tab.locator("h1").inner_text() == evil
    assert evil in tab.locator("#study-0-hm-by-images .legend").text_content()
    assert evil in tab.locator("select").inner_text()
    assert evil in tab.locator(".trials").inner_text()
