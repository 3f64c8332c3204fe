"""A distillation in one call: classes, findings and patients; scores, packages, own networks, errors in words."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import sldd
from sldd.data.cohort import Cohort
from sldd.package.rebuild.verify import verify
from tests.sldd.pipeline.conftest import SMALL, banded


class Net(nn.Module):
    """A user's own network, with dropout, of so many classes."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 5, stride=2)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(8 * 6 * 6, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.drop(torch.tanh(self.stem(x)).flatten(1)))


def test_classes_are_distilled_scored_saved_and_loaded(
    cohort: Cohort, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = sldd.distill("convnet_w32", cohort, images=3, **SMALL)
    assert capsys.readouterr() == ("", "")  # nobody looks: no bar
    assert (made.images.shape, made.labels.shape, made.classes) == (
        (1, 3, 1, 16, 16),
        (1, 3, 3),
        ("top", "middle", "bottom"),
    )
    assert [entry["step"] for entry in made.history] == [20, 40]
    tested = made.score()
    assert tested["accuracy"] is not None
    assert tested["accuracy"] > 0.9
    claims = made.package.claims
    assert claims is not None
    assert claims.test is None, "test patients are looked at where that is asked for"
    assert claims.validation.patients == 12
    assert len(claims.validation.distribution) == 2, "groups of five patients or more"
    assert 1 / 3 <= claims.validation.distribution[0] <= claims.validation.distribution[1] <= 1
    assert made.package.sides == (16.0,) * 5
    assert claims.validation.sensitivity == made.history[-1]["val_balanced_accuracy"]
    path = made.save(tmp_path / "package.safetensors")
    assert verify(path).passed
    loaded = sldd.load(path)
    assert torch.equal(loaded.images, made.images)
    assert loaded.score(cohort) == made.score(cohort)
    assert not loaded.train_receiver().training
    with pytest.raises(sldd.InputError, match="a package that was loaded has kept no patients back"):
        loaded.score()
    with Image.open(io.BytesIO(made._repr_png_())) as picture:
        assert picture.size == made.figure().size


def test_a_seed_says_all_and_settings_do_something(cohort: Cohort) -> None:
    short: dict[str, Any] = SMALL | {"outer": replace(SMALL["outer"], steps=2, evaluations=1)}
    made = sldd.distill("convnet_w32", cohort, **short)
    assert torch.equal(made.images, sldd.distill("convnet_w32", cohort, **short).images)
    for changed in ({"seed": 1}, {"outer_lr": 0.1}, {"inner_lr": 0.1}, {"label_init": "uniform"}):
        assert not torch.equal(made.labels, sldd.distill("convnet_w32", cohort, **short | changed).labels)
    wide = sldd.distill("convnet_w32", cohort, images=2, distill_steps=2, distill_epochs=3, **short)
    assert (wide.images.shape[:2], wide.rates.shape[:2]) == ((2, 2), (3, 2))


def test_findings_and_patients_are_distilled_too(tmp_path: Path) -> None:
    images, classes = banded()
    findings = sldd.open_cohort(images, np.eye(3)[classes] + np.eye(3)[0] > 0, cache=tmp_path)
    made = sldd.distill("convnet_w32", findings, **SMALL, confirm=True)
    assert _tested(made) == (18, 18, None, None, made.score()["auc"])
    assert (made.package.task, made.package.delta) == ("multilabel", None)
    assert made.score()["auc"] is not None
    assert set(made.score(findings)) >= {"auc", "average_precision", "hamming_loss"}
    received = sldd.load(made.save(tmp_path / "findings.safetensors")).score(findings)
    assert received == {name: value for name, value in made.score(findings).items() if name != "hamming_loss"}
    assert made._data is not None
    counts = [vars(evaluator)["_counts"] for evaluator in (made._scored(findings)[0], made._data.evaluator())]
    assert np.array_equal(*counts), "thresholds come from training films, whoever is scored"
    phantoms = {"patients": 20, "size": 64, "difficulty": 0.0}
    patients = sldd.open_cohort(source="phantom", phantom=phantoms, cache=tmp_path)
    cut = sldd.PatchSettings(size=24, stride=8, input_size=16)
    budget = replace(SMALL["outer"], steps=2, evaluations=1)
    called = sldd.distill("convnet_w32", patients, **SMALL | {"patches": cut, "outer": budget}, confirm=True)
    scores = called.score()
    assert _tested(called) == (6, 3, scores["sensitivity"], scores["specificity"], scores["auc"])
    assert called.package.delta is not None
    assert set(called.score()) >= {"hm", "sensitivity", "specificity", "auc"}
    assert set(called.score(patients)) == set(called.score())
    films, masks = zip(*((patients.pixels(film), patients.mask(film)) for film in range(4)), strict=True)
    positive = called.score(sldd.open_cohort(list(films), [1] * 4, masks=list(masks), cache=tmp_path))
    assert set(positive) == set(called.score())
    assert (positive["auc"], positive["specificity"]) == (None, None), "of one label there is no curve"
    with pytest.raises(sldd.InputError, match="cohort: its classes are I, N, P, and the package's finding 1"):
        made.score(patients)


def _tested(made: sldd.Distilled) -> tuple[int, int, float | None, float | None, float | None]:
    """What the package claims of test patients."""
    assert made.package.claims is not None
    claim = made.package.claims.test
    assert claim is not None
    return claim.patients, claim.positive, claim.sensitivity, claim.specificity, claim.auc


def test_a_users_own_network_is_distilled_and_needed_again(cohort: Cohort, tmp_path: Path) -> None:
    torch.manual_seed(1)
    own = Net().train()
    before = [value.clone() for value in own.state_dict().values()]
    made = sldd.distill(own, cohort, **SMALL)
    assert all(map(torch.equal, own.state_dict().values(), before))
    assert own.drop.p == 0.5
    accuracy = made.score()["accuracy"]
    assert accuracy is not None
    assert accuracy > 0.8
    path = made.save(tmp_path / "own.safetensors")
    assert made.package.weights is None  # the module's code and a seed give its start
    assert sldd.load(path, network=Net()).score(cohort) == made.score(cohort)
    for given, says in ((None, "network Net; give that module"), (nn.Linear(1, 1), "and a Linear was given")):
        with pytest.raises(sldd.InputError, match=says):
            sldd.load(path, network=given).train_receiver()
    (failed,) = (check for check in verify(path).checks if check.what == "rebuild")
    assert "its maker's own network Net" in failed.words
    kept = sldd.distill(own, cohort, start="given", **SMALL)
    assert kept.package.weights is not None
    assert torch.equal(kept.package.weights["stem.weight"], own.stem.weight)
    assert sldd.load(kept.save(path), network=Net()).score(cohort) == kept.score(cohort)


class Odd(Net):
    """A network that gives something else."""

    def forward(self, x: torch.Tensor) -> Any:
        return x, super().forward(x)


@pytest.mark.parametrize(
    ("network", "settings", "says"),
    [
        ("resnet19", {}, "grid.backbone: there is no backbone 'resnet19'; did you mean resnet18"),
        (3, {}, "network: int is neither a backbone's name nor a torch.nn.Module"),
        (Net(4), {}, "network Net: gives 2 x 4 for 2 x 1 x 16 x 16 images, not 2 x 3: one output for each of top, mid"),
        (Odd(), {}, "network Odd: gives a tuple for"),
        (Net().double(), {}, r"network Net: has weights of float64, and .* give network.float\(\)"),
        (Net().to("meta"), {}, "network Net: its weights are on the meta device"),
        (nn.Flatten(), {}, "network Flatten: has no parameters"),
        (nn.Linear(9, 3), {}, r"network Linear: cannot take 2 x 1 x 16 x 16 images \(.*; give it that input, or set"),
        (Net(), {"norm": "group"}, "grid.norm: a module of your own stays as it is"),
        ("lenet", {"start": "given"}, "grid.start: given is for a module of your own"),
        ("lenet", {"images": 0}, "grid.images: should be greater than or equal to 1"),
        ("lenet", {"seed": -1}, r"seed: should be greater than or equal to 0 \(got -1\)"),
        ("lenet", {"distill_steps": 2, "distill_epochs": 5001}, "images: 10,002 inner steps on 3 images; .* set them"),
        ("lenet", {"images": 200_001}, "1 inner steps on 200,001 images; 10,000 steps and 200,000 images are allowed"),
        ("lenet", {"outer_lr": -0.03}, r"outer_lr: should be finite and greater than 0 \(got -0.03\)"),
        ("lenet", {"outer_lr": 0}, "outer_lr: should be finite and greater than 0"),
        ("lenet", {"inner_lr": float("nan")}, "inner_lr: should be finite and greater than 0"),
        ("lenet", {"inner_lr": float("inf")}, "inner_lr: should be finite and greater than 0"),
        (
            "convnet_w32",
            {"patches": sldd.PatchSettings(input_size=1040)},
            "no package could be made: its patches.input_size: 1,040 pixels; 1,024 are allowed in a package",
        ),
        ("lenet", {"label_init": "clusters"}, "grid.label_init: clusters is no start of task classes; choose from one"),
        ("lenet", {"distill": sldd.DistillSettings(labels="sigmoid")}, "distill.labels: an image is of one class"),
        ("lenet", {"outer": sldd.OuterSettings(patience=20)}, "outer.patience: 20 evaluations without a better state"),
        ("lenet", {"device": "gpu"}, "device: there is no 'gpu'; use cpu or cuda"),
        ("lenet", {"device": "meta"}, "device: distillations run on cpu or cuda"),
        ("test_resnet", {"images": 1}, "batch norm sees one value a channel: 1 image a step and a last map of 1"),
        (
            "lenet",
            {"split": sldd.SplitSettings(test=0.0), "confirm": True},
            "the test split has no class that some of its images have",
        ),
    ],
)
def test_what_cannot_be_distilled_is_refused_in_words(
    cohort: Cohort, network: Any, settings: dict[str, Any], says: str
) -> None:
    with pytest.raises(sldd.InputError, match=says):
        sldd.distill(network, cohort, **SMALL | settings)


def test_test_patients_are_needed_where_they_are_scored_alone(cohort: Cohort, tmp_path: Path) -> None:
    short: dict[str, Any] = SMALL | {"outer": replace(SMALL["outer"], steps=1, evaluations=1)}
    images, classes = banded()
    divided = sldd.open_cohort(images, classes, splits=["train"] * 45 + ["validation"] * 15, cache=tmp_path)
    for films, split in ((cohort, sldd.SplitSettings(validation=0.2, test=0.0)), (divided, sldd.SplitSettings())):
        made = sldd.distill("convnet_w32", films, **short | {"split": split})
        assert made.score(films)["accuracy"] is not None
        with pytest.raises(sldd.InputError, match=r"the distillation kept no test patients back \(data\.split\.test\)"):
            made.score()


def test_a_bar_is_drawn_where_it_is_asked_for(cohort: Cohort, capsys: pytest.CaptureFixture[str]) -> None:
    budget = replace(SMALL["outer"], steps=2, evaluations=1)
    sldd.distill("convnet_w32", cohort, show_progress=True, **SMALL | {"outer": budget})
    assert "distilling" in capsys.readouterr().out
