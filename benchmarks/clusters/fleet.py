"""Simulate a study of many trials on a thousand machines that are lost, come late or are slow.

    python -m benchmarks.clusters.fleet 10000 100000
    python -m benchmarks.clusters.fleet 100000 --minutes 1 --loss-hours 2 --notice 0 --start 300

Machines are lost at random (an exponential time each, of mean ``--loss-hours``); ``--notice`` of the losses are
announced, as a spot machine's are, in time for a checkpoint; the others throw a trial back to its last one. Another
machine is there after ``--start`` seconds. Some are slow. One driver begins and ends trials, one after another: what
that takes is ``python -m benchmarks.clusters.scale``'s figure, and a machine waits for its turn. Requests are those
that this project's own code sends to a stand-in for S3 (moto) in one trial's life, counted; prices are AWS's for S3
Standard in US East (https://aws.amazon.com/s3/pricing): 0.005 and 0.0004 USD for a thousand.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import logging
import os
import secrets
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from unittest.mock import patch

import numpy as np
import torch

from ledger.ledger import FORMAT, Ledger
from ledger.storage import open_folder
from ledger.trial_folder import PACKAGE, TrialFolder
from sldd.rng import stream

_DEAR = {"PutObject", "ListObjectsV2", "CopyObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"}
"""S3's operations of the dearer kind; deletions cost nothing."""
_TITLES = (
    "trials | min each | life, h | start, s | hours | ideal | lost | losses | driver | idle | requests | a second | USD"
)
_SPREAD = 0.25
"""SD of the logarithm of trials' times: their mean is exp(_SPREAD^2 / 2) of their median."""


@dataclass(frozen=True)
class Fleet:
    """Machines, trials, and what both suffer; times in seconds.

    Attributes:
        trial: median time of a trial on a usual machine; times are log-normal.
        loss: mean time until a machine is lost.
        notice: share of the losses that are announced, in time for a checkpoint.
        start: from the loss of a machine until another one is there.
        checkpoint: between two checkpoints, by the clock.
        slow: share of machines that take twice as long.
        driver: that the driver takes for a trial's beginning and end together.
    """

    workers: int
    trial: float
    loss: float
    notice: float
    start: float
    checkpoint: float
    slow: float
    driver: float


@dataclass(frozen=True)
class Outcome:
    """A study on a fleet.

    Attributes:
        makespan: seconds from the first trial's beginning to the last one's end.
        lost: work that was done again, as a share of all that was needed.
        losses: machines that were lost while they ran a trial.
        busy: share of the time in which the driver worked.
        waited: share of the machines' time in which they were there and had no trial.
    """

    makespan: float
    lost: float
    losses: int
    busy: float
    waited: float


def simulate(fleet: Fleet, trials: int, seed: int = 0) -> Outcome:
    """Simulate a study of independent trials to its end, event by event.

    An event is a machine that becomes free, or is there again after a loss. It waits until a trial is left; is replaced
    where it was lost meanwhile; or takes a trial, once the driver has begun it, and runs it to its end or until the
    machine is lost.
    """
    random = stream(seed, "fleet", trials)
    needed = fleet.trial * np.exp(random.normal(0, _SPREAD, trials))  # of each trial, seconds of a usual machine
    done = np.zeros(trials)  # of these, what no loss can take any more
    new = list(range(trials - 1, -1, -1))  # not begun yet; the next one is last
    thrown_back: list[tuple[float, int]] = []  # a heap: trials that lost their machine, and when
    slowness = np.where(random.uniform(size=fleet.workers) < fleet.slow, 2.0, 1.0)
    lost_at = random.exponential(fleet.loss, fleet.workers)  # when each machine is lost
    free = [(0.0, machine) for machine in range(fleet.workers)]  # a heap of events
    losses, wasted, working, waited, driver_free, end = 0, 0.0, 0.0, 0.0, 0.0, 0.0

    def replace_machine(machine: int, now: float) -> None:
        lost_at[machine] = now + fleet.start + random.exponential(fleet.loss)
        heapq.heappush(free, (now + fleet.start, machine))

    while new or thrown_back:
        now, machine = heapq.heappop(free)
        if not new and thrown_back[0][0] > now:
            heapq.heappush(free, (thrown_back[0][0], machine))
            waited += thrown_back[0][0] - now
            continue
        if now >= lost_at[machine]:
            replace_machine(machine, now)
            continue
        # Ray goes on with what was lost before it begins anything new.
        trial = heapq.heappop(thrown_back)[1] if thrown_back and thrown_back[0][0] <= now else new.pop()
        begun = max(now, driver_free) + fleet.driver
        driver_free, working = begun, working + fleet.driver
        waited += begun - now
        ended = begun + (needed[trial] - done[trial]) * slowness[machine]
        if ended <= lost_at[machine]:
            end = max(end, ended)
            heapq.heappush(free, (ended, machine))
            continue
        losses += 1
        gone = max(lost_at[machine], begun)
        worked = (gone - begun) / slowness[machine]
        checkpointed = (gone - begun) // fleet.checkpoint * fleet.checkpoint / slowness[machine]  # by the clock
        safe = worked if random.uniform() < fleet.notice else checkpointed
        wasted += worked - safe
        done[trial] += safe
        heapq.heappush(thrown_back, (gone, trial))
        replace_machine(machine, gone)
    waited += sum(max(0.0, end - since) for since, _ in free)  # the tail, in which no trials are left
    return Outcome(end, wasted / float(needed.sum()), losses, working / end, waited / (end * fleet.workers))


