"""Coverage of the intervals of a page's leads: partial rank correlations in simulated studies of networks.

    python -m benchmarks.leads                  # 400 studies a row; about a minute
    python -m benchmarks.leads --studies 50

Each study has 28 networks of 19 families. A network has a trait, which goes along with its size, and a smallest count
of images, which goes along with its size and, by the strength of the row, with its trait. A share of the variance
between networks is their family's. The truth is the same partial correlation over 200,000 networks of different
families. Beside the project's interval stands Fisher's own, which knows no families.
"""

from __future__ import annotations

import argparse
import math
import sys

import numpy as np
from scipy.stats import rankdata

from analysis.stats.ranks.partial import partial_spearman
from benchmarks.measure import one_thread

FAMILIES = [1] * 13 + [2] * 4 + [3, 4]
"""Networks of each family."""
STRENGTHS, SHARES = (0.0, 0.5, 1.0), (0.0, 0.5, 0.8)
"""Slopes of log2 of the count over the trait, and shares of the variance that are the family's."""
_Z = 1.959963984540054
"""97.5 % quantile of the normal distribution."""


def networks(
    sizes: list[int], strength: float, share: float, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(networks,) trait, parameters, smallest count and family of simulated networks.

    Args:
        sizes: networks of each family.
        strength, share: of ``STRENGTHS`` and ``SHARES``.
    """
    kin = np.repeat(np.arange(len(sizes)), sizes)

    def standard_normal() -> np.ndarray:
        """(networks,) of variance 1, of which ``share`` is the family's."""
        own, families = random.standard_normal(len(kin)), random.standard_normal(len(sizes))[kin]
        return math.sqrt(share) * families + math.sqrt(1 - share) * own

    size = standard_normal()
    trait = 0.5 * size + math.sqrt(0.75) * standard_normal()  # of variance 1, too
    count = np.clip(np.round(2 ** (1 + 0.5 * size + strength * trait + standard_normal())), 1, 9)
    return trait, np.exp(size), count, kin


def truth(strength: float) -> float:
    """Partial rank correlation of trait (x) and count (y) given size (z), in 200,000 unrelated networks:
    (r_xy - r_xz r_zy) / sqrt((1 - r_xz^2) (1 - r_zy^2))."""
    trait, size, count, _ = networks([1] * 200_000, strength, 0.0, np.random.default_rng(1))
    correlations = np.corrcoef([rankdata(each) for each in (trait, size, count)])
    xz, xy, zy = correlations[0, 1], correlations[0, 2], correlations[1, 2]
    return float((xy - xz * zy) / math.sqrt((1 - xz**2) * (1 - zy**2)))


def coverage(strength: float, share: float, studies: int) -> tuple[float, float]:
    """Share of studies in which the project's interval, and Fisher's, hold the truth.

    Fisher's is atanh r +- z sqrt(1.06 / (n - 4)): 1.06 / (n - 3) for rank correlations (Fieller, Hartley & Pearson
    1957), less one for the size that is held fixed.
    """
    random, true = np.random.default_rng(0), truth(strength)
    ours = fishers = 0
    for _ in range(studies):
        trait, size, count, kin = networks(FAMILIES, strength, share, random)
        found = partial_spearman(trait, size, count, count, kin.astype(str).tolist())
        assert found is not None
        half = _Z * math.sqrt(1.06 / (len(kin) - 4))
        ours += found.low <= true <= found.high
        fishers += abs(math.atanh(found.value) - math.atanh(true)) <= half
    return ours / studies, fishers / studies


def main(arguments: list[str] | None = None) -> int:
    """``python -m benchmarks.leads``."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.leads", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--studies", type=int, default=400, help="a row; default 400")
    options = parser.parse_args(arguments)
    if options.studies < 1:
        parser.error("--studies: at least 1")
    one_thread()
    print("strength  family's share  held  by Fisher's")
    for strength in STRENGTHS:
        for share in SHARES:
            held, fisher = coverage(strength, share, options.studies)
            print(f"{strength:8.1f}  {share:14.1f}  {held:.3f}  {fisher:11.3f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
