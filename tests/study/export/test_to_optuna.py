"""A study for Optuna, read back by Optuna."""

from __future__ import annotations

import json

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from study.export.__main__ import main
from tests.analysis.conftest import Ledger
from tests.study.export.conftest import HISTORY, SEARCH, confirm, interrupted, search, told, validation


def optuna_trials(where: str, cell: str = "net-m2-one_hot-as_is-sldd-s1e1") -> list[FrozenTrial]:
    return optuna.load_study(study_name=f"ours/{cell}", storage=where).trials


def test_optuna_has_a_study_a_cell_and_its_search_trials(run, tmp_path):
    assert run("--optuna", told(tmp_path))[0].startswith("optuna: 5 trials new, 0 changed, in 2 studies of sqlite")
    trials = optuna_trials(told(tmp_path))
    assert [trial.state for trial in trials] == [
        TrialState.COMPLETE,
        TrialState.PRUNED,
        TrialState.FAIL,
        TrialState.RUNNING,
    ]
    assert [trial.value for trial in trials] == [0.75, 0.5, None, None]
    first = trials[0]
    assert first.params == {"outer_lr": 0.02, "inner_lr": 0.05, "delta": 0.37, "clip": 3.0}
    assert first.distributions == {
        "outer_lr": FloatDistribution(0.005, 0.2, log=True),
        "inner_lr": FloatDistribution(0.005, 0.5, log=True),
        "delta": FloatDistribution(0.05, 0.95),
        "clip": CategoricalDistribution([None, 3.0]),
    }
    assert first.intermediate_values == {100: 0.5, 200: 0.75}
    assert first.duration is not None
    assert first.duration.total_seconds() == pytest.approx(31.25)
    attributes = first.user_attrs
    assert (attributes["trial"], attributes["seconds"]) == ("net-m2-one_hot-as_is-sldd-s1e1/0", 31.25)
    assert (attributes["peak_memory_mib"], attributes["chosen_delta"]) == (512.0, 0.41)
    assert attributes["hm_at_suggested_delta"] == 0.75, "0.37 lies in (0.2, 0.6]"
    assert trials[2].user_attrs["error"] == "the loss is nan"


def test_a_range_that_was_narrowed_since_still_holds_what_was_tried(run, study, tmp_path):
    study.described["config"] = {
        "search": SEARCH | {"outer_lr": [0.03, 0.2], "inner_lr": [0.005, 0.04], "delta": [0.5, 0.95]}
    }
    study.save()
    run("--optuna", told(tmp_path))
    first = optuna_trials(told(tmp_path))[0]
    assert first.params == {"outer_lr": 0.02, "inner_lr": 0.05, "delta": 0.37, "clip": 3.0}
    assert first.distributions["outer_lr"] == FloatDistribution(0.02, 0.2, log=True)
    assert first.distributions["inner_lr"] == FloatDistribution(0.005, 0.05, log=True)
    assert first.distributions["delta"] == FloatDistribution(0.37, 0.95)


def test_ordinary_training_has_a_range_of_its_own(run, tmp_path):
    run("--optuna", told(tmp_path))
    (train,) = optuna_trials(told(tmp_path), "net-train")
    assert train.params == {"outer_lr": 0.001, "delta": 0.37}
    assert train.distributions["outer_lr"] == FloatDistribution(0.0003, 0.01, log=True)


def test_a_trial_has_the_score_of_its_studys_task(tmp_path):
    written = Ledger(tmp_path / "ours", config={"task": "classes", "search": SEARCH})
    history = [{"step": 100, "loss": 1.5, "val_balanced_accuracy": 0.55, "val_accuracy": 0.5}]
    scores = {"balanced_accuracy": 0.6, "accuracy": 0.7, "auc": 0.8}
    cell = written.cell("net", 10, 1, task="classes")
    written.end(written.trial(cell, 0, "search"), validation=scores, history=history)
    assert main([str(written.folder), "--optuna", told(tmp_path)]) == 0
    (trial,) = optuna_trials(told(tmp_path), cell)
    assert (trial.state, trial.value, trial.intermediate_values) == (TrialState.COMPLETE, 0.6, {100: 0.55})


