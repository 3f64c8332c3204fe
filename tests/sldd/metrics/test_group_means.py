"""Group means tell a distribution, and nobody's value."""

from __future__ import annotations

import numpy as np
import pytest

from sldd.metrics.group_means import FEWEST, MOST_GROUPS, group_means


@pytest.mark.parametrize(("patients", "groups"), [(0, 0), (9, 0), (10, 2), (14, 2), (24, 4), (25, 5), (1000, 5)])
def test_groups_have_several_patients(patients: int, groups: int) -> None:
    values = np.random.default_rng(0).permutation(np.arange(patients) / max(patients, 1))
    found = group_means(values)
    assert len(found) == groups <= MOST_GROUPS
    assert list(found) == sorted(found)
    for number, mean in enumerate(found):  # of every patient's value a fifth or less
        assert abs(mean - (number + 0.5) / groups) < 0.1
    changed = values.copy()
    changed[:1] += 1 / max(patients, 1)
    moved = np.abs(np.subtract(group_means(changed), found))
    assert (moved <= 1 / max(patients, 1) / FEWEST + 0.001).all()
