"""The page of a running study: it follows, and leaves alone what did not change."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import socket
import threading
from collections.abc import Callable, ItemsView, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser
from werkzeug.serving import make_server

from analysis.page.content import Content, Section
from analysis.page.live import Live
from analysis.serve import main, make_app
from analysis.text.anonymity import REPORT
from analysis.text.sensitivity import FILE as FRAGILITY
from ledger.trial_files import LANDSCAPE
from tests.analysis.conftest import Ledger

CELL = "test_vgg-m3-one_hot-as_is-sldd-s1e1"


@pytest.fixture
def running(demo: Path, tmp_path: Path) -> Path:
    """A copy of the demo, to be written to."""
    return Path(shutil.copytree(demo, tmp_path / "running"))


def finish(study: Path, index: int) -> None:
    """One more confirm trial of a cell."""
    folder = study / "trials" / CELL
    shutil.copytree(folder / "2", folder / str(index))
    config = json.loads((folder / "2" / "config.json").read_text())
    (folder / str(index) / "config.json").write_text(json.dumps(config | {"index": index, "seed": index}))


def fail(*_: object) -> None:
    raise OSError("away")


def test_nothing_new_is_no_news(running):
    live = Live([running])
    live.look()
    assert live.edition.revision == 1
    assert live.edition.news(1) is None


def test_news_is_what_a_new_trial_changed(running):
    live = Live([running])
    finish(running, 3)
    live.look()
    news = live.edition.news(1)
    assert news["revision"] == 2
    assert "study-0-hm-by-images" in news["charts"]
    assert "study-0-search" not in news["charts"], "a confirm trial is no part of the search"
    assert news["cells"] == {}, "the cell's first confirm trial stands for it"
    kept = {name: html for name, _, html in news["sections"]["study-0"]}
    assert kept["study-0-provenance"] is None
    assert "All 28 trials" in kept["study-0-trials-card"]
    assert live.edition.news(2) is None


def test_a_browser_that_comes_back_gets_all_it_missed(running):
    live = Live([running])
    for index in (3, 4):
        finish(running, index)
        live.look()
    assert live.edition.revision == 3
    assert live.edition.news(1)["revision"] == 3
    assert len(live.edition.news(0)["cells"]) == 9


def test_a_study_that_cannot_be_read_for_a_moment_keeps_its_page(running):
    live = Live([running])
    header = (running / "study.yaml").read_text()
    (running / "study.yaml").write_text("{")
    with pytest.raises(ValueError, match="cannot be read"):
        live.look()
    assert live.edition.news(0)["revision"] == 1
    (running / "study.yaml").write_text(header)
    live.look()


@pytest.fixture
def counting(ledger: Callable[..., Ledger], monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """An empty study, and a page that says no more than how often it was made."""
    made = itertools.count(1)

    def content(*_: object) -> Content:
        return Content({"study-0": "ours"}, sections={"study-0": [Section("made", "card", f"{next(made)} times")]})

    monkeypatch.setattr("analysis.page.live.make_content", content)
    return ledger()


@pytest.mark.parametrize(
    ("name", "revision"),
    [
        ("study.yaml", 2),
        (LANDSCAPE, 2),
        ("trials/net/1/result.json", 2),
        ("trials/net/1/package.safetensors", 2),
        (f"trials/net/1/{REPORT}", 2),
        (f"trials/net/1/{FRAGILITY}", 2),
        ("superseded/net/2-0a1b/result.json", 2),
        ("records.csv", 1),
        ("trials/net/1/checkpoint/20.pt", 1),
    ],
)
def test_a_page_is_made_anew_for_the_files_that_it_is_made_of(counting: Ledger, name: str, revision: int) -> None:
    live = Live([counting.folder])
    path = counting.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("new")
    live.look()
    assert live.edition.revision == revision


def test_news_that_are_read_while_the_next_are_made_are_of_one_edition(counting: Ledger) -> None:
    live = Live([counting.folder])
    edition = live.edition

    class Slow(dict[str, list[Section]]):
        def items(self) -> ItemsView[str, list[Section]]:
            counting.cell("net", 10, 1)  # one browser's request is being answered, and another one finds a new cell
            live.look()
            return super().items()

    edition.content.sections = Slow(edition.content.sections)
    news = edition.news(0)
    assert live.edition.revision == 2
    assert news is not None
    assert (news["revision"], news["sections"]) == (1, {"study-0": [["made", "card", "1 times"]]})
    later = live.edition.news(1)
    assert later is not None
    assert later["sections"] == {"study-0": [["made", "card", "2 times"]]}


def test_what_could_not_be_made_is_made_at_the_next_look(counting: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    live = Live([counting.folder])
    counting.cell("net", 10, 1)
    with monkeypatch.context() as away:
        away.setattr("analysis.page.live.make_content", fail)
        with pytest.raises(OSError, match="away"):
            live.look()
    assert live.edition.revision == 1
    live.look()
    assert live.edition.revision == 2


def test_what_is_numbered_keeps_its_number_while_others_come_before_it(
    counting: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or every chart would be sent for a trial that only one of them shows."""

    shown = iter((["old"], ["first", "old"]))

    def content(_: object, begun: Content) -> Content:
        names = next(shown)
        begun.charts["old"] = {"keys": begun.code(names)[-1:], "words": begun.spell(names)[-1:]}
        return begun

    monkeypatch.setattr("analysis.page.live.make_content", content)
    live = Live([counting.folder])
    counting.cell("net", 10, 1)
    live.look()
    news = live.edition.news(1)
    assert news is not None
    assert (news["charts"], news["words"]) == ({}, ["old", "first"])


