"""The GPU script: every section runs on a CPU, one that fails is told apart, and on a GPU what has to hold holds."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from benchmarks.gpu import __main__ as script
from benchmarks.gpu import sharing
from benchmarks.gpu.bench import Bench, Row, tf32

QUICK = ["--device", "cpu", "--quick"]


@pytest.mark.slow
def test_every_section_runs_on_a_cpu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main([*QUICK, "--out", str(tmp_path / "gpu.json")]) == 0
    told = json.loads((tmp_path / "gpu.json").read_text())
    assert list(dict.fromkeys(row["section"] for row in told["rows"])) == list(script.SECTIONS)
    assert told["about"]["torch"] == torch.__version__
    held = {row["section"] for row in told["rows"] if row["held"]}
    assert held == {"packages", "resume"}
    assert len(capsys.readouterr().out.splitlines()) == len(told["rows"]) + 3


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that PyTorch can use")
def test_what_has_to_hold_on_a_gpu_holds() -> None:
    assert script.main(["--quick", "packages", "resume", "too_large", "prefetch"]) == 0


def test_a_section_that_fails_says_so_and_the_next_one_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(bench: Bench) -> Iterator[Row]:
        yield Row("first", 1.0, "ms")
        raise RuntimeError("CUDA error: an illegal instruction\nmore")

    monkeypatch.setattr(script, "SECTIONS", {"one": fails, "two": lambda bench: iter([Row("second", 2.0)])})
    assert script.main(QUICK) == 1
    lines = capsys.readouterr().out.splitlines()[3:]
    assert lines == [
        "| one | first | 1 | ms |",
        "| one | failed | RuntimeError: CUDA error: an illegal instruction |  **missed** |",
        "| two | second | 2 |  |",
    ]


def test_what_there_is_no_time_for_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    two = [Row("first", 1.0), Row("never", 1.0)]
    monkeypatch.setattr(script, "SECTIONS", {"one": lambda bench: iter(two), "two": lambda bench: iter(two)})
    ticks = iter(range(10))
    monkeypatch.setattr(script.time, "monotonic", lambda: next(ticks))
    assert script.main([*QUICK, "--seconds", "1.5"]) == 0
    lines = capsys.readouterr().out.splitlines()[3:]
    assert [line.split("|")[1:4] for line in lines] == [
        [" one ", " first ", " 1 "], [" one ", " the rest ", " out of time "], [" two ", " left out ", " out of time "],
    ]  # fmt: skip


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main([]) == 2
    assert "--device cpu --quick" in capsys.readouterr().err


def test_tf32_is_off_again_whatever_happens() -> None:
    def fails() -> None:
        with tf32(True):
            assert torch.backends.cudnn.allow_tf32
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32


def test_streams_begin_when_all_have_warmed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    lock, made, taken = threading.Lock(), iter(range(10)), [0, 0]
    counted: list[tuple[int, int]] = []

    def small(device: torch.device) -> Callable[[], object]:
        with lock:
            number = next(made)

        def work() -> None:
            time.sleep(0.05 * number)  # the second takes its time
            taken[number] += 1

        return work

    def steps_within(work: Callable[[], object], seconds: float) -> int:
        counted.append((taken[0], taken[1]))
        return 1

    monkeypatch.setattr(sharing, "_small", small)
    monkeypatch.setattr(sharing, "_steps_within", steps_within)
    rows = iter(sharing.streams(Bench(torch.device("cpu"), quick=True)))
    next(rows)
    made, taken[:] = iter(range(10)), [0, 0]
    counted.clear()
    next(rows)
    assert counted == [(3, 3), (3, 3)]


def test_a_stream_that_fails_holds_no_other_up(monkeypatch: pytest.MonkeyPatch) -> None:
    made = iter((None, None, torch.OutOfMemoryError("CUDA out of memory")))
    ended: list[type[BaseException]] = []

    def small(device: torch.device) -> Callable[[], object]:
        if (error := next(made)) is not None:
            raise error
        return lambda: None

    monkeypatch.setattr(threading, "excepthook", lambda given: ended.append(given.exc_type))
    monkeypatch.setattr(sharing, "_small", small)
    assert [row.value for row in sharing.streams(Bench(torch.device("cpu"), quick=True))][1] == 0
    assert {*ended} == {torch.OutOfMemoryError, threading.BrokenBarrierError}


def test_time_is_the_processors_on_a_cpu() -> None:
    bench = Bench(torch.device("cpu"), quick=True)
    calls: list[int] = []
    assert bench.milliseconds(lambda: calls.append(sum(range(200_000)))) > 0.1
    assert len(calls) == 2, "one to warm up"
