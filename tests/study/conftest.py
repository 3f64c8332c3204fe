"""Ledgers that let go of their lock when a test ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from study.ledger import FORMAT, Ledger

OpenLedger = Callable[[Path], Ledger]


@pytest.fixture
def open_ledger() -> Iterator[OpenLedger]:
    """Opens the ledger of a folder; opening it again first closes the one before, as a new driver would."""
    held: dict[Path, Ledger] = {}

    def open_again(folder: Path) -> Ledger:
        if folder in held:
            held[folder].close()
        held[folder] = Ledger(folder)
        held[folder].hold()
        held[folder].start({"format": FORMAT, "name": "x", "config": {}, "provenance": {}})
        return held[folder]

    yield open_again
    for ledger in held.values():
        ledger.close()
