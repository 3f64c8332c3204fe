"""What the shared model expects over the rates, as a study leaves it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from study.config.loader import load
from study.config.search_settings import SearchSettings
from study.engine.study_run import StudyRun
from study.planning.plan import PlannedCell
from study.search.landscape import RATES, SIDE, landscape, write_landscapes
from study.search.sampler import search_space
from study.search.shared_model import SharedModel
from tests.study.search.test_shared_model import CELLS, SIZED, SPACE, _learned, _ledger, _rates, _score


def test_the_landscape_is_high_where_trials_were_good(tmp_path: Path) -> None:
    model = SharedModel(_learned(0.012, CELLS[:3]), SIZED)
    write_landscapes(tmp_path, ((cell, SPACE, model) for cell in CELLS))
    cells = json.loads((tmp_path / "landscape.json").read_text())["cells"]
    assert sorted(cells) == sorted(cell.name for cell in CELLS[:3]), "a cell without trials has none"
    for each in cells.values():
        assert [len(each[name]) for name in RATES] == [SIDE, SIDE]
        assert [len(row) for row in each["score"]] == [SIDE] * SIDE
        row = each["score"][SIDE // 2]  # at the inner rate that was tried
        best = each["outer_lr"][row.index(max(row))]
        assert abs(math.log(best / 0.012)) < 0.35
        assert math.isclose(each["outer_lr"][SIDE // 2], 0.001**0.5), "the middle is one of the points"


def test_folds_have_models_of_their_own(tmp_path: Path) -> None:
    """What was best on other folds' validation patients, whom this fold tests, says nothing here."""
    words = ["search={trials: 1, sampler: shared, options: {clip: [null, 3.0]}}", "confirm.folds=2"]
    config, none = load("demo", words), cast(Any, None)
    first, second = ([replace(cell, fold=fold) for cell in CELLS[:2]] for fold in (0, 1))
    own, others = (
        [(cell, rate, _score(rate, best)) for rate in _rates(6) for cell in cells]
        for cells, best in ((first, 0.012), (second, 0.08))
    )
    ledger = _ledger(own + others)
    ledger.folder = tmp_path
    plan = [PlannedCell(cell, 1000, None, None) for cell in (*first, *second)]
    StudyRun(config, ledger, plan, none, none, none).write_landscapes()
    written = json.loads((tmp_path / "landscape.json").read_text())["cells"]
    assert list(written) == [entry.cell.name for entry in plan]
    model = SharedModel(_ledger(own), [(cell, 1000) for cell in first])
    for cell in first:
        assert written[cell.name] == landscape(model, cell, search_space(config.search, cell.method, fixed_delta=True))


def test_nothing_is_written_of_too_little_or_of_one_rate(tmp_path: Path) -> None:
    train = search_space(SearchSettings(), "train", fixed_delta=False)
    write_landscapes(tmp_path, [(CELLS[0], train, SharedModel(_learned(0.012, CELLS[:1]), SIZED))])
    write_landscapes(tmp_path, [(CELLS[0], SPACE, SharedModel(_learned(0.012, []), SIZED))])
    assert not list(tmp_path.iterdir())
