"""The audit of backbones: what passes, what does not, and why."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from torch import nn

from sldd.backbones.registry import build
from sldd.distillation.audit import audit, families, main, smallest_member


def test_all_of_timm_is_meant() -> None:
    assert {"resnet", "vision_transformer", "efficientnet", "vgg"} <= set(families())


def test_smallest_member() -> None:
    assert smallest_member("selecsls") == "selecsls42"


def test_what_needs_another_size_gets_it() -> None:
    (row,) = audit(["levit_128s"])  # at 32 pixels its last maps are too small for batch norm; up to 64 rounding decides
    assert row.twice_differentiable
    assert row.smallest_input in (48, 64, 96)


def test_what_is_random_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def build_random(name: str, *, input_size: int) -> nn.Module:
        network = build(name, input_size=input_size)
        return nn.Sequential(nn.Dropout(0.5), network)

    monkeypatch.setattr("sldd.distillation.audit.build", build_random)
    (row,) = audit(["test_resnet"])
    assert not row.twice_differentiable
    assert row.note == "draws random numbers in training mode"


def test_what_does_not_fit_is_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sldd.distillation.audit.free_memory", lambda device: 2**30)
    (row,) = audit(["vgg11"])
    assert row.note.startswith("not run here: needs about")


@pytest.mark.parametrize("name", ["ghostnet_050", "csatv2"])
def test_odd_families_are_deterministic_in_training(name: str) -> None:
    network = build(name, input_size=64)
    image = torch.randn(2, 1, 64, 64)
    assert torch.equal(network(image), network(image))


def test_command_writes_its_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "test_resnet", "test_vit", "--out", str(tmp_path / "table.csv")]) == 0
    assert "2 of 2 can be distilled" in capsys.readouterr().out
    rows = list(csv.DictReader((tmp_path / "table.csv").read_text().splitlines()))
    assert [(row["member"], row["smallest_input"], row["parameters"]) for row in rows] == [
        ("test_resnet", "32", "372691"),
        ("test_vit", "32", rows[1]["parameters"]),
    ]


def test_wrong_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "resnet81"]) == 2
    assert "no backbone 'resnet81'" in capsys.readouterr().err
