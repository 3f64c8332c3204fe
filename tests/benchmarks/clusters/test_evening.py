"""The plan of the papers' experiments: operations are counted right, and the model is the dry run's."""

from __future__ import annotations

from functools import partial

import pytest
import torch
import torch.nn.functional as F

from benchmarks.clusters.evening import PaperData, counted, main, operations, plan
from study.planning.step_time import StepTime


def test_operations_of_a_product_and_its_gradients() -> None:
    one, other = torch.empty(4, 5, requires_grad=True), torch.empty(5, 6, requires_grad=True)
    product = 2 * 4 * 5 * 6
    assert operations(lambda: one @ other) == product
    assert operations(lambda: torch.autograd.grad((one @ other).sum(), [one, other])) == 3 * product
    images, weight = torch.empty(2, 3, 8, 8), torch.empty(7, 3, 3, 3)
    assert operations(lambda: F.conv2d(images, weight, padding=1)) == 2 * 2 * 7 * 64 * 27


def test_resnet18_is_as_published() -> None:
    plain, inner, forward = counted("paper/resnet18", "batch", 3, 8)
    assert forward == pytest.approx(2 * 1.75e9, rel=0.05), (
        "1.8 thousand million multiplications; a gray input spares some"
    )
    assert plain == pytest.approx(3 * 8 * forward, rel=0.05)
    assert 3 * 3 * forward < inner < 12 * 3 * forward


def test_hours_are_steps_by_the_dry_runs_model() -> None:
    step = StepTime(0.0, 1.0, 0.5, 0.0)
    cells, trials, steps, hours = plan("table5", ["search.trials=1", "confirm.repeats=1"], 1, lambda *_: step)
    assert (cells, trials) == (14, 28)
    assert steps == 28 * -(-PaperData().size // 96)
    assert hours == pytest.approx(steps * 1.5 / 3600)
    _, _, more, _ = plan("table5", ["search.trials=1", "confirm.repeats=1"], 2, lambda *_: step)
    assert more == pytest.approx(2 * steps, rel=1e-3)


def test_it_prints_a_row_a_table_and_refuses_what_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    run = partial(main, ["table4", "search.trials=1", "--epochs", "1", "--tflops", "20"])
    assert run() == 0
    (row,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| table4 ")]
    assert row.split("|")[2].strip() == "6"
    assert main(["table7"]) == 2
    assert "table7" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_measuring_needs_a_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--measure"]) == 2
    assert "no GPU" in capsys.readouterr().err
