"""The page's pieces: what a chart, a cell and the filters are made of."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import plotly.graph_objects as go
import pytest

from analysis.page.content import LEFT_OUT, Content, _chart, make_content
from analysis.page.gallery import films
from analysis.records.packages import read_distilled
from analysis.records.records import read_study
from tests.analysis.conftest import Ledger, save_package


@pytest.fixture
def cells_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages without the answer and the figures, which take most of their time."""
    for name, empty in (("story", ""), ("limits", ""), ("panels", [])):
        monkeypatch.setattr(f"analysis.page.content.{name}", lambda _, empty=empty: empty)


def test_a_charts_numbers_have_five_digits_and_its_keys_and_boxes_are_numbers() -> None:
    content = Content()
    content.code(["other"])
    trace = go.Scatter(x=[0.123456789, 2, 3], mode="markers", hovertext=["b", "a", "b"], meta={"keys": ["k", "j", "k"]})
    (drawn,) = _chart(content, go.Figure(trace))["data"]
    assert drawn["x"] == [0.12346, 2, 3]
    assert drawn["meta"] == {"keys": [1, 2, 1], "hovertext": [0, 1, 0]}
    assert "hovertext" not in drawn
    assert (list(content.numbers), list(content.words)) == (["other", "k", "j"], ["b", "a"])


def test_filters_are_of_what_trials_differ_in() -> None:
    """And not of published points, which lie beside them in charts."""
    content, (ours, theirs, published) = Content(), ("\x1f".join([net, "3"]) for net in ("a", "b", "c"))
    content.tables["study-0-trials"] = {"keys": content.code([ours, theirs])}
    content.code([published])
    (facet,) = content.script()["facets"]
    assert (facet["name"], facet["values"]) == ("backbone", ["a", "b"])


@pytest.mark.usefixtures("cells_alone")
def test_a_cell_is_headed_by_its_score_on_test_patients(ledger: Callable[..., Ledger]) -> None:
    written = ledger()
    path = written.done(written.cell("net", 10, 1), 0, hm=0.6) / "result.json"
    result = json.loads(path.read_text())
    result["validation"]["hm"] = 0.9
    path.write_text(json.dumps(result))
    (piece,) = make_content([read_study(written.folder)]).cells.values()
    assert piece["html"].startswith('<p class="setting">test HM 0.60</p>')


@pytest.mark.usefixtures("cells_alone")
def test_the_images_of_all_studies_share_the_pages_room(
    ledger: Callable[..., Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = []
    for name, counts in (("first", (1, 2, 3)), ("second", (1,))):
        written = ledger(name)
        folders.append(written.folder)
        for images in counts:
            trial = written.done(written.cell("net", 10, images), 0)
            save_package(trial / "package.safetensors", np.random.default_rng(1), 1)
    written.done(written.cell("net", 10, None, cell="trained", method="train"), 0)  # has no images to leave out
    distilled = read_distilled(trial)
    assert distilled is not None
    monkeypatch.setattr("analysis.page.content.CELLS_BYTES", 2 * len(films(distilled)))
    pieces = make_content(map(read_study, folders)).cells.values()
    assert [LEFT_OUT in piece["html"] for piece in pieces] == [False, False, True, True, False]


@pytest.mark.usefixtures("cells_alone")
def test_fresh_starts_have_their_table(ledger: Callable[..., Ledger]) -> None:
    written = ledger(config={"evaluate": {"starts": 1}})
    fresh = [{"backbone": "<other>", "start": 0, "score": 0.456}]
    written.done(written.cell("net", 10, 1), 0, fresh=fresh)
    sections = make_content([read_study(written.folder)]).sections["study-0"]
    (table,) = [section.html for section in sections if section.id == "study-0-fresh"]
    assert '<th scope="col">&lt;other&gt;</th>' in table
    assert "<td>0.456</td>" in table
