"""YAML that stands for more than it looks like is refused at once."""

from __future__ import annotations

import time

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ledger import safe_yaml

NESTED = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc"), inner, max_size=4),
)


@given(NESTED)
def test_what_was_written_is_read(tree: object) -> None:
    assert safe_yaml.load(yaml.safe_dump(tree)) == tree


def test_aliases_that_are_few_are_read() -> None:
    shared = [1, 2]
    assert safe_yaml.load(yaml.safe_dump({"a": shared, "b": shared})) == {"a": [1, 2], "b": [1, 2]}


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join(['*' + before] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "text",
    [
        BOMB,
        BOMB.replace("[x,x,x,x,x,x,x,x,x]", "{x: 1}").replace("[*", "{<<: [*").replace("]\n", "]}\n"),
        "a: &a [*a]",
        "[" * 100 + "]" * 100,
        "[" * 100_000,
        "{a: " * 5_000,
        "a: " + "1" * 6_000,
        "a: !!int x",
        "a: 2020-99-99",
        "a: !!timestamp x",
        "a: !!bool x",
        "a: !!python/object/apply:os.system ['true']",
        "? {a: b}\n: c",
    ],
)
def test_it_is_refused_and_soon(text: str) -> None:
    started = time.process_time()
    with pytest.raises(yaml.YAMLError):
        safe_yaml.load(text)
    assert time.process_time() - started < 2
