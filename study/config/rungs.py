"""Rungs of successive halving, as steps of a cell's outer loop."""

from __future__ import annotations

from sldd.errors import InputError
from sldd.training.outer_settings import OuterSettings
from study.config.pruners import PRUNERS
from study.config.search_settings import SearchSettings


def rung_steps(settings: SearchSettings, outer: OuterSettings) -> tuple[int, ...]:
    """Steps at which search trials wait for each other: the first evaluation at or after each rung; none where the
    study's pruner has no rungs.

    Raises:
        InputError: a rung has no evaluation before the last one, or none of its own; or the search is to last for so
            many core seconds, whose trials cannot be counted before they go on from a rung.
    """
    if not PRUNERS[settings.pruner].rungs:
        return ()
    if settings.core_seconds is not None:
        raise InputError(f"search.core_seconds: does not go with pruner {settings.pruner}; give search.trials alone")
    *evaluated, last = outer.evaluated_at
    found: list[int] = []
    for rung in settings.rungs:
        wanted = rung * last if rung < 1 else rung
        step = next((step for step in evaluated if step >= wanted), None)
        if step is None or (found and step <= found[-1]):
            lacks = "" if step is None else " of its own, after that of the rung before,"
            raise InputError(
                f"search.rungs: {rung:g} has no evaluation{lacks} before the last of {last:,} steps "
                f"(outer.evaluations={outer.evaluations}); choose other rungs, or more evaluations"
            )
        found.append(step)
    return tuple(found)
