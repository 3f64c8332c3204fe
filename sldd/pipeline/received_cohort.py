"""Whether a receiver's cohort was read as the maker of a package read theirs."""

from __future__ import annotations

from sldd.data.cohort import Cohort
from sldd.errors import InputError
from sldd.package.format.header import Header


def check_films(package: Header, cohort: Cohort) -> None:
    """Raise an InputError where films have other channels or depth, are another slice, or were kept at other sizes."""
    if cohort.channels != package.channels or cohort.depth != package.depth:
        raise InputError(
            f"cohort: films of {cohort.depth} bit and {cohort.channels} channels, and the package was made for "
            f"{package.depth} bit and {package.channels}; convert them as its maker did"
        )
    if None not in (cohort.slice, package.slice) and cohort.slice != package.slice:
        raise InputError(f"cohort: data.slice is {cohort.slice}, and the package's {package.slice}; open it with that")
    here, there = cohort.film_size, package.film_size
    if here is None or there is None or here == there:
        return
    largest = max(max(shape) for shape in cohort.shapes)
    if largest > there or largest == here:  # films that the maker had scaled down, or that were scaled down further
        raise InputError(f"cohort: data.film_size is {here}, and the package's {there}; open it with that")
