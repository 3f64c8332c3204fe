"""Format of numbers, counts, times and networks, on the page and in every figure."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis.records.records import Study

MISSING = ("", "None", "nan", "<NA>")  # how what is not known spells itself, be it pandas' or Python's


def protocol_mark(study: Study) -> str:
    """What stands behind every test score of a study that chose its states on test patients; empty otherwise."""
    return " (papers' protocol)" if study.config.get("protocol") == "paper" else ""


def images_word(count: int | None) -> str:
    """`1 image`, `3 images`; without any, the network was trained in the ordinary way."""
    if count is None or pd.isna(count):
        return "ordinary training"
    return f"{count} image{'' if count == 1 else 's'}"


def parameters_word(count: float) -> str:
    """A parameter count as people say it: `470 k`, `11.2 M`."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count:.0f}"


def number(value: float, digits: int = 3) -> str:
    """A measured number with fixed digits and thousands set apart; `n/a` where it is undefined."""
    return "n/a" if str(value) in MISSING else f"{value:,.{digits}f}"


def chosen_on(study: Study) -> str:
    """What is to be known of a score on validation patients; empty where the papers' protocol has none. Begins with a
    space."""
    return "" if protocol_mark(study) else study.task.chosen


def listed(words: Sequence[str], last: str = "and") -> str:
    """`one, two and three`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"


def duration(seconds: float) -> str:
    """``45 s``, ``12 min``, ``3.4 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def plural(count: int, one: str, many: str | None = None) -> str:
    """`1 image`, `3 images`; `many` where the plural takes more than an s."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def whole_percent(share: float) -> str:
    """A share of one, in whole percent: `71 %`."""
    return f"{100 * share:.0f} %"
