"""Recorded calls: when they are recorded, what they read and return, and what is said where that cannot be.

Recording is CUDA's. Here a stand-in runs the work again into the same results; on a GPU, the real one is tried.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from sldd.errors import InputError
from sldd.ops import cuda_graph
from sldd.ops.cuda_graph import GraphedCall

Work = Callable[[], list[torch.Tensor]]


def rerun(work: Work, device: torch.device) -> tuple[list[torch.Tensor], Callable[[], None]]:
    """As ``recorded``, where kernels cannot be: the work itself runs again."""
    results = [result.clone() for result in work()]

    def again() -> None:
        torch._foreach_copy_(results, work())

    return results, again


class _Sum:
    """Adds up its arguments; counts how often it is asked, and remembers of which tensors."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def __call__(self, one: torch.Tensor, other: torch.Tensor) -> list[torch.Tensor]:
        self.asked.append(one.data_ptr())
        return [one + other]


@pytest.fixture
def record(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    done: list[str] = []

    def recorded(work: Work, device: torch.device) -> tuple[list[torch.Tensor], Callable[[], None]]:
        done.append("recorded")
        return rerun(work, device)

    monkeypatch.setattr(cuda_graph, "recorded", recorded)
    return done


def test_the_fourth_call_of_one_shape_is_recorded_and_all_later_ones_read_the_same_memory(record: list[str]) -> None:
    work = _Sum()
    call = GraphedCall(work)
    for number in range(3):
        assert call(torch.full((2,), float(number)), torch.ones(2))[0].tolist() == [number + 1.0] * 2
    assert record == []
    results = [call(torch.full((2,), float(number)), torch.ones(2))[0] for number in (7, 8, 9)]
    assert record == ["recorded"]
    assert len(set(work.asked[3:])) == 1
    assert results[0] is results[2], "what a call returns is overwritten by the next"
    assert results[0].tolist() == [10.0, 10.0]


def test_other_shapes_run_as_they_are(record: list[str]) -> None:
    call = GraphedCall(_Sum())
    for size in (2, 3, 2, 3, 3, 3, 3):
        assert call(torch.zeros(size), torch.ones(size))[0].shape == (size,)
    assert record == ["recorded"]
    assert call(torch.zeros(5), torch.ones(5))[0].tolist() == [1.0] * 5
    assert call(torch.full((3,), 4.0), torch.ones(3))[0].tolist() == [5.0] * 3
    assert record == ["recorded"]


def test_what_cannot_be_recorded_names_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(work: Work, device: torch.device) -> None:
        raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nmore of it")

    monkeypatch.setattr(cuda_graph, "recorded", refuses)
    call = GraphedCall(_Sum())
    for _ in range(3):
        call(torch.zeros(1), torch.zeros(1))
    with pytest.raises(InputError, match=r"compute\.cuda_graph: .*stream is capturing\); set it to false$"):
        call(torch.zeros(1), torch.zeros(1))


def test_out_of_memory_stays_that(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials halve their batch then."""

    def refuses(work: Work, device: torch.device) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(cuda_graph, "recorded", refuses)
    call = GraphedCall(_Sum())
    for _ in range(3):
        call(torch.zeros(1), torch.zeros(1))
    with pytest.raises(torch.OutOfMemoryError):
        call(torch.zeros(1), torch.zeros(1))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that PyTorch can use")
def test_a_gpu_replays_what_it_recorded() -> None:
    call, weight = GraphedCall(lambda x: [x @ weight, weight.sum()]), torch.eye(3, device="cuda")
    for number in range(8):
        given = torch.full((2, 3), float(number), device="cuda")
        product, total = call(given)
        assert torch.equal(product, given * weight[0, 0])
        assert total.item() == pytest.approx(3 * weight[0, 0].item())
        weight.mul_(2.0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that PyTorch can use")
def test_a_recording_that_fails_leaves_the_stream_as_it_was() -> None:
    before, one = torch.cuda.current_stream(), torch.ones(1, device="cuda")
    call = GraphedCall(lambda x: [x * x.item()])  # it waits for the GPU
    for _ in range(3):
        call(one)
    with pytest.raises(InputError, match="cannot be recorded"):
        call(one)
    assert torch.cuda.current_stream() == before
    assert (one + 1).item() == 2.0


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="no second GPU that PyTorch can use")
def test_another_device_than_the_current_one_is_recorded() -> None:
    call = GraphedCall(lambda x: [x + 1])
    for number in range(6):
        (found,) = call(torch.full((2,), float(number), device="cuda:1"))
        assert found.tolist() == [number + 1.0] * 2
