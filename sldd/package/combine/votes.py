"""Ensembles: the patch votes of several packages' networks, added patient by patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sldd.metrics.patient_votes import Votes
from sldd.package.apply.scoring import Scored


def added(parts: Sequence[Scored]) -> Scored:
    """Scores of the same patients by several networks as those of an ensemble; remarks are the first network's."""
    return replace(
        parts[0], votes=add_votes([part.votes for part in parts]), seconds=sum(part.seconds for part in parts)
    )


def add_votes(parts: Sequence[Votes]) -> Votes:
    """Votes of the same patients, added."""
    first = parts[0]
    assert all(part.patients == first.patients for part in parts)
    return replace(
        first,
        counts=sum((part.counts for part in parts[1:]), first.counts),
        confusion=sum((part.confusion for part in parts[1:]), first.confusion),
    )
