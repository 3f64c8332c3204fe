"""Rule by which an image count suffices: the settings ``minimum`` of a study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Annotated, Any

from annotated_types import Ge, Gt, Lt
from pydantic import TypeAdapter


@dataclass(frozen=True)
class Rule:
    """Margin, target, level and floor of a sufficient image count."""

    margin: Annotated[float, Ge(0), Lt(1)] = 0.10
    """How far the HM may be under that of ordinary training of the same network. By the papers' rule, under the best of
    the network's own counts: 0.10 gives Table 6 of Li et al. (2022) from its Table 5."""
    target: Annotated[float, Gt(0), Lt(1)] = 0.80
    """The HM (of films with findings the AUC, of classes the balanced accuracy) to reach in the second view, whatever
    ordinary training has."""
    level: Annotated[float, Gt(0.5), Lt(1)] = 0.95
    """Confidence of every interval."""
    floor: Annotated[float, Ge(0), Lt(1)] = 0.5
    """The HM of calling patients at random (the balanced accuracy of K classes is then 1 / K). What is not shown to be
    above it, by the lower end of its interval, does not suffice; by the papers' rule it is held against the best
    mean."""
    resamples: Annotated[int, Ge(100)] = 2000
    """Bootstrap resamples."""

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Rule:
        """The rule of a study's resolved configuration; defaults for what it does not say.

        Raises:
            ValueError: what it says is no number, or out of range.
        """
        settings = config.get("minimum")
        settings = settings if isinstance(settings, dict) else {}
        known = {each.name: settings[each.name] for each in fields(cls) if settings.get(each.name) is not None}
        return _checked().validate_python(known)


@lru_cache(maxsize=1)  # it takes long to build, and a page asks for its rule many times
def _checked() -> TypeAdapter[Rule]:
    return TypeAdapter(Rule)
