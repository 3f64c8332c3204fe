"""What evaluators hand over to be compared."""

from __future__ import annotations

from sldd.metrics.evaluators import rounded
from sldd.metrics.patient_votes import harmonic_mean


def test_equal_scores_leave_it_to_the_next() -> None:
    """HM 0.4 of 20 patients, by other calls, differs in the last digit."""
    one, other = harmonic_mean(0.3, 0.6), harmonic_mean(0.4, 0.4)
    assert one != other
    assert rounded((one, 0.9, 0.1)) > rounded((other, 0.6, 0.1))
    assert rounded((one + 1e-9, 0.1, 0.1)) > rounded((other, 0.6, 0.1)), "small differences are differences"
