"""The frontier of score against membership: forms of a package, references, the table, and its control."""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.sharing.privacy import _halves as halves
from benchmarks.sharing.privacy import control_is_found, main, table
from benchmarks.sharing.privacy_arms import make
from sldd.backbones.registry import build
from sldd.backbones.start import set_start
from sldd.data.cohort import Cohort, prepare
from sldd.data.split import Split
from sldd.sources.phantom import PhantomSettings, PhantomSource


@pytest.fixture
def cohort(tmp_path: Path) -> Cohort:
    return prepare(PhantomSource(PhantomSettings(20, 64, 0)), tmp_path / "cache")


def test_references_never_saw_whom_they_are_compared_for(cohort: Cohort) -> None:
    split = Split([*range(12)], [12, 13], [*range(14, 20)])
    pairs = [*halves(cohort, split, 4, 0)]
    assert len(pairs) == 4
    for half, compared in pairs:
        trained, held_out = compared[:12], compared[12:]
        assert [patient for patient in split.train if patient not in half] == np.flatnonzero(trained).tolist()
        assert held_out.shape == (6,)
        assert len(half) == 6
        assert sum(cohort.labels[patient] for patient in half) == 3
    for one, other in zip(pairs[::2], pairs[1::2], strict=True):
        assert (one[1] ^ other[1]).all()  # each of either group is compared with one of two
    assert pairs[0][0] != pairs[2][0]


def _row(form: str, seed: int, scores: np.ndarray, members: np.ndarray) -> dict[str, Any]:
    return {
        "arm": form, "form": form, "seed": seed, "labels": [0, 1] * 10, "scores": scores.tolist(),
        "member": [1] * 20 + [0] * 20, "membership": members.tolist(), "traces": [], "epsilon": None,
    }  # fmt: skip


def test_the_table_pairs_forms_with_plain_and_the_control_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(0)
    rows = []
    for seed in range(3):
        scores, members = np.tile([0.0, 1.0], 10) + random.normal(0, 0.8, 20), random.normal(0, 1, 40)
        leaking = members + 2 * np.repeat([1, 0], 20)
        rows += [_row("plain", seed, scores, leaking), _row("quarter", seed, scores, members)]
        rows.append(_row("trained", seed, scores, leaking))
    lines = {line["form"]: line for line in table(rows)}
    assert lines["quarter"]["test AUC over plain"] == "0.00 (0.00 to 0.00)"
    low, high = (float(word.strip("()")) for word in lines["quarter"]["membership AUC over plain"].split()[1::2])
    assert low < high < -0.2
    assert lines["plain"]["membership AUC over plain"] == ""
    assert control_is_found(rows)
    assert control_is_found(rows[:2])
    hidden = [_row("trained", seed, np.zeros(20), random.normal(0, 1, 40)) for seed in range(3)]
    assert not control_is_found(hidden)
    assert "NOT found" in capsys.readouterr().out


def test_the_control_of_a_last_layer_is_that_layer_fitted(cohort: Cohort) -> None:
    options = argparse.Namespace(
        size=24, stride=12, score_stride=24, input=16, backbone="lenet", start="xavier", batch=60, steps=4,
        train_steps=20, train_batch=None, inner_weights="head", statistics_batches=1,
    )  # fmt: skip
    ((form, made),) = make("trained", cohort, Split([*range(12)], [12, 13], [*range(14, 20)]), 0, options, cohort)
    assert (form, made.package) == ("trained", None)
    start = build("lenet", input_size=16, norm="as_is")
    set_start(start, backbone="lenet", start="xavier", seed=0)
    fitted = made.network.state_dict()
    changed = [name for name, value in start.state_dict().items() if not torch.equal(value, fitted[name])]
    assert changed == [*start.state_dict()][-2:]


@pytest.mark.slow
def test_a_run_resumes_and_makes_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, small = tmp_path / "runs.jsonl", (
        "--patients 24 --film 96 --size 24 --stride 12 --score-stride 24 --input 16 --backbone lenet --steps 4 "
        f"--batch 6 --references 2 --statistics-batches 1 --seeds 1 --cache {tmp_path}/cache"
    )  # fmt: skip
    command = ["--out", str(out), *small.split()]
    assert main([*command, "--arms", "plain", "group", "noise-4"]) == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    forms = ["early-25", "early-50", "early-75", "plain", "float16", "uint8", "labels-1", "labels-0", "noise-4"]
    assert [row["form"] for row in rows] == forms  # and no group: the network has no batch norm
    by_form = {row["form"]: row for row in rows}
    assert by_form["labels-0"]["membership"] != by_form["plain"]["membership"]
    assert by_form["noise-4"]["epsilon"] > 0
    assert by_form["plain"]["epsilon"] is None
    batch_norm = [*command, "--backbone", "test_resnet", "--out", str(tmp_path / "other.jsonl")]
    assert main([*batch_norm, "--arms", "one-image"]) == 0  # a last map of one value
    assert "batch norm sees one value a channel: 1 image a step" in capsys.readouterr().out
    assert main([*command, "--arms", "plain"]) == 0
    assert len(out.read_text().splitlines()) == len(rows)
    assert main(["--out", str(out), "--table", str(tmp_path / "table.csv")]) == 0
    with (tmp_path / "table.csv").open(newline="") as file:
        assert [line["form"] for line in csv.DictReader(file)] == forms
    assert main([*command, "--arms", "trained", "--test", "0.9"]) == 2
    assert "benchmarks.sharing.privacy:" in capsys.readouterr().err
