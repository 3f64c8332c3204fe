"""What whole curves of HM against images show about parameters, and what a design can show at all, in plain English.

Plain text; whoever puts it on a page escapes it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from analysis.design.planned import CORRELATION
from analysis.design.power import power, unrelated
from analysis.design.simulation import Design
from analysis.records.records import Study, score_word
from analysis.records.rule import Rule
from analysis.stats.dose_response import LEVEL, Relation, curves, lose_nothing, relations, smallest_p
from analysis.stats.ranks.block_orders import all_orders, block_orders
from analysis.stats.ranks.rank_tests import SIGNIFICANT
from analysis.text.words import listed, plural, whole_percent

MORE_SEEDS, MORE_PATIENTS, MORE_NETWORKS = 5, 200, (12, 20)
WITHIN = "larger ones of a family do, and over all families larger ones do not"
NOTHING = (
    "No distilled images are to be run at counts that networks of known size share: nothing can be said about image "
    "counts and parameters."
)


def curves_verdict(study: Study) -> str:
    """What whole curves show about parameters, series by series; empty where there is nothing to compare."""
    said: dict[str, list[str]] = {}
    rows, rule, score = curves(study), Rule.of(study.config), score_word(study.records)
    out = rows.loc[lose_nothing(study, rows), "backbone"].astype(str).unique().tolist()
    why = f"whose ordinary training has {score} under {rule.floor + rule.margin:.2f}: there is nothing to lose"
    left = f" Left out: {listed(out)}, {why}." if out else ""
    for series, found in relations(study).items():
        if found.correlation is not None:
            said.setdefault(_related(found, score), []).append(series)
    words = [f"With {'; '.join(alike)}: {words}" if any(alike) else words for words, alike in said.items()]
    return " ".join(words) + left * bool(words)


def _related(found: Relation, score: str) -> str:
    if found.correlation is None or found.p is None or found.smallest_p is None or found.slope is None:
        return ""
    of = "" if found.families == found.networks else f" of {plural(found.families, 'family', 'families')}"
    counts = ", ".join(map(str, found.counts))
    over = f"By the whole curves of {plural(found.networks, 'network')}{of} (images: {counts})"
    what = f"fall further under the {score} of their own ordinary training"
    if found.measure != LEVEL:
        what = "gain more from more images"
    if found.smallest_p > SIGNIFICANT:
        return f"{over} nothing can show that larger ones {what}: in perfect order p would be {found.smallest_p:.2g}."
    shown = "it is shown" if found.grows else "it is not shown"
    within = "" if found.grows or found.p > SIGNIFICANT else f". But {WITHIN}"
    return (
        f"{over} {shown} that larger ones {what}: Spearman's {found.correlation:+.2f}, one-sided p = {found.p:.2g}"
        f"{'' if found.families in (1, found.networks) else ', families kept together'}; "
        f"{found.slope:+.2f} logits a tenfold of parameters{_interval(found)}{within}."
    )


def _interval(found: Relation) -> str:
    if np.isinf(found.low) and np.isinf(found.high):
        return ""
    return f" (90 % interval {_end(found.low)} to {_end(found.high)})"


def _end(value: float) -> str:
    """On the right side of zero, however near."""
    return "any" if np.isinf(value) else f"{value:+.2f}" if abs(value) >= 0.005 else f"{value:+.1g}"


def reach(design: Design | None, measured: bool = False, score: str = "HM") -> list[str]:
    """What a study of this design (`analysis.design.planned`) can and cannot show about parameters.

    Args:
        score: what cells are compared by, in words.
        measured: whether what its seeds differ by was measured, and is not taken from other studies.
    """
    if design is None:
        return [NOTHING]
    lines = [_possible(design), *_likely(design, measured, score)]
    if design.seeds < 2:
        lines.append("One confirm seed does not show how far seeds differ: no interval, and no count shown to suffice.")
    return lines


def _possible(design: Design) -> str:
    families, sizes = len(set(design.kinds)), design.parameters or ()
    of = f" of {plural(families, 'family', 'families')}" if families < design.networks else ""
    networks = f"{plural(design.networks, 'network')}{of}"
    if len(set(sizes)) < 2:
        why = ", all of one size," if design.networks > 1 else ""
        return f"{networks}{why} can show nothing about growth with parameters."
    rarest = smallest_p(sizes, design.kinds)
    together = "" if all_orders(design.kinds) else ", families kept together,"
    if rarest > SIGNIFICANT:
        return (
            f"{networks} can show nothing about growth with parameters at the 5 % level: even in perfect "
            f"order{together} p is {rarest:.2g}."
        )
    alone = f", of the family {design.kinds[0]} alone" if families == 1 else ""
    at_most = "" if block_orders(design.kinds)[1] else "at most "
    least = f"in perfect order{together} p is {at_most}{rarest:.2g}"
    if 2 * rarest > SIGNIFICANT:  # the next best order has at least that p
        least += f", in any other above {SIGNIFICANT:g}"
    return f"{networks} can show growth with parameters{alone}: {least}."


def _likely(design: Design, measured: bool, score: str) -> list[str]:
    """Power of the design, and of what would raise it; of what would be needed where it can show nothing."""
    steady = replace(design, seeds=max(MORE_SEEDS, design.seeds), patients=max(MORE_PATIENTS, design.patients))
    differ = "differ" if measured else "are taken to differ"
    spread = f"{differ} by {design.seed_spread:.2g} {score}" if design.seed_spread >= 0.005 else "hardly differ"
    run = f"simulated: {plural(design.seeds, 'seed')}, {design.patients} test patients; seeds {spread}"
    networks = {n: unrelated(design, n) for n in MORE_NETWORKS if n > design.networks}
    if len(set(design.parameters or ())) < 2 or smallest_p(design.parameters or (), design.kinds) > SIGNIFICANT:
        chances = [
            f"in {whole_percent(power(each).level)} of studies of {n} networks of different families"
            for n, each in networks.items()
        ]
        shown = f"A true correlation of {CORRELATION:g} with log parameters would be shown"
        return [f"{shown} {listed(chances)} ({run})."] if chances else []
    found = power(design)
    more = {
        f"with {steady.seeds} seeds and {steady.patients} patients": steady,
        "with these and seeds half as far apart": replace(steady, seed_spread=steady.seed_spread / 2),
        **{f"with {n} networks of different families": each for n, each in networks.items()},
    }
    others = ", ".join(f"{whole_percent(power(each).level)} {words}" for words, each in more.items() if each != design)
    return [
        f"A true correlation of {CORRELATION:g} with log parameters is shown in {whole_percent(found.level)} of such "
        f"studies by whole curves against ordinary training, in {whole_percent(found.steepness)} without that, in "
        f"{whole_percent(found.counts)} by the smallest counts of the papers' rule ({run}). "
        f"By whole curves it would be {others}."
    ]