def test_a_page_loads_from_its_server_alone_and_stays_while_its_study_is_away(
    counting: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_app(Live([counting.folder]), every=5).server.test_client()
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', client.get("/").text)
    rules = {name: allowed for name, *allowed in map(str.split, policy.split(";"))}
    assert rules.pop("default-src") == ["'none'"]
    assert {source for allowed in rules.values() for source in allowed} == {
        "'self'", "'unsafe-inline'", "data:", "blob:"
    }  # fmt: skip

    def asked(known: int | None) -> Any:
        """The answer to a page that has this revision."""
        output = {
            "output": "news.data",
            "outputs": {"id": "news", "property": "data"},
            "changedPropIds": ["asked.data"],
        }
        value = {"id": "asked", "property": "data", "value": [1, known]}
        return client.post("/_dash-update-component", json=output | {"inputs": [value]}).json

    monkeypatch.setattr("analysis.page.live.listing", fail)
    assert [asked(known)["response"] for known in (None, 1)] == [{}, {}], "no news"
    assert asked(0)["response"]["news"]["data"]["revision"] == 1


@pytest.fixture
def address(running: Path) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, make_app(Live([running]), every=0.3).server, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()


@pytest.mark.slow
def test_an_open_page_follows_and_does_not_flicker(running, address, browser: Browser):
    complaints: list[str] = []
    tab = browser.new_page(viewport={"width": 1280, "height": 900})
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.goto(f"{address}/#cell=study-0/{CELL}")
    tab.locator(".chart:not([data-drawn])").first.wait_for(state="detached")
    counts = (
        "() => Object.fromEntries([...document.querySelectorAll('.chart')].map(e => [e.id, Number(e.dataset.drawn)]))"
    )
    before = tab.evaluate(counts)
    tab.get_by_label("Find").fill("vgg")
    tab.wait_for_timeout(1500)  # some ticks of the clock
    assert tab.evaluate(counts) == before, "nothing is drawn again because a clock ticked"
    finish(running, 3)
    tab.get_by_text("All 28 trials").wait_for(timeout=120_000)  # of a machine that does other things beside
    tab.wait_for_timeout(1000)
    after = tab.evaluate(counts)
    assert after["study-0-hm-by-images"] > before["study-0-hm-by-images"]
    assert after["study-0-search"] == before["study-0-search"]
    assert tab.get_by_label("Find").input_value() == "vgg", "what was typed stays"
    assert tab.locator(".film img").count() == 3, "the chosen cell stays"
    assert tab.locator("select").input_value() == f"study-0/{CELL}"
    assert complaints == []
    tab.close()


def test_what_is_not_a_study_is_one_line_and_status_2(tmp_path, capsys):
    assert main([str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("every", ["0", "-1", "nan", "inf"])
def test_a_clock_that_never_ticks_or_never_rests_is_refused(tmp_path, capsys, every):
    with pytest.raises(SystemExit) as exit_:
        main([str(tmp_path), f"--every={every}"])
    assert exit_.value.code == 2
    assert "--every: a number of seconds above zero" in capsys.readouterr().err


def test_this_machine_alone_can_open_it_and_a_port_that_is_taken_is_one_line(counting: Ledger, capsys) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main([str(counting.folder), "--port", str(port)]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"serve: cannot listen on 127.0.0.1:{port} (")