def requests(checkpoints: int) -> Counter[str]:
    """S3's requests in a trial's life, by operation: it is begun, writes so many checkpoints of a MiB, a package and a
    result, and is read by the driver."""
    sent: Counter[str] = Counter()
    with _bucket(sent) as bucket:
        ledger = Ledger(open_folder(bucket) / "study")
        ledger.start({"format": FORMAT, "name": "fleet", "config": {}, "provenance": {}})
        sent.clear()
        trial = ledger.begin(ledger.add("cell", {"phase": "search", "seed": 0}))
        folder = TrialFolder(trial.folder, trial.config["owner"])
        folder.load_checkpoint(torch.device("cpu"))
        for step in range(1, checkpoints + 1):
            folder.save_checkpoint(step, {"images": torch.zeros(2**18)})
        folder.save(PACKAGE, bytes(2**18))
        folder.finish({"status": "done"})
        ledger.refresh(trial)
    return sent


@contextmanager
def _bucket(sent: Counter[str]) -> Iterator[str]:
    """A bucket of a server on this machine that speaks S3; counts what is sent to it."""
    from aiobotocore.client import AioBaseClient
    from moto.server import ThreadedMotoServer
    from s3fs import S3FileSystem

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    known = {"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none", "AWS_ENDPOINT_URL": f"http://{host}:{port}"}
    call = AioBaseClient._make_api_call

    async def counted(self: AioBaseClient, operation: str, given: dict[str, object]) -> object:
        sent[operation] += 1
        return await call(self, operation, given)

    try:
        with patch.dict(os.environ, known | {"AWS_DEFAULT_REGION": "us-east-1"}):
            S3FileSystem.clear_instance_cache()
            name = f"s3://fleet-{secrets.token_hex(4)}"
            folder = open_folder(name)
            folder.fs.mkdir(folder.path)  # type: ignore[union-attr]
            with patch.object(AioBaseClient, "_make_api_call", counted):
                yield name
    finally:
        server.stop()


def main(arguments: list[str] | None = None) -> int:
    """``python -m benchmarks.clusters.fleet``."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.clusters.fleet",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("trials", nargs="+", type=int)
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--minutes", nargs="+", type=float, default=[1.0, 10.0, 60.0], help="of a trial")
    parser.add_argument("--loss-hours", nargs="+", type=float, default=[2.0, 24.0], help="of a machine's life")
    parser.add_argument("--notice", type=float, default=0.5, help="share of losses that are announced")
    parser.add_argument(
        "--start", nargs="+", type=float, default=[120.0], help="seconds until another machine is there"
    )
    parser.add_argument("--checkpoint", type=float, default=60.0, help="seconds between checkpoints")
    parser.add_argument("--slow", type=float, default=0.05, help="share of machines that take twice as long")
    parser.add_argument(
        "--driver", type=float, default=0.04, help="seconds of the driver, a trial (benchmarks.clusters.scale)"
    )
    parser.add_argument(
        "--prices", nargs=2, type=float, default=[0.005, 0.0004], help="of a thousand writes, and reads"
    )
    options = parser.parse_args(arguments)
    first, second = requests(1), requests(2)
    print(f"| {_TITLES} |\n| {' | '.join(['---:'] * len(_TITLES.split('|')))} |")
    cases = itertools.product(options.trials, options.minutes, options.loss_hours, options.start)
    for trials, minutes, hours, start in cases:
        fleet = Fleet(
            workers=options.workers,
            trial=60 * minutes,
            loss=3600 * hours,
            notice=options.notice,
            start=start,
            checkpoint=options.checkpoint,
            slow=options.slow,
            driver=options.driver,
        )
        found = simulate(fleet, trials)
        further = max(0.0, 60 * minutes / options.checkpoint - 1)  # checkpoints after the first
        sent = {name: first[name] + further * (second[name] - first[name]) for name in second}
        total = trials * sum(sent.values())
        ideal = trials * minutes / 60 * np.exp(_SPREAD**2 / 2) / options.workers
        print(
            f"| {trials:,} | {minutes:g} | {hours:g} | {start:g} | {found.makespan / 3600:.2f} | {ideal:.2f} "
            f"| {found.lost:.2%} | {found.losses:,} | {found.busy:.0%} | {found.waited:.0%} "
            f"| {total:,.0f} | {total / found.makespan:,.0f} | {trials * _price(sent, *options.prices):,.2f} |",
            flush=True,
        )
    print(f"\nrequests of a trial with one checkpoint: {dict(first)}; of each further one: {dict(second - first)}")
    return 0


def _price(sent: Mapping[str, float], dear: float, cheap: float) -> float:
    """USD for one trial's requests, by operation, at prices for a thousand of the dear and of the cheap ones."""
    writes = sum(count for name, count in sent.items() if name in _DEAR)
    reads = sum(count for name, count in sent.items() if name not in _DEAR and not name.startswith("Delete"))
    return (writes * dear + reads * cheap) / 1000


if __name__ == "__main__":
    sys.exit(main())
