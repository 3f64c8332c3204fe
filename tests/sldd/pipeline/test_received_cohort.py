"""A receiver's cohort has to be read as the maker's was, where another reading gives other pixels."""

from __future__ import annotations

from pathlib import Path

import pytest

import sldd
from sldd.package.format.header import Header
from sldd.pipeline.received_cohort import check_films
from tests.sldd.package.conftest import make
from tests.sldd.pipeline.conftest import banded


@pytest.mark.parametrize(
    ("here", "there", "alike"),
    [(64, 32, True), (64, None, True), (32, 32, True), (24, 48, True), (16, 48, False), (512, 16, True)],
)
def test_films_kept_at_other_sizes_are_refused(tmp_path: Path, here: int, there: int | None, alike: bool) -> None:
    images, classes = banded(12)  # 16 x 16
    cohort = sldd.open_cohort(images, classes, film_size=here, cache=tmp_path)
    package: Header = make(film_size=there)
    if alike:
        check_films(package, cohort)
    else:
        with pytest.raises(sldd.InputError, match=rf"data\.film_size is {here}, and the package's {there}; open it"):
            check_films(package, cohort)
