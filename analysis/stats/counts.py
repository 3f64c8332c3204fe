"""Which image counts to run: the papers' rule on means, and the search for the smallest count that suffices.

Plain Python over plain numbers: the study calls this while it runs, the page when it is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def suffices(hm: float, best: float, margin: float) -> bool:
    """Whether `hm` is within `margin` of the best HM of its backbone, or of that of ordinary training."""
    # The published HMs have three decimals; a difference of exactly the margin must not fall to rounding.
    return hm >= best - margin - 1e-9


def smallest_sufficient(hms: Mapping[int, float], margin: float, floor: float) -> int | None:
    """The papers' rule: the smallest image count whose HM (the mapping's value) is within `margin` of the best.

    None where the best is under `floor` (ours: a network that never works has no minimum) or there is no HM at all.
    """
    best = max(hms.values(), default=None)
    if best is None or best < floor:
        return None
    return min(count for count, hm in hms.items() if suffices(hm, best, margin))


def rule_bracket(hms: Mapping[int, float], margin: float, floor: float) -> tuple[int, int | None]:
    """Bounds of the smallest image count by the papers' rule: `smallest_sufficient` of those that were tried, and one
    above the next smaller of these, since counts between the two may do. Where none suffices (None), one above all."""
    found = smallest_sufficient(hms, margin, floor)
    return max((count for count in hms if found is None or count < found), default=0) + 1, found


def next_count(
    hms: Mapping[int, float | None],
    candidates: Sequence[int],
    margin: float,
    floor: float,
    trained: float | None = None,
) -> int | None:
    """Which of `candidates` to run next, to find the smallest sufficient image count without running them all.

    First the largest candidate: the reference for "best", where there is no ordinary training (`trained`). Then a
    gallop from the smallest (the 1st, 2nd, 4th, 8th ... candidate) until one is within `margin` of ordinary training,
    or else of the best HM known so far; then halving between the largest count known to be insufficient and the
    smallest known to suffice, until nothing lies between them. That finds what the full grid would wherever HM does not
    fall as images are added, and asks for about 2 log2(n) of n candidates. Where HM does fall somewhere, what it finds
    suffices, but a smaller count may too.

    Args:
        hms: mean test HM of the counts that are confirmed; None for a count that was refused or failed for good.
            Such a count is no reference, and is passed over like any that is not among the candidates.
        trained: mean test HM of ordinary training; None where there is none: then the papers' rule is searched by.
        candidates: image counts, in any order.

    Returns:
        A candidate that is not in `hms`, or None where there is nothing left to ask: the smallest sufficient count is
        bracketed, no candidate runs, or the largest and all other confirmed counts are under `floor` or fall short of
        ordinary training, so that nothing suffices as far as is known.
    """
    usable = sorted({count for count in candidates if hms.get(count, 0.0) is not None})
    if not usable or usable[-1] not in hms:
        return usable[-1] if usable else None
    known = {count: hm for count in usable if (hm := hms.get(count)) is not None}
    if max(known.values()) < floor:
        return None
    best = max(known.values()) if trained is None else trained
    enough = [place for place, count in enumerate(usable) if count in known and suffices(known[count], best, margin)]
    if not enough:
        return None
    good = min(enough)  # places in `usable`; all that is known below does not suffice
    bad = max((place for place in range(good) if usable[place] in known), default=-1)
    place = 1
    while place - 1 <= bad:
        place *= 2
    if place - 1 < good:
        return usable[place - 1]
    return usable[(bad + good) // 2] if good - bad > 1 else None
