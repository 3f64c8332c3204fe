"""What the shared model expects over the rates, as a study leaves it."""

from __future__ import annotations

import json
import math
from pathlib import Path

from study.config.search_settings import SearchSettings
from study.search.landscape import RATES, SIDE, write_landscapes
from study.search.sampler import search_space
from study.search.shared_model import SharedModel
from tests.study.search.test_shared_model import CELLS, SIZED, SPACE, _learned


def test_the_landscape_is_high_where_trials_were_good(tmp_path: Path) -> None:
    model = SharedModel(_learned(0.012, CELLS[:3]), SIZED)
    write_landscapes(tmp_path, model, ((cell, SPACE) for cell in CELLS))
    cells = json.loads((tmp_path / "landscape.json").read_text())["cells"]
    assert sorted(cells) == sorted(cell.name for cell in CELLS[:3]), "a cell without trials has none"
    for each in cells.values():
        assert [len(each[name]) for name in RATES] == [SIDE, SIDE]
        assert [len(row) for row in each["score"]] == [SIDE] * SIDE
        row = each["score"][SIDE // 2]  # at the inner rate that was tried
        best = each["outer_lr"][row.index(max(row))]
        assert abs(math.log(best / 0.012)) < 0.35
        assert math.isclose(each["outer_lr"][SIDE // 2], 0.001**0.5), "the middle is one of the points"


def test_nothing_is_written_of_too_little_or_of_one_rate(tmp_path: Path) -> None:
    train = search_space(SearchSettings(), "train", fixed_delta=False)
    write_landscapes(tmp_path, SharedModel(_learned(0.012, CELLS[:1]), SIZED), [(CELLS[0], train)])
    write_landscapes(tmp_path, SharedModel(_learned(0.012, []), SIZED), [(CELLS[0], SPACE)])
    assert not list(tmp_path.iterdir())
