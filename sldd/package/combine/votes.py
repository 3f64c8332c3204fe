"""Ensembles: the patch votes of several packages' networks, added patient by patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sldd.metrics.patient_votes import Votes
from sldd.package.apply.films import FilmFile
from sldd.package.apply.scoring import Scored, Unread, counted


def added(parts: Sequence[Scored]) -> Scored:
    """Scores of the same patients by several networks as those of an ensemble, whatever their order.

    A radiograph that one of them could not take has no vote of the others either: its patient would be scored by fewer.

    Raises:
        InputError: each radiograph is one that some network could not take.
    """
    if len(parts) == 1:
        return parts[0]
    every = [each for part in parts for each in part.unread]
    unread: dict[FilmFile, Unread] = {}
    for each in sorted(every, key=lambda each: (each.patient, each.words)):
        unread.setdefault(each.film, each)  # one reason is enough: the same whatever the order of the networks
    cast: dict[FilmFile, tuple[FilmFile, int, np.ndarray]] = {}
    for part in parts:
        for film, row, votes in part.cast:
            if film not in unread:
                cast[film] = film, row, votes + cast[film][2] if film in cast else votes
    remarks = sorted({remark for part in parts for remark in part.remarks})
    seconds = sum(part.seconds for part in parts)
    return counted([*cast.values()], parts[0].votes.labels, seconds, [*unread.values()], remarks)


def add_votes(parts: Sequence[Votes]) -> Votes:
    """Votes of the same patients, added."""
    first = parts[0]
    assert all(part.patients == first.patients for part in parts)
    return replace(
        first,
        counts=sum((part.counts for part in parts[1:]), first.counts),
        confusion=sum((part.confusion for part in parts[1:]), first.confusion),
    )
