"""Power as users have it, where it is what is tested."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from analysis.design.power import power


@pytest.fixture(autouse=True)
def _power_of_all_studies(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("analysis.design.power.STUDIES", 400)
    power.cache_clear()
    yield
    power.cache_clear()
