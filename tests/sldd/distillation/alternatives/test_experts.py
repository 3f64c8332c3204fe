"""Expert trajectories: made once, whoever asks, and right or not there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from sldd.backbones.features.feature_store import FeatureStore
from sldd.distillation.alternatives.experts import ExpertBuffer, experts_bytes
from sldd.distillation.alternatives.settings import ExpertSettings
from sldd.rng import stream
from sldd.training.siamese import identity, siamese

SETTINGS = ExpertSettings(count=2, snapshots=2, every=3, batch_size=4, rate=0.1)


class Batches:
    """Points of two classes."""

    fingerprint: str | None = "points"

    def draw(self, random, count):  # type: ignore[no-untyped-def]
        classes = torch.arange(count) % 2
        noise = torch.from_numpy(random.standard_normal((count, 1, 1, 2), dtype="float32"))
        return noise + classes.view(-1, 1, 1, 1), classes


def _buffer(
    folder: Path | None,
    settings: ExpertSettings = SETTINGS,
    batches: Batches | None = None,
    *,
    augment: bool = False,
) -> ExpertBuffer:
    network = nn.Sequential(nn.Flatten(), nn.Linear(2, 2))
    store = None if folder is None else FeatureStore(folder, 2**20)
    return ExpertBuffer(network, batches or Batches(), settings, store, augment=augment)


@pytest.mark.parametrize("augment", [False, True])
def test_an_expert_takes_the_steps_of_gradient_descent(augment: bool) -> None:
    found = _buffer(None, augment=augment).trajectory(0)
    weight, bias = (part.view(shape) for part, shape in zip(found[0].split([4, 2]), [(2, 2), (2,)], strict=True))
    for step in range(3):
        images, classes = Batches().draw(stream(0, "expert", 0, step), 4)
        x = (siamese(stream(0, "expert change", 0, step)) if augment else identity)(images).flatten(1)
        wrong = (x @ weight.T + bias).softmax(1) - torch.eye(2)[classes]  # by hand: d loss / d logits
        weight, bias = weight - 0.1 * wrong.T @ x / 4, bias - 0.1 * wrong.mean(0)
    assert torch.allclose(found[1], torch.cat([weight.flatten(), bias]), atol=1e-5)
    assert found.shape == (3, 6)


def test_a_second_study_does_not_make_it_again(tmp_path: Path) -> None:
    first, second = _buffer(tmp_path), _buffer(tmp_path)
    one = first.trajectory(0).clone()
    assert torch.equal(second.trajectory(0), one)
    assert (first.made, second.made) == (1, 0)
    assert first.lent == {0: 0.0}
    assert second.lent[0] > 0, "it knows what it cost"
    first.trajectory(0)
    assert first.lent == {0: 0.0}, "who made it reads it, too"
    assert torch.equal(_buffer(None).trajectory(0), one), "nor does it matter who made it"
    assert not torch.equal(second.trajectory(1), one)
    assert (second.made, _buffer(tmp_path).made) == (1, 0)


def test_more_experts_leave_those_that_there_are(tmp_path: Path) -> None:
    _buffer(tmp_path).trajectory(0)
    more = _buffer(tmp_path, ExpertSettings(**{**vars(SETTINGS), "count": 5, "span": 1, "latest": 1}))
    more.trajectory(0)
    assert more.made == 0
    hotter = ExpertSettings(**{**vars(SETTINGS), "rate": 0.2})
    for other in (_buffer(tmp_path, hotter), _buffer(tmp_path, augment=True)):
        other.trajectory(0)
        assert other.made == 1


def test_what_is_torn_is_made_again(tmp_path: Path) -> None:
    whole = _buffer(tmp_path).trajectory(0).clone()
    (file,) = tmp_path.glob("*.features")
    file.write_bytes(file.read_bytes()[:-7])
    again = _buffer(tmp_path)
    assert torch.equal(again.trajectory(0), whole)
    assert again.made == 1


def test_a_store_without_room_is_said_and_experts_are_in_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    buffer = _buffer(tmp_path)
    assert experts_bytes(buffer._network, SETTINGS) == 2 * 3 * 6 * 4
    buffer._store = FeatureStore(tmp_path, 3 * 6 * 4 - 1)
    begun = []
    make = buffer._make
    monkeypatch.setattr(buffer, "_make", lambda number: begun.append(number) or make(number))
    assert torch.equal(buffer.trajectory(0), _buffer(None).trajectory(0))
    assert begun == [0], "its training is not thrown away"
    assert list(tmp_path.iterdir()) == []
    assert "more than the 6.61e-08 GiB of resources.feature_cache" in caplog.text
    assert buffer.trajectory(0) is buffer.trajectory(0)


def test_patients_without_a_fingerprint_are_not_kept(tmp_path: Path) -> None:
    batches = Batches()
    batches.fingerprint = None
    buffer = _buffer(tmp_path, batches=batches)
    buffer.trajectory(0)
    buffer.trajectory(0)
    assert buffer.made == 1  # but for this trial
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from tests.sldd.distillation.alternatives.test_experts import _buffer
torch.set_num_threads(1)
buffer = _buffer(Path(sys.argv[1]))
buffer.trajectory(0)
make = buffer._make
def killed(number):
    for weights in make(number):
        yield weights
    os.kill(os.getpid(), signal.SIGKILL)
buffer._make = killed
buffer.trajectory(1)
"""


@pytest.mark.slow
def test_kill_9_loses_the_expert_that_was_being_made_and_no_other(tmp_path: Path) -> None:
    root = Path(__file__).parents[4]
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], cwd=root, check=False, timeout=120)
    assert done.returncode == -9
    torch.set_num_threads(1)
    after = _buffer(tmp_path)
    assert torch.equal(after.trajectory(0), _buffer(None).trajectory(0))
    assert after.made == 0
    after.trajectory(1)
    assert after.made == 1


@pytest.mark.slow
def test_two_writers_leave_one_file_that_is_right(tmp_path: Path) -> None:
    root = Path(__file__).parents[4]
    text = KILLED.partition("make =")[0]
    both = [subprocess.Popen([sys.executable, "-c", text, str(tmp_path)], cwd=root) for _ in range(2)]
    assert [process.wait(timeout=120) for process in both] == [0, 0]
    torch.set_num_threads(1)
    after = _buffer(tmp_path)
    assert torch.equal(after.trajectory(0), _buffer(None).trajectory(0))
    assert after.made == 0
    assert len(list(tmp_path.iterdir())) == 1


class _Times(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images * self.factor


def test_networks_that_look_alike_and_compute_otherwise_have_experts_of_their_own(tmp_path: Path) -> None:
    for factor, made in ((1.0, 1), (2.0, 1), (1.0, 0)):
        network = nn.Sequential(nn.Flatten(), _Times(factor), nn.Linear(2, 2))
        buffer = ExpertBuffer(network, Batches(), SETTINGS, FeatureStore(tmp_path, 2**20), augment=False)
        buffer.trajectory(0)
        assert buffer.made == made
