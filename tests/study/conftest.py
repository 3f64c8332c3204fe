"""Commands that end with their test, and a study that nothing disturbed."""

from __future__ import annotations

import fcntl
import os
import random
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from ray.tune.search import Searcher

from ledger.ledger import Ledger
from ledger.trial_folder import TrialFolder
from study.search.tune_searcher import Search, StudySearcher
from tests.study.command import Command, Here, Study


@pytest.fixture(autouse=True)
def _no_command_outlives_its_test() -> Iterator[None]:
    yield
    for command in list(Command.running):
        command.process.send_signal(signal.SIGINT)
        command.wait()


@pytest.fixture(autouse=True)
def _own_machine(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's cache and cluster are not for tests."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "user-cache"))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study that ran from its start to its end, without Ray: what every other one has to come to.

    Of several test processes, one runs it, and the others wait.
    """
    shared = tmp_path_factory.getbasetemp()
    shared = shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared
    out = shared / "undisturbed"
    with (shared / "undisturbed.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (out / "tiny" / "dashboard.html").exists():
            study = Here(out, page=True)
            assert study.status == 0, study.log.read_text()
    return Study(out)


def run_stub(
    searches: Sequence[Search],
    ledger: Ledger,
    result: Callable[[dict[str, Any]], dict[str, Any]],
    *,
    limit: int | None = None,
    order: int = 0,
    may_begin: Callable[[], bool] = lambda: True,
) -> list[str]:
    """Runs trials in two slots, which finish in an order of chance; returns those that ran.

    Args:
        result: stands in for the worker: a trial's configuration to its result.
        limit: stop as a killed driver does, after so many.
        order: another number, another order.
        may_begin: as of ``StudySearcher``.
    """
    searcher, chance = StudySearcher(searches, ledger, may_begin=may_begin), random.Random(order)
    running: list[tuple[str, dict[str, Any]]] = []
    ran: list[str] = []
    while limit is None or len(ran) < limit:
        if len(running) < 2:
            name = f"t{len(ran) + len(running)}-{chance.random()}"
            config = searcher.suggest(name)
            if isinstance(config, dict):
                running.append((name, config))
                continue
            if config == Searcher.FINISHED and not running:
                break
        name, config = running.pop(chance.randrange(len(running)))
        TrialFolder(Path(config["folder"]), config["owner"]).finish(result(config))
        searcher.on_trial_complete(name)
        ran.append(config["trial"])
    return ran
