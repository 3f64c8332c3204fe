"""Several trials on one GPU, by processes and by streams; what preparing batches ahead spares; where time goes."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

import sldd
from benchmarks.gpu.bench import Bench, Row
from benchmarks.gpu.steps import problem
from benchmarks.speed.steps import Problem
from sldd.data.prefetch import Batch, BatchSource, Prefetch
from sldd.data.split import SplitSettings, split_patients
from sldd.pipeline.task_data import PatchData, task_data
from sldd.rng import stream
from sldd.training.compute import ComputeSettings


def _small(device: torch.device) -> Callable[[], object]:
    """An outer step of a small network, of which a GPU could do many at once."""
    case = Problem("lenet", side=28, batch=96, classes=3, images=3, device=device)
    return case.distilling(compute=ComputeSettings(memory="keep"))


def _warmed_up(device: torch.device) -> Callable[[], object]:
    """Such a step, after three that have been taken."""
    work = _small(device)
    for _ in range(3):
        work()
    return work


def _steps_within(work: Callable[[], object], seconds: float) -> int:
    deadline, count = time.monotonic() + seconds, 0
    while time.monotonic() < deadline:
        work()
        count += 1
    return count


def streams(bench: Bench) -> Iterator[Row]:
    """Outer steps a second of several small trials in one process, each in a thread with a stream of its own."""
    seconds = 0.2 if bench.quick else 4.0
    for trials in (1, 2) if bench.quick else (1, 2, 4, 8):
        counts, ready = [0] * trials, threading.Barrier(trials)

        def run(number: int, counts: list[int] = counts, ready: threading.Barrier = ready) -> None:
            with torch.cuda.stream(torch.cuda.Stream()) if bench.cuda else nullcontext():
                try:
                    work = _warmed_up(bench.device)
                except BaseException:
                    ready.abort()  # nobody waits for ever
                    raise
                ready.wait()  # all have warmed up, as processes have
                counts[number] = _steps_within(work, seconds)

        threads = [threading.Thread(target=run, args=(number,)) for number in range(trials)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        yield Row(f"{trials} small trials as streams", sum(counts) / seconds, "steps a second")


def processes(bench: Bench) -> Iterator[Row]:
    """The same with a process each, as studies run them."""
    if bench.quick:
        yield Row("small trials as processes", "not with --quick")
        return
    seconds = 4.0
    words = [sys.executable, "-m", "benchmarks.gpu.sharing", bench.device.type, str(seconds)]
    for trials in (1, 2, 4, 8):
        started = [
            subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(trials)
        ]
        for process in started:  # wait until all have warmed up
            assert process.stdout is not None
            process.stdout.readline()
        for process in started:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        counts = [int(process.communicate()[0]) for process in started]
        yield Row(f"{trials} small trials as processes", sum(counts) / seconds, "steps a second")


def prefetch(bench: Bench) -> Iterator[Row]:
    """Outer steps on batches that are cut in the step's own thread, ahead in another, and on the device."""
    name, count = ("test_resnet", 6) if bench.quick else ("resnet18 64 px", 96)
    side, steps = (32, 2) if bench.quick else (64, 20)
    with tempfile.TemporaryDirectory(prefix="sldd-gpu-") as folder:
        cohort = sldd.open_cohort(source="phantom", phantom={"patients": 16, "size": 256}, cache=Path(folder))
        patches = sldd.PatchSettings(size=48, stride=8, input_size=side)
        data = task_data(cohort, patches, split_patients(cohort, SplitSettings()))

        assert isinstance(data, PatchData)
        sources = {
            "in the step's thread": (data.batches, False),
            "ahead": (data.batches, True),
            "on the device": (data.batches.near(bench.device, 2**30), True),
        }
        learner = problem(bench, name).learner(compute=ComputeSettings(memory="keep"))
        for how, (source, ahead) in sources.items():

            def draw(number: int, source: BatchSource = source) -> Batch:
                return source.draw(stream(0, number), count)

            batches = Prefetch(draw, bench.device, ahead=ahead)

            def work(batches: Prefetch = batches) -> None:
                for number in range(steps):
                    learner.step(*batches.get(number), 1e-4)

            yield Row(f"{name}, batches cut {how}", bench.milliseconds(work, warm=1) / steps, "ms an outer step")
            batches.close()


def kernels(bench: Bench) -> Iterator[Row]:
    """Where the time of an outer step goes, and the share of it in which the GPU works."""
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if bench.cuda else [])]
    for name in ("lenet",) if bench.quick else ("lenet", "resnet18 64 px", "resnet50"):
        work = problem(bench, name).distilling(compute=ComputeSettings(memory="keep"))
        steps = 2 if bench.quick else 10
        bench.milliseconds(work)
        begun = time.perf_counter()
        for _ in range(steps):
            work()
        bench.wait()
        wall = time.perf_counter() - begun
        with profile(activities=activities) as record:
            for _ in range(steps):
                work()
            bench.wait()
        # Operators have their kernels' time as well: counted with these, the GPU would work twice.
        device = DeviceType.CUDA if bench.cuda else DeviceType.CPU
        column = "self_device_time_total" if bench.cuda else "self_cpu_time_total"
        spent = [
            (float(getattr(event, column)), event.key)  # microseconds
            for event in record.key_averages()
            if event.device_type == device
        ]
        spent.sort(key=lambda pair: -pair[0])
        total = sum(microseconds for microseconds, _ in spent)
        if bench.cuda:
            busy = total / 1e6 / wall
            yield Row(f"{name}: the GPU works", busy, "of the time", busy >= 0.8 if name == "resnet50" else None)
        for microseconds, kernel in spent[:3]:
            yield Row(f"{name}: {kernel[:50]}", microseconds / total, "of it")


def main() -> None:
    """One of ``processes``: warm up, say so, wait to be told, and count steps."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.sharing")
    parser.add_argument("device", type=torch.device)
    parser.add_argument("seconds", type=float)
    options = parser.parse_args()
    work = _warmed_up(options.device)
    print("ready", flush=True)
    sys.stdin.readline()
    print(_steps_within(work, options.seconds))


if __name__ == "__main__":
    main()
