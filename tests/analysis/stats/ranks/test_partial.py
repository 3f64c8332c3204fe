from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from analysis.stats.ranks.partial import FEWEST, partial_spearman


def _studied(rng: np.random.Generator, effect: float, families: int = 19) -> tuple[np.ndarray, ...]:
    """A trait, sizes, smallest counts and families of 28 networks; half of what they differ by is their family's."""
    kin = np.repeat(np.arange(families), [1] * 13 + [2] * 4 + [3, 4])

    def mixed() -> np.ndarray:
        return np.sqrt(0.5) * (rng.standard_normal(families)[kin] + rng.standard_normal(len(kin)))

    size = mixed()
    trait = 0.5 * size + np.sqrt(0.75) * mixed()
    count = np.clip(np.round(2 ** (1 + 0.5 * size + effect * trait + mixed())), 1, 9)
    return trait, np.exp(size), count, kin


def test_it_is_the_correlation_of_what_the_size_leaves() -> None:
    trait, sizes, counts, _ = _studied(np.random.default_rng(3), 0.7)
    found = partial_spearman(trait, sizes, counts, counts, [str(number) for number in range(28)])
    assert found is not None
    x, y, z = (rankdata(each) - 14.5 for each in (trait, counts, sizes))
    left = [each - z * (each @ z) / (z @ z) for each in (x, y)]
    assert found.value == pytest.approx(np.corrcoef(left)[0, 1])
    assert found.alone == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert found.low < found.value < found.high
    assert (found.networks, found.families) == (28, 28)


@pytest.mark.parametrize(("effect", "truth"), [(0.0, 0.01), (1.0, 0.59)])
def test_the_interval_holds_the_truth_as_often_as_it_says(effect: float, truth: float) -> None:
    """Truth: the same formula over 200,000 networks. A level of .91 or less would be told with 200 studies."""
    rng, held = np.random.default_rng(7), 0
    for _ in range(200):
        trait, sizes, counts, kin = _studied(rng, effect)
        found = partial_spearman(trait, sizes, counts, counts, kin.astype(str).tolist())
        assert found is not None
        held += found.low <= truth <= found.high
    assert held >= 183


def test_nothing_is_left_where_the_size_is_all_there_is() -> None:
    rng = np.random.default_rng(1)
    found = []
    for _ in range(50):
        _, sizes, _, kin = _studied(rng, 0.0)
        trait, counts = sizes + 0.2 * rng.standard_normal(28), np.round(4 + np.log(sizes))
        tested = partial_spearman(trait, sizes, counts - counts.min() + 1, counts - counts.min() + 1, kin.astype(str))
        assert tested is not None
        assert tested.alone > 0.5
        found.append(tested.value)
    assert abs(np.mean(found)) < 0.1


@given(seed=st.integers(0, 50), power=st.sampled_from([0.5, 1.0, 3.0]))
def test_only_order_matters_and_a_turned_trait_turns_the_sign(seed: int, power: float) -> None:
    trait, sizes, counts, kin = _studied(np.random.default_rng(seed), 0.4)
    families = kin.astype(str).tolist()
    found = partial_spearman(trait, sizes, counts, counts, families)
    bent = partial_spearman(np.exp(trait), sizes**power, counts, counts, families)
    turned = partial_spearman(-trait, sizes, counts, counts, families)
    assert found is not None
    assert bent == found
    assert turned is not None
    assert (turned.value, turned.low, turned.high) == pytest.approx((-found.value, -found.high, -found.low))


def test_bounds_count_for_what_they_say() -> None:
    """A network whose count may be anything is as good as none: it moves nothing by much."""
    trait, sizes, counts, kin = _studied(np.random.default_rng(5), 1.0)
    known = partial_spearman(trait, sizes, counts, counts, kin.astype(str).tolist())
    open_ended = partial_spearman(
        [*trait, 99.0], [*sizes, 1.0], [*counts, 1.0], [*counts, math.inf], [*kin.astype(str), "new"]
    )
    assert known is not None
    assert open_ended is not None
    assert open_ended.value == pytest.approx(known.value, abs=0.1)


def test_too_few_families_or_nothing_that_varies_is_no_answer() -> None:
    trait, sizes, counts, kin = _studied(np.random.default_rng(0), 0.5)
    few = [str(number % (FEWEST - 1)) for number in kin]
    assert partial_spearman(trait, sizes, counts, counts, few) is None
    families = kin.astype(str).tolist()
    assert partial_spearman(np.ones(28), sizes, counts, counts, families) is None
    assert partial_spearman(trait, sizes, np.ones(28), np.ones(28), families) is None
    assert partial_spearman(np.full(28, np.nan), sizes, counts, counts, families) is None


def test_a_perfect_order_has_no_interval() -> None:
    """A trait that splits the counts does so without any one family, too: the jackknife has no width."""
    trait = np.array([1.0] * 6 + [0.0] * 4)
    lower, upper = np.where(trait == 1, 1.0, 9.0), np.where(trait == 1, 2.0, np.inf)
    sizes = np.array([3, 1, 2, 5, 4, 8, 6, 7, 9, 0.5])
    perfect = partial_spearman(trait, sizes, lower, upper, list("abcdefghij"))
    assert perfect is not None
    assert perfect.value == -1
    assert math.isnan(perfect.low)
    assert math.isnan(perfect.high)
    lower[0], upper[0] = 9.0, np.inf
    found = partial_spearman(trait, sizes, lower, upper, list("abcdefghij"))
    assert found is not None
    assert found.low < found.value < found.high
