"""HM against epsilon."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.epsilon import main
from analysis.figures.given_away.epsilon import hm_by_epsilon_figure, hm_by_epsilon_frame
from analysis.page.content import make_content
from analysis.records.records import read_study
from tests.analysis.conftest import Ledger, voters


@pytest.fixture
def studies(tmp_path: Path) -> list[Path]:
    """Two private studies and one that is not."""
    folders = []
    for name, epsilon, hms in (("loud", 2.0, (0.5, 0.7)), ("soft", 8.0, (0.8,)), ("plain", None, (0.9,))):
        ledger = Ledger(tmp_path / name)
        ledger.described |= {"name": name, "config": {"privacy": {"delta": 0.01}}}
        cell = ledger.cell("net", 1000, 3)
        for index, hm in enumerate(hms):
            ledger.done(cell, index, hm=hm, **({} if epsilon is None else {"epsilon": epsilon}))
        ledger.save()
        folders.append(tmp_path / name)
    return folders


def test_a_study_is_a_point_and_one_without_privacy_a_dotted_line(studies: list[Path]) -> None:
    frame = hm_by_epsilon_frame([read_study(folder) for folder in studies]).set_index("study")
    assert frame.loc["loud", ["epsilon", "hm", "hm_low", "hm_high", "seeds", "delta"]].tolist() == pytest.approx(
        [2.0, 0.6, 0.5, 0.7, 2, 0.01]
    )
    assert frame["epsilon"].isna().tolist() == [False, False, True]
    drawn = hm_by_epsilon_figure(frame.reset_index())
    (line,) = drawn.data
    assert (line.x, line.y) == ((2.0, 8.0), pytest.approx((0.6, 0.8)))
    assert line.error_y.array == pytest.approx((0.1, 0.0))
    assert drawn.layout.shapes[0].y0 == pytest.approx(0.9)
    assert drawn.layout.annotations[0].text == "net, 3 images, not private"


def test_the_command_writes_a_page_that_needs_no_network(
    studies: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "hm.html"
    assert main([*map(str, studies), "--out", str(out)]) == 0
    assert "net, 3 images" in capsys.readouterr().out
    assert "<script src" not in out.read_text(encoding="utf-8")
    assert main([str(studies[2]), "--out", str(tmp_path / "none.html")]) == 2
    assert "no confirmed cell of these studies is private" in capsys.readouterr().err
    assert not (tmp_path / "none.html").exists()


def test_the_page_of_several_studies_shows_it(studies: list[Path]) -> None:
    content = make_content([read_study(folder) for folder in studies])
    (drawn,) = content.charts["beside-epsilon"]["data"]
    assert drawn["x"] == [2.0, 8.0]
    assert len(drawn["meta"]["keys"]) == 2
    assert "beside-epsilon" not in make_content([read_study(studies[2])] * 2).charts


def test_patients_of_all_folds_are_one_point_at_the_largest_epsilon(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "folds", config={"privacy": {"delta": 0.01}, "confirm": {"folds": 2}})
    for fold, cell in enumerate(ledger.rotated("net", 1000, 3, 2)):
        for index, hm in enumerate((0.6, 0.8)):
            patients = voters(hm, first=1000 * fold)
            ledger.done(cell, index, hm=hm, patients=patients, epsilon=2.0 + fold, delta=0.4)
    (row,) = hm_by_epsilon_frame([read_study(ledger.folder)]).to_dict("records")
    assert [row[name] for name in ("epsilon", "seeds", "hm", "hm_low", "hm_high")] == pytest.approx(
        [3.0, 2, 0.7, 0.6, 0.8]
    )


def test_other_scores_are_called_by_their_names(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "classes", config={"task": "classes", "privacy": {"delta": 0.01}})
    test = {"balanced_accuracy": 0.6, "accuracy": 0.6, "auc": 0.7}
    trial = ledger.trial(ledger.cell("net", 10, 1, task="classes"), 0)
    ledger.end(trial, validation=test, test=test, epsilon=2.0)
    drawn = hm_by_epsilon_figure(hm_by_epsilon_frame([read_study(ledger.folder)]))
    assert drawn.layout.yaxis.title.text == "balanced accuracy on test patients"
    assert drawn.data[0].y == (0.6,)


@pytest.mark.parametrize("out", ["missing/hm.html", "foo://bucket/hm.html"])
def test_a_figure_that_cannot_be_written_is_one_line_and_status_2(
    studies: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], out: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*map(str, studies), "--out", out]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"analysis.epsilon: {out}: ")
    assert said.count("\n") == 1
