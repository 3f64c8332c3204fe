"""Parts of one collection share no patient and lose none."""

from __future__ import annotations

import numpy as np
import pytest

from sldd.data.settings import DataSettings, open_source
from sldd.errors import InputError
from sldd.sources.phantom import PhantomSettings, PhantomSource
from sldd.sources.subset import PartOfPatients


def test_parts_are_disjoint_and_whole() -> None:
    whole = PhantomSource(PhantomSettings(patients=10, size=64))
    parts = [PartOfPatients(whole, f"{number}/3") for number in (1, 2, 3)]
    identifiers = [name for part in parts for name in part.patient_ids]
    assert sorted(identifiers) == sorted(whole.patient_ids)
    assert [len(part.patient_ids) for part in parts] == [4, 3, 3]
    in_turns = [whole.patient_ids[number::3] for number in range(3)]
    assert not any(list(part.patient_ids) in in_turns for part in parts), "by chance, and not as identifiers are given"
    assert len({part.fingerprint() for part in parts} | {whole.fingerprint()}) == 4
    for part in parts:
        assert part.patient_ids == sorted(part.patient_ids)
        for number, film in enumerate(part.films):
            theirs = whole.patient_ids.index(part.patient_ids[film.patient])
            assert film.label == whole.films[theirs].label
            np.testing.assert_array_equal(part.read(number)[0], whole.read(theirs)[0])


@pytest.mark.parametrize("part", ["0/3", "4/3", "1", "a/b", "1/0", "", "-1/3"])
def test_no_such_part(part: str) -> None:
    with pytest.raises(InputError, match=r"data.part: .* is no part such as 1/3"):
        open_source(DataSettings(phantom=PhantomSettings(patients=4, size=64), part=part))


def test_nobody_is_in_it() -> None:
    with pytest.raises(InputError, match="4 patients make no 9 parts"):
        open_source(DataSettings(phantom=PhantomSettings(patients=4, size=64), part="9/9"))
