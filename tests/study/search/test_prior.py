"""What an earlier study found: it suggests, and answers nothing."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from ledger.ledger import FORMAT, Ledger
from ledger.trial_folder import TrialFolder
from sldd.errors import InputError
from study.config.loader import as_tree, load
from study.config.search_settings import SearchSettings
from study.grid.axes import Cell
from study.grid.spec import TrialSpec
from study.search.prior import PRIOR, Observed, keep_prior, take_prior
from study.search.sampler import middle, search_space
from study.search.shared_model import SharedModel

SPACE = search_space(SearchSettings(), "sldd", fixed_delta=False)
CELLS = [Cell(f"resnet{depth}", "sldd", "as_is", 3, "one_hot", 1, 1) for depth in (10, 18)]
SIZED = [(cell, 1000) for cell in CELLS]
HERE = ("search.trials=1", "search.sampler=shared", "grid.method=sldd")


def _earlier(folder: Path, *settings: str, method: str = "sldd", best: float = 0.08) -> Path:
    """A study whose score falls with the distance of the outer rate from ``best``."""
    ledger = Ledger(folder)
    ledger.hold()
    config = as_tree(load("demo", [*settings]))
    ledger.start({"format": FORMAT, "name": "x", "config": config, "provenance": {"cohort": {"fingerprint": "theirs"}}})
    for number in range(6):
        rate = 0.01 * 10 ** (number / 5)
        score = math.exp(-(math.log(rate / best) ** 2))
        spec = TrialSpec(
            Cell("resnet10", method, "as_is", 3, "one_hot", 1, 1), "search", 0, rate, 0.02, parameters=1000
        )
        trial = ledger.begin(ledger.add(spec.cell.name, spec.to_json()))
        scores = {"hm": 1 - score, "auc": score, "patch_accuracy": score}
        TrialFolder(trial.folder, trial.config["owner"]).finish({"status": "done", "validation": scores})
    ledger.close()
    return folder


def _taken(study: Path, prior: Path, *settings: str, fingerprint: str = "ours") -> list[Observed]:
    return take_prior(load("demo", [*HERE, f"search.prior={prior}", *settings]), fingerprint, study)


def test_the_first_trial_is_what_was_best_there_and_none_of_theirs_is_confirmed(tmp_path: Path) -> None:
    pytest.importorskip("botorch")
    observed = _taken(tmp_path / "ours", _earlier(tmp_path / "theirs"))
    model = SharedModel(Ledger(tmp_path / "ours"), SIZED, observed)
    first = model.suggest("0/a/0", CELLS[1], SPACE)
    assert first is not None
    assert abs(math.log(first["outer_lr"] / 0.08)) < 0.35 < abs(math.log(middle(SPACE)["outer_lr"] / 0.08))
    assert model.best(CELLS[0], SPACE) is None, "the cell has no trial of its own yet"
    assert SharedModel(Ledger(tmp_path / "ours"), SIZED).suggest("0/a/0", CELLS[1], SPACE) is None


def test_what_was_taken_is_kept_whatever_becomes_of_the_other_study(tmp_path: Path) -> None:
    prior, study = _earlier(tmp_path / "theirs"), tmp_path / "ours"
    observed = _taken(study, prior)
    assert len(observed) == 6
    assert observed[0].score == pytest.approx(math.exp(-(math.log(0.01 / 0.08) ** 2))), "by what is compared here"
    study.mkdir()
    keep_prior(observed, study)
    shutil.rmtree(prior)
    assert _taken(study, prior) == observed
    assert len(json.loads((study / PRIOR).read_text())["observed"]) == 6


@pytest.mark.parametrize(
    ("theirs", "ours", "says"),
    [
        ({}, {"settings": ("search.sampler=tpe",)}, "sampler tpe learns from its own cell alone"),
        ({}, {"fingerprint": "theirs"}, "is of the same patients"),
        ({}, {"settings": ("grid.method=train",)}, "has sldd, and this study train"),
        ({"settings": ("distill.rate_unit=absolute",)}, {}, "has distill.rate_unit=absolute, and this study share"),
        ({"settings": ("distill.inner_weights=head",)}, {}, "has distill.inner_weights=head, and this study all"),
        ({"settings": ("task=classes", "data={source: classes, root: x}")}, {}, "is a study of task classes, and this"),
    ],
)
def test_a_prior_that_says_nothing_of_this_study_is_refused(
    tmp_path: Path, theirs: dict[str, Any], ours: dict[str, Any], says: str
) -> None:
    prior = _earlier(tmp_path / "theirs", *theirs.pop("settings", ()))
    with pytest.raises(InputError, match=says) as caught:
        _taken(tmp_path / "ours", prior, *ours.pop("settings", ()), **ours)
    assert "\n" not in str(caught.value)


def test_scores_are_those_that_this_study_compares_by(tmp_path: Path) -> None:
    prior = _earlier(tmp_path / "theirs")
    smooth = [each.score for each in _taken(tmp_path / "ours", prior)]
    published = _taken(tmp_path / "ours", prior, "protocol=paper", "data.split.validation=0")
    assert [each.score for each in published] == pytest.approx([1 - score for score in smooth]), "HM, at its threshold"


def test_trials_that_are_over_count_and_what_diverged_is_worth_nothing(tmp_path: Path) -> None:
    prior = _earlier(tmp_path / "theirs")
    for number, changed in enumerate(({"rung": 1}, {"status": "diverged"}, {"status": "failed"})):
        (path,) = prior.glob(f"trials/*/{number}/result.json")
        path.write_text(json.dumps(json.loads(path.read_text()) | changed))
    scores = [each.score for each in _taken(tmp_path / "ours", prior)]
    assert len(scores) == 4, "one waits at a rung, and one failed"
    assert scores[0] == 0 < min(scores[1:])


def test_a_folder_without_a_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no study"):
        _taken(tmp_path / "ours", tmp_path / "none")


def test_a_study_of_before_there_was_a_choice_has_inner_rates_as_published(tmp_path: Path) -> None:
    prior = _earlier(tmp_path / "theirs")
    header = yaml.safe_load((prior / "study.yaml").read_text())
    del header["config"]["distill"]
    (prior / "study.yaml").write_text(yaml.safe_dump(header))
    with pytest.raises(InputError, match=r"has distill.rate_unit=absolute, and this study share"):
        _taken(tmp_path / "ours", prior)
    assert len(_taken(tmp_path / "ours", prior, "distill.rate_unit=absolute")) == 6


def test_what_is_searched_here_or_of_no_inner_rate_is_not_held_against_it(tmp_path: Path) -> None:
    prior = _earlier(tmp_path / "theirs", "distill.inner_weights=head")
    assert len(_taken(tmp_path / "ours", prior, "search.options={inner_weights: [all, head]}")) == 6
    for path in prior.glob("trials/*/*/config.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"inner_lr": None}))
    assert len(_taken(tmp_path / "ours", prior)) == 6
