"""The instruments of the benchmarks: they measure what they say."""

from __future__ import annotations

import gzip
import struct
import sys
from mmap import mmap
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch

from benchmarks.__main__ import main as benchmarks
from benchmarks.distillation.digits import main as digits
from benchmarks.measure import Figure, peak_bytes, private_bytes, ratio
from benchmarks.peers import Peer, check_peer
from benchmarks.speed.scoring import trial_seconds
from benchmarks.speed.steps import Problem
from sldd.errors import InputError
from sldd.training.compute import ComputeSettings
from tests.study.command import TINY


def test_peak_is_what_is_held_at_once() -> None:
    def work() -> None:
        first = torch.ones(1 << 18)  # 1 MiB
        second = first + 1  # 2 MiB together
        del first
        (second * 2).sum()  # 2 MiB again

    assert 2 << 20 <= peak_bytes(work) < (2 << 20) + 4096


def test_ratio_of_equal_work_is_one() -> None:
    square = torch.ones(300, 300)
    assert ratio(lambda: square @ square, lambda: square @ square) == pytest.approx(1, abs=0.5)


def test_private_memory_grows_with_what_is_made() -> None:
    before = private_bytes()
    held = mmap(-1, 64 << 20)  # fresh from the system, whatever freed memory the process has kept
    held.write(b"x" * len(held))
    assert private_bytes() - before >= 60 << 20
    held.close()


def test_a_missed_target_is_said() -> None:
    assert Figure("x", 1.2, 1.25).reached
    assert not Figure("x", 1.3, 1.25).reached


def test_problems_step() -> None:
    problem = Problem("lenet", side=28, batch=20, classes=10, images=10)
    problem.plain()()
    step = problem.distilling(steps=2, epochs=2, compute=ComputeSettings(memory="recompute"))
    first, second = step(), step()
    assert isinstance(first, float)
    assert first != second  # it learned something


def test_the_peer_is_read_from_its_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no checkout"):
        check_peer(tmp_path)
    assert benchmarks(["steps", "--peer", str(tmp_path)]) == 2
    (tmp_path / "networks.py").write_text("def get_networks(state, N):\n    return [state.arch]\n")
    (tmp_path / "train_distilled_image.py").write_text(
        "import torch\nimport matplotlib.pyplot\n"
        "class Trainer:\n"
        "    def __init__(self, state, models):\n"
        "        self.taken = []\n"
        "        self.data = torch.zeros(state.distill_steps, requires_grad=True)\n"
        "        self.optimizer = torch.optim.SGD([self.data], 1.0)\n"
        "    def get_steps(self):\n"
        "        return [self.data]\n"
        "    def forward(self, model, real, truth, steps):\n"
        "        assert model == 'LeNet' and len(real) == len(truth)\n"
        "        return steps[0].sum(), None\n"
        "    def backward(self, model, real, truth, steps, saved):\n"
        "        return torch.ones_like(self.data)\n"
        "    def accumulate_grad(self, gradients):\n"
        "        (self.data.grad,) = gradients\n"
    )
    with patch.dict(sys.modules):
        peer = Peer(tmp_path, steps=3, epochs=1)
    step = Problem("lenet", side=28, batch=20, classes=10, images=10).taken_by(peer.step)
    assert [step(), step(), step()] == pytest.approx([0.0, -0.03, -0.06])


def test_scoring_is_a_part_of_a_trial(tmp_path: Path) -> None:
    scoring, whole = trial_seconds([*TINY[1:], "outer.steps=4", "outer.evaluations=2"], tmp_path)
    assert 0 < scoring < whole


def test_digits_on_a_small_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(0)
    classes = (np.arange(10_000) % 10).astype(np.uint8)
    pixels = random.integers(0, 30, (10_000, 28, 28)).astype(np.uint8)
    pixels[np.arange(10_000), 2 * classes, 4:24] = 255  # a line whose height is the class
    with gzip.open(tmp_path / "t10k-images-idx3-ubyte.gz", "wb", compresslevel=1) as file:
        file.write(struct.pack(">4i", 2051, 10_000, 28, 28) + pixels.tobytes())
    with gzip.open(tmp_path / "t10k-labels-idx1-ubyte.gz", "wb") as file:
        file.write(struct.pack(">2i", 2049, 10_000) + classes.tobytes())
    few = ["--methods", "sldd", "--seeds", "1", "--steps", "10", "--batch", "64"]
    assert digits(["--data", str(tmp_path), "--out", str(tmp_path / "out.json"), *few]) == 1  # far from 96 % by then
    assert "MISSED" in capsys.readouterr().out
    assert (tmp_path / "out.json").is_file()
    assert digits(["--data", str(tmp_path / "nowhere")]) == 2
    assert "name their folder with --data" in capsys.readouterr().err
