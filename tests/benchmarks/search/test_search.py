"""The benchmark of samplers: simulated cells, and a table of what is confirmed."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.clusters.idle import drive
from benchmarks.search.replay import Way, searched
from benchmarks.search.replay import main as replay
from benchmarks.search.simulated import DRIFTS, confirmed_shares, main, result, simulated_cells
from benchmarks.search.suggestions import main as suggestions
from benchmarks.search.truth import Row, correlations, measure, read, settings
from sldd.errors import InputError
from sldd.rng import stream
from study.config.search_settings import SearchSettings


def test_more_skill_shows_in_every_score() -> None:
    low, high = (result(skill, 200, stream(0, "x"), 1)["validation"] for skill in (0.1, 0.9))
    for score in ("hm", "auc", "patch_accuracy"):
        assert low[score] < high[score]


@pytest.mark.parametrize("drift", DRIFTS)
def test_the_best_setting_has_all_of_its_cells_skill(drift: str) -> None:
    settings = SearchSettings(trials=1)
    cells = simulated_cells(DRIFTS[drift], 0, number=3)
    shares, _ = confirmed_shares(cells, settings, patients=16, seed=0)
    assert len(shares) == 3
    assert all(0 < share <= 1 for share in shares)
    if drift == "near":
        assert min(shares) > 0.7, "the middle is near by"


def test_a_table_has_a_row_for_each_sampler_and_score(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["random", "--studies", "1", "--trials", "1", "--patients", "8"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + len(DRIFTS) * 3
    assert sum("| random | smooth |" in line for line in lines) == len(DRIFTS)


def test_workers_idle_less_where_more_of_a_cell_runs_at_a_time() -> None:
    settings = ["grid.backbone=[test_resnet]", "grid.method=sldd", "search.trials=4", "confirm.repeats=1"]
    times = []
    for parallel in (1, 4):
        time, idle, trials = drive([*settings, f"search.parallel={parallel}"], 12)
        assert trials == 3 * 5
        assert 0 < idle < 1
        times.append(time)
    assert times[1] < times[0] / 2


def test_a_suggestion_is_timed(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("botorch")
    assert suggestions(["40"]) in (0, 1)
    assert "| 40 | " in capsys.readouterr().out


def test_a_table_of_truth_goes_on_where_it_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def distil(name: str, setting: int, outer_lr: float, inner_lr: float) -> Row:
        assert (name, setting) not in done
        done.add((name, setting))
        return Row(
            name,
            10,
            setting,
            outer_lr,
            inner_lr,
            1.0,
            outer_lr,
            outer_lr,
            outer_lr,
            -outer_lr,
            test_hm=outer_lr,
            test_smooth=inner_lr,
        )

    done: set[tuple[str, int]] = set()
    monkeypatch.setattr("benchmarks.search.truth.distil", distil)
    table = tmp_path / "truth.csv"
    assert len(list(measure(table, ["lenet", "test_vit"], 3))) == 6
    assert len(list(measure(table, ["lenet", "test_vit"], 5))) == 4
    assert [row.setting for row in read(table)] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    monkeypatch.setattr("benchmarks.search.truth.INNER", (0.001, 0.1))
    with pytest.raises(InputError, match=r"setting 0 of lenet has rates .* and 0\.02, which are .* and 0\.01"):
        next(measure(table, ["lenet"], 6))
    *_, mean = correlations(read(table))
    assert mean.startswith("| mean | | 1.00 | -1.00 | ")
    assert mean.endswith(" | 1.00 | 1.00 |")


def test_a_search_on_recorded_truth_confirms_rows_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        Row(name, 10, number, *rates, 4.0, *[_worth(*rates)] * 4, test_smooth=_worth(*rates), test_hm=0.5)
        for number, rates in enumerate(settings(40))
        for name in ("lenet", "test_vit")
    ]
    found, seconds = searched(rows, Way("random"), 6, 0)
    halved, less = searched(rows, Way("random", pruner="halving"), 6, 0)
    assert [row.network for row in found] == ["lenet", "test_vit"]
    assert all(row.smooth >= _worth(*settings(1)[0]) for row in found), "the middle is among those tried"
    assert found == halved, "rungs that say all lose nothing"
    assert (seconds, less) == (6 * 4.0, 6 * 1.0 + 3 * 1.0 + 2 * 2.0)
    assert replay(["--table", str(tmp_path / "none.csv")]) == 2
    assert "0 settings of all networks" in capsys.readouterr().err


def _worth(outer_lr: float, inner_lr: float) -> float:
    return 1 / (1 + outer_lr + inner_lr)