def test_confirm_trials_are_an_attribute_and_no_optuna_trial(run, tmp_path):
    run("--optuna", told(tmp_path))
    cell = optuna.load_study(study_name="ours/net-m2-one_hot-as_is-sldd-s1e1", storage=told(tmp_path))
    (found,) = cell.user_attrs["confirm"]
    assert (found["trial"], found["seed"], found["test_hm"]) == ("net-m2-one_hot-as_is-sldd-s1e1/11", 111, 0.85)
    assert cell.user_attrs["backbone"] == "net"
    assert cell.best_trial.number == 0
    for trial in cell.trials:
        assert not any("test" in name for name in trial.user_attrs), "a search never met a test patient"


def test_the_command_again_changes_nothing_and_then_adds_what_is_new(run, study, tmp_path):
    where, cell = told(tmp_path), "net-m2-one_hot-as_is-sldd-s1e1"
    run("--optuna", where)
    before = optuna_trials(where)
    assert run("--optuna", where)[0].startswith("optuna: 0 trials new, 0 changed")
    assert optuna_trials(where) == before
    study.end(study.folder / "trials" / cell / "10", validation=validation(0.6), history=HISTORY)
    search(study, cell, 12)
    confirm(study, cell, 13)
    assert run("--optuna", where)[0].startswith("optuna: 1 trials new, 1 changed")
    after = optuna_trials(where)
    assert after[:3] == before[:3]
    assert [(trial.state.name, trial.value) for trial in after[3:]] == [("COMPLETE", 0.6), ("COMPLETE", 0.75)]
    assert after[3].intermediate_values == {100: 0.5, 200: 0.75}
    assert after[3].user_attrs["seconds"] == 31.25
    assert len(optuna.load_study(study_name=f"ours/{cell}", storage=where).user_attrs["confirm"]) == 2


def test_a_failed_trial_that_is_tried_again_is_a_trial_of_its_own(run, study, tmp_path):
    where, cell = told(tmp_path), "net-m2-one_hot-as_is-sldd-s1e1"
    trial = study.folder / "trials" / cell / "10"
    run("--optuna", where)
    config = json.loads((trial / "config.json").read_text())
    (trial / "config.json").write_text(json.dumps(config | {"attempt": 2}))
    assert run("--optuna", where)[0].startswith("optuna: 1 trials new, 1 changed")
    states = [(trial.state.name, trial.user_attrs["attempt"]) for trial in optuna_trials(where)[3:]]
    assert states == [("FAIL", 1), ("RUNNING", 2)]
    study.end(trial, validation=validation(), attempt=2)
    run("--optuna", where)
    states = [(trial.state.name, trial.user_attrs["attempt"]) for trial in optuna_trials(where)[3:]]
    assert states == [("FAIL", 1), ("COMPLETE", 2)]


@pytest.mark.parametrize("call", ["set_trial_user_attr", "set_trial_intermediate_value", "set_trial_state_values"])
def test_optuna_is_completed_where_an_export_was_interrupted(run, study, tmp_path, capsys, call):
    where, cell = told(tmp_path), "net-m2-one_hot-as_is-sldd-s1e1"
    run("--optuna", where)
    study.end(study.folder / "trials" / cell / "10", validation=validation(0.6), history=HISTORY)
    with pytest.MonkeyPatch.context() as patch:
        interrupted(patch, RDBStorage, call, 1)
        assert main([str(study.folder), "--optuna", where]) == 130
    assert "interrupted" in capsys.readouterr().err
    run("--optuna", where)
    ended = optuna_trials(where)[3]
    assert (ended.state, ended.value, ended.intermediate_values) == (TrialState.COMPLETE, 0.6, {100: 0.5, 200: 0.75})
    assert ended.user_attrs["seconds"] == 31.25


def test_a_trial_that_went_on_from_its_rung_is_there_pruned_and_complete(run, study, tmp_path):
    run("--optuna", told(tmp_path))
    folder = study.folder / "trials" / "net-m2-one_hot-as_is-sldd-s1e1" / "1"
    study.end(folder, validation=validation(0.6), history=HISTORY)
    for _ in range(2):
        run("--optuna", told(tmp_path))
    trials = optuna_trials(told(tmp_path))
    ended = [(trial.state, trial.value) for trial in trials if trial.user_attrs["trial"].endswith("/1")]
    assert ended == [(TrialState.PRUNED, 0.5), (TrialState.COMPLETE, 0.6)]
