"""Benchmark a page of thousands of trials: python -m benchmarks.speed.page 1000 10000

A ledger of made-up trials is written, seven searched and three confirmed a cell, and its page opened in Chromium.
Measured are the time to write the page, its size, the time to its first picture, and the time from a filter's tick
until all that is in view is drawn again: the medians of several.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from playwright.sync_api import Browser, sync_playwright

from analysis.dashboard import write_dashboard
from analysis.records.packages import CLASSES
from sldd.metrics.patient_evaluator import PatientScores
from sldd.metrics.patient_votes import Votes, choose_threshold

_A_CELL, _SEARCHED, _PATIENTS, _TIMES = 10, 7, 60, 5
_COUNTS = 25
_TARGETS = "targets at 10,000 trials: 15 MB, 3 s to the first picture, 0.5 s a filter"
_SIDE = 32


def write_study(folder: Path, trials: int) -> None:
    """A study of so many trials: networks of rising size, each with 25 image counts."""
    import yaml
    from safetensors.numpy import save_file

    random = np.random.default_rng(0)
    cells = []
    for number in range(trials // _A_CELL):
        network, images = divmod(number, _COUNTS)
        cells.append(
            {
                "cell": f"network_{network}-m{images + 1}-one_hot-as_is-sldd-s1e1",
                "backbone": f"network_{network}",
                "parameters": int(10 ** (5 + 3 * network * _A_CELL * _COUNTS / trials)),
                "images": images + 1,
                "label_init": "one_hot",
                "norm": "as_is",
                "method": "sldd",
                "distill_steps": 1,
                "distill_epochs": 1,
            }
        )
    folder.mkdir(parents=True)
    described = {"format": 2, "name": "scale", "command": "", "config": {}, "provenance": {}, "cells": cells}
    (folder / "study.yaml").write_text(yaml.safe_dump(described))
    for cell in cells:
        for index in range(_A_CELL):
            trial = folder / "trials" / str(cell["cell"]) / str(index)
            trial.mkdir(parents=True)
            phase = "search" if index < _SEARCHED else "confirm"
            rates = {"outer_lr": 10 ** random.uniform(-3, -1), "inner_lr": 10 ** random.uniform(-2, 0)}
            config = cell | {"trial": f"{cell['cell']}/{index}", "index": index, "phase": phase, "seed": index, **rates}
            (trial / "config.json").write_text(json.dumps(config))
            (trial / "result.json").write_text(json.dumps(_result(random, phase)))
            if phase == "confirm":
                drawn = {
                    "images": random.standard_normal((1, 3, 1, _SIDE, _SIDE), dtype=np.float32),
                    "labels": np.eye(len(CLASSES), dtype=np.float32)[None],
                    "rates": np.full((1, 1), 0.02, np.float32),
                }
                save_file(drawn, trial / "package.safetensors")


def _result(random: np.random.Generator, phase: str) -> dict[str, object]:
    labels = np.arange(_PATIENTS) % 2
    positive = np.clip(random.normal(40 + 20 * labels, 15), 0, 100).round().astype(np.int64)
    counts = np.stack([np.full(_PATIENTS, 50), 100 - positive, positive], axis=1)
    votes = Votes(list(range(_PATIENTS)), labels, counts, np.eye(3, dtype=np.int64))
    _, delta = choose_threshold(votes)
    seen = PatientScores(votes, None).describe([f"P-{patient:010}" for patient in range(_PATIENTS)], delta)
    hours = random.uniform(0, 24)
    return {
        "status": "done", "error": None, "attempt": 1, "delta": delta, "seconds": 60.0, "outer_steps": 100,
        "validation": seen, "test": seen if phase == "confirm" else None, "memory_mib": 1.0,
        "memory_star_kb": float(random.uniform(4, 40)), "compression_rate": 0.01,
        "finished": f"2026-01-01T{int(hours):02}:{int(hours % 1 * 60):02}:00+00:00",
    }  # fmt: skip


def measure(trials: int, browser: Browser, folder: Path) -> dict[str, float]:
    """The figures of one page."""
    study = folder / str(trials)
    write_study(study, trials)
    begun = time.perf_counter()
    page = write_dashboard(study, out=folder / f"{trials}.html")
    written = time.perf_counter() - begun
    first, filtered = [], []
    for _ in range(_TIMES):
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        tab.goto(Path(str(page)).as_uri(), wait_until="commit")
        tab.locator(".chart[data-drawn]").first.wait_for(timeout=300_000)
        first.append(tab.evaluate("performance.getEntriesByName('drawn')[0].startTime / 1000"))
        tab.locator(".chart[data-stale], .chart:not([data-drawn])").first.wait_for(state="detached", timeout=300_000)
        filtered.append(tab.evaluate(_FILTER))
        tab.close()
    return {
        "s to write": written,
        "MB": Path(str(page)).stat().st_size / 1e6,
        "s to the first picture": statistics.median(first),
        "s a filter": statistics.median(filtered),
    }


# From the tick until every chart in view is drawn anew, and the frame after that is shown.
_FILTER = """() => new Promise(done => {
  const begun = performance.now(), near = [...document.querySelectorAll('.chart[data-near="true"]')];
  document.querySelector('#filters input[name=backbone]').click();
  const look = () => near.some(chart => chart.dataset.stale) ? setTimeout(look, 5)
    : requestAnimationFrame(() => done((performance.now() - begun) / 1000));
  look();
})"""


def main(arguments: list[str] | None = None) -> int:
    """``python -m benchmarks.speed.page``."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed.page",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("trials", nargs="+", type=int, help="of each study")
    options = parser.parse_args(arguments)
    if min(options.trials) < (least := 2 * _A_CELL * _COUNTS):
        parser.error(f"{min(options.trials)} trials are of one network, which no filter is for; at least {least}")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    titles: list[str] = []
    with tempfile.TemporaryDirectory(prefix="sldd-page-") as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for trials in options.trials:
            figures = measure(trials, browser, Path(folder))
            if not titles:
                titles = list(figures)
                print(f"| trials | {' | '.join(titles)} |\n| ---: |{' ---: |' * len(titles)}")
            print(f"| {trials:,} | {' | '.join(f'{figures[title]:.3g}' for title in titles)} |", flush=True)
        browser.close()
    print(f"\n{_TARGETS}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
