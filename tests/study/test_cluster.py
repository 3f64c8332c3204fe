"""How many trials fit, from what the cluster has."""

from __future__ import annotations

import pytest

from sldd.errors import InputError
from study.cluster import ResourceSettings, Slots, _slots


@pytest.mark.parametrize(
    ("settings", "cpus", "gpus", "expected"),
    [
        (ResourceSettings(), 2, 0, Slots(1, 0.0, 2)),
        (ResourceSettings(), 16, 4, Slots(1, 1.0, 4)),
        (ResourceSettings(gpus_per_trial=0.5), 16, 4, Slots(1, 0.5, 8)),
        (ResourceSettings(gpus_per_trial=0.3), 16, 1, Slots(1, 0.3, 3)),
        (ResourceSettings(cpus_per_trial=4), 6, 0, Slots(4, 0.0, 1)),
        (ResourceSettings(concurrent=50, gpus_per_trial=1), 2, 0, Slots(1, 1, 50)),
    ],
)
def test_slots(settings: ResourceSettings, cpus: float, gpus: float, expected: Slots) -> None:
    assert _slots(settings, cpus, gpus) == expected


def test_trial_that_fits_nowhere_is_refused() -> None:
    with pytest.raises(InputError, match=r"a trial takes 4 CPUs and 0 GPUs, the cluster has 2 and 0; lower"):
        _slots(ResourceSettings(cpus_per_trial=4), 2, 0)
