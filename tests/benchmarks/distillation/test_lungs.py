"""Three images against training on real films: what is pooled, what is compared, and what is gone on with."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from benchmarks.distillation import lungs_variants
from benchmarks.distillation.lungs import FOLDS, is_compared, kept, main
from benchmarks.distillation.lungs_scores import pooled, pooled_auc
from benchmarks.distillation.lungs_variants import VARIANTS
from sldd.errors import InputError
from sldd.metrics.patient_votes import Votes


def _votes(patients: list[int], positive: list[int]) -> Votes:
    labels = np.array([patient % 2 for patient in patients])
    counts = np.array([[0, 10 - votes, votes] for votes in positive])
    return Votes(patients, labels, counts, np.zeros((3, 3), np.int64))


def test_folds_are_pooled_and_compared_patient_by_patient() -> None:
    runs = [
        {"patients": part, "labels": [p % 2 for p in part], "counts": [[0, 5, p] for p in part], "confusion": np.eye(3)}
        for part in ([0, 1, 2], [3, 4, 5])
    ]
    votes = pooled(runs)
    assert votes.patients == [0, 1, 2, 3, 4, 5]
    assert np.array_equal(votes.confusion, 2 * np.eye(3))
    good = _votes(list(range(40)), [1 + 8 * (p % 2) for p in range(40)])
    poor = _votes(list(range(40)), [p % 7 for p in range(40)])
    middle, low, high = pooled_auc([good, poor], [poor, poor], draws=100)
    assert middle == pooled_auc([good], [poor], draws=20)[0] / 2  # the mean over two seeds, one without a difference
    middle, low, high = pooled_auc([good], [poor], draws=100)
    assert low <= middle <= high
    assert low > 0
    assert pooled_auc([good], [good], draws=20) == (0, 0, 0)
    with pytest.raises(ValueError, match="not the same patients"):
        pooled_auc([good], [_votes(list(reversed(range(40))), [1] * 40)])


def test_intervals_of_one_variant_hold_its_mean() -> None:
    good, poor = (_votes(list(range(40)), [1 + (p % 2) * most * (p % 5) for p in range(40)]) for most in (2, 1))
    middle, low, high = pooled_auc([good, poor], draws=100)
    assert middle == (pooled_auc([good], draws=1)[0] + pooled_auc([poor], draws=1)[0]) / 2
    assert 0.5 < low < middle < high <= 1


def test_starts_are_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "benchmarks.distillation.lungs_variants.imagenet_start", lambda backbone: {"conv_stem.weight": torch.ones(2)}
    )
    variant = VARIANTS["lite_imagenet"]
    VARIANTS["lite"].make_start(tmp_path, tmp_path)
    variant.make_start(tmp_path, tmp_path)
    monkeypatch.delattr("benchmarks.distillation.lungs_variants.imagenet_start")
    variant.make_start(tmp_path, tmp_path)
    (made,) = tmp_path.iterdir()
    assert variant.start_in(tmp_path) == str(made)
    assert VARIANTS["lite"].start_in(tmp_path) == "xavier"


def test_a_patient_of_several_folds_is_drawn_with_all_scores() -> None:
    votes = [1 + (p % 2) * (p % 5) for p in range(40)]
    once, twice = _votes([*range(40)], votes), _votes([*range(40), *range(40)], [*votes, *votes])
    assert pooled_auc([twice], draws=100) == pytest.approx(pooled_auc([once], draws=100)), (
        "no more patients than before"
    )


def test_what_is_distilled_is_compared_with_training_from_its_own_start() -> None:
    assert is_compared("sldd", "train_pretext")
    assert is_compared("head", "train")
    assert is_compared("lite_pretext", "lite")
    assert not is_compared("train_pretext", "sldd")
    assert not is_compared("lite_pretext", "train_pretext"), "of another network"
    assert not is_compared("train", "naive_train")


def test_a_kept_run_of_another_variant_start_or_cohort_is_refused(tmp_path: Path) -> None:
    path, variant = tmp_path / "sldd-0-0-test.json", VARIANTS["sldd"]
    definition = variant.definition(tmp_path) | {"cohort": "a"}
    assert kept(path, definition) is None
    path.write_text(json.dumps({"seed": 0, "definition": definition}))
    assert kept(path, definition) is not None
    longer = replace(variant, steps=9000).definition(tmp_path) | {"cohort": "a"}
    with pytest.raises(InputError, match=r"another variant or cohort \(steps 6000 there, 9000 here\); choose another"):
        kept(path, longer)
    rated = replace(variant, distill=replace(variant.distill, rate_lr=2.0)).definition(tmp_path) | {"cohort": "a"}
    with pytest.raises(InputError, match=r"distill.rate_lr 1.0 there, 2.0 here"):
        kept(path, rated)
    with pytest.raises(InputError, match="cohort 'a' there, 'b' here"):
        kept(path, definition | {"cohort": "b"})
    path.write_text(json.dumps({"seed": 0}))
    assert kept(path, longer) == {"seed": 0}, "of before definitions were kept"


def _films(folder: Path, seed: int) -> Path:
    folder.mkdir()
    pixels = np.random.default_rng(seed).integers(256, size=(64, 64), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "0.png")
    return folder


def test_a_start_of_other_films_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lungs_variants, "train_start", lambda films, settings: {"weight": torch.ones(2)})
    variant, films, others = VARIANTS["sldd"], _films(tmp_path / "films", 0), _films(tmp_path / "others", 1)
    (folder := tmp_path / "kept").mkdir()
    for _ in range(2):
        variant.make_start(folder, films)
    made_of = variant.made_of(folder)
    with pytest.raises(InputError, match=r"made of other films than .*others, or by other settings; choose another"):
        variant.make_start(folder, others)
    path = Path(variant.start_in(folder))
    path.unlink()
    variant.make_start(folder, others)
    assert variant.made_of(folder) != made_of
    assert variant.definition(folder) != variant.definition(tmp_path)
    save_file({"weight": torch.ones(2)}, path)
    variant.make_start(folder, films)  # of before files said what they are made of
    assert variant.made_of(folder) is None


def _run(name: str, fold: int, votes: list[int]) -> dict[str, Any]:
    patients = [*range(4 * fold, 4 * fold + 4)]
    return {
        "variant": name, "seed": 0, "fold": fold, "loss": 0.5, "seconds": 1.0, "rebuilt": True, "patients": patients,
        "labels": [p % 2 for p in patients], "counts": [[1, 10 - each, each] for each in votes],
        "confusion": np.eye(3, dtype=int).tolist(),
    }  # fmt: skip


def test_a_folder_with_all_runs_is_reported(
    cohort_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("benchmarks.distillation.lungs.pooled_auc", partial(pooled_auc, draws=20))
    (folder := tmp_path / "kept").mkdir()
    save_file({"weight": torch.ones(2)}, VARIANTS["sldd"].start_in(folder))
    for name, votes in (("train_pretext", [2, 8, 3, 9]), ("sldd", [2, 8, 9, 3])):
        for fold in range(FOLDS):
            (folder / f"{name}-0-{fold}-test.json").write_text(json.dumps(_run(name, fold, votes)))
    command = ["--data", str(cohort_folder), "--keep", str(folder), "--variants", "train_pretext", "sldd"]
    assert main(command) == 0
    told = capsys.readouterr().out
    assert "sldd - train_pretext: -0.500 (95 % " in told
    assert "train_pretext - sldd" not in told
    changed = _run("sldd", 3, [2, 8, 9, 3]) | {"definition": {"cohort": "another"}}
    (folder / "sldd-0-3-test.json").write_text(json.dumps(changed))
    assert main(command) == 2
    assert "sldd-0-3-test.json is of another variant or cohort" in capsys.readouterr().err
