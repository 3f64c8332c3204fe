"""The simulated fleet keeps its books: nothing is lost that was not, and what it counts is what was sent."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.clusters.fleet import Fleet, _price, requests, simulate
from sldd.rng import stream

NEVER = 1e15
CALM = Fleet(workers=10, trial=600, loss=NEVER, notice=0.0, start=120, checkpoint=60, slow=0.0, driver=0.0)


def test_without_trouble_it_is_the_work_divided_by_the_machines() -> None:
    found = simulate(CALM, 2000)
    ideal = 600 * 1.0317 * 2000 / 10  # the mean of a log-normal spread of a quarter is 3 % above its median
    assert found.makespan == pytest.approx(ideal, rel=0.03)
    assert (found.lost, found.losses, found.busy) == (0.0, 0, 0.0)
    work = float((600 * np.exp(stream(0, "fleet", 2000).normal(0, 0.25, 2000))).sum())
    assert found.waited == pytest.approx(1 - work / (10 * found.makespan)), "no machine waits but for the last trials"
    assert simulate(CALM, 1).waited == pytest.approx(0.9), "nine of ten have nothing to do"


def test_a_slow_driver_decides() -> None:
    found = simulate(replace(CALM, driver=100.0), 200)
    assert found.busy > 0.95
    assert found.makespan == pytest.approx(200 * 100, rel=0.06)
    assert found.waited > 0.3


def test_a_loss_costs_half_a_checkpoint_and_a_warning_spares_it() -> None:
    rough = replace(CALM, loss=3600.0)
    found = simulate(rough, 4000)
    assert found.losses > 300
    needed = 600 * 1.0317 * 4000
    assert found.lost * needed / found.losses == pytest.approx(30, rel=0.1)
    slow = simulate(replace(rough, slow=1.0), 4000)  # in half a minute they do a quarter of a minute's work
    assert slow.lost * needed / slow.losses == pytest.approx(15, rel=0.1)
    assert simulate(replace(rough, notice=1.0), 4000).lost == 0.0
    assert found.makespan > simulate(CALM, 4000).makespan


def test_machines_that_come_late_and_slow_ones_take_longer() -> None:
    rough = simulate(replace(CALM, loss=3600.0), 1000).makespan
    assert simulate(replace(CALM, loss=3600.0, start=1200), 1000).makespan > 1.2 * rough
    assert simulate(replace(CALM, slow=1.0), 1000).makespan == pytest.approx(
        2 * simulate(CALM, 1000).makespan, rel=0.01
    )


def test_requests_are_those_of_the_ledger() -> None:
    one, two = requests(1), requests(2)
    assert two["PutObject"] == one["PutObject"] + 1, "a checkpoint is one file"
    assert one["PutObject"] == 5, "configuration, worker, checkpoint, package, result"
    assert all(two[name] >= one[name] for name in one)


def test_prices_are_of_a_thousand_and_deletions_free() -> None:
    sent = {"PutObject": 2.0, "ListObjectsV2": 1.0, "GetObject": 10.0, "HeadObject": 10.0, "DeleteObjects": 5.0}
    assert _price(sent, 5.0, 0.4) == pytest.approx((3 * 5 + 20 * 0.4) / 1000)
