"""How often the intervals of a page's leads hold the truth: partial rank correlations in simulated studies of networks.

    python -m benchmarks.leads                  # 400 studies a row; about a minute
    python -m benchmarks.leads --studies 50

Each study has 28 networks of 19 families. A trait goes along with the size, and the smallest count with both, by the
strength of the row; a share of what networks differ by is their family's. The truth is the same formula over 200,000
networks of different families. Beside the project's interval stands Fisher's own, which knows no families.
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
STRENGTHS, SHARES = (0.0, 0.5, 1.0), (0.0, 0.5, 0.8)
_Z = 1.959963984540054


def networks(
    sizes: list[int], strength: float, share: float, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(networks,) trait, parameters, smallest count and family."""
    kin = np.repeat(np.arange(len(sizes)), sizes)

    def mixed() -> np.ndarray:
        own, kins = random.standard_normal(len(kin)), random.standard_normal(len(sizes))[kin]
        return math.sqrt(share) * kins + math.sqrt(1 - share) * own

    size = mixed()
    trait = 0.5 * size + math.sqrt(0.75) * mixed()
    count = np.clip(np.round(2 ** (1 + 0.5 * size + strength * trait + mixed())), 1, 9)
    return trait, np.exp(size), count, kin


def truth(strength: float) -> float:
    """The partial correlation itself."""
    trait, size, count, _ = networks([1] * 200_000, strength, 0.0, np.random.default_rng(1))
    (_, xz, xy), (_, _, zy), _ = np.corrcoef([rankdata(each) for each in (trait, size, count)])
    return float((xy - xz * zy) / math.sqrt((1 - xz**2) * (1 - zy**2)))


def coverage(strength: float, share: float, studies: int) -> tuple[float, float]:
    """How often the project's interval, and Fisher's, hold the truth."""
    random, real, held = np.random.default_rng(0), truth(strength), [0, 0]
    for _ in range(studies):
        trait, size, count, kin = networks(FAMILIES, strength, share, random)
        found = partial_spearman(trait, size, count, count, kin.astype(str).tolist())
        assert found is not None
        reach = _Z * math.sqrt(1.06 / (len(kin) - 4))
        held[0] += found.low <= real <= found.high
        held[1] += abs(math.atanh(found.value) - math.atanh(real)) <= reach
    return held[0] / studies, held[1] / studies


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
