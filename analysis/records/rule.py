"""Rule by which an image count suffices: the settings ``minimum`` of a study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any

from annotated_types import Ge, Gt, Lt
from pydantic import TypeAdapter


@dataclass(frozen=True)
class Rule:
    """Margin, level and floor of a sufficient image count."""

    margin: Annotated[float, Ge(0), Lt(1)] = 0.10
    """How far the HM may be under the best of the backbone; 0.10 gives Table 6 of Li et al. (2022) from its Table 5."""
    level: Annotated[float, Gt(0.5), Lt(1)] = 0.95
    """Confidence of every bound."""
    floor: Annotated[float, Ge(0), Lt(1)] = 0.5
    """A backbone whose best mean HM is under this has no minimum: it is the HM of calling patients at random."""
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
        return TypeAdapter(cls).validate_python(known)
