"""Files from strangers: whatever is in them, either a package comes out or one line of an InputError."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sldd.errors import InputError
from sldd.package import Package
from sldd.package.format.container import (
    MOST_BYTES,
    MOST_HEADER_BYTES,
    Container,
    digest,
    load_json,
    parse,
    read,
    to_bytes,
)
from sldd.package.format.image_encoding import stored
from sldd.package.format.package import from_container

TENSORS = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array([1, 2], np.uint8)}


def crafted(header: Any, body: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def entry(shape: Any = (2,), offsets: Any = (0, 8), dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def test_the_library_reads_what_is_written_and_the_other_way_round() -> None:
    ours = to_bytes(Container({"k": "v"}, TENSORS))
    assert {name: value.tolist() for name, value in safetensors.numpy.load(ours).items()} == {
        name: value.tolist() for name, value in TENSORS.items()
    }
    theirs = parse(safetensors.numpy.save(TENSORS, {"k": "v"}))
    assert theirs.metadata == {"k": "v"}
    assert {name: value.tolist() for name, value in theirs.tensors.items()} == {
        name: value.tolist() for name, value in TENSORS.items()
    }
    assert to_bytes(theirs) == ours, "the same content is the same file"


def test_the_digest_covers_names_types_shapes_and_values() -> None:
    found = {
        digest("f", "{}", tensors)
        for tensors in (
            TENSORS,
            {"a": TENSORS["a"], "c": TENSORS["b"]},
            {"a": TENSORS["a"].reshape(3, 2), "b": TENSORS["b"]},
            {"a": TENSORS["a"].view(np.uint8), "b": TENSORS["b"]},
            {"a": TENSORS["a"] + 1, "b": TENSORS["b"]},
        )
    }
    found |= {digest("g", "{}", TENSORS), digest("f", "[]", TENSORS)}
    assert len(found) == 7
    assert digest("f", "{}", dict(reversed(TENSORS.items()))) == digest("f", "{}", TENSORS)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "ends within its header"),
        (b"\xff" * 100, "its header would take"),
        (crafted(b"{}", b"")[:9], "ends within its header"),
        (crafted(b"[1]"), "not a JSON object"),
        (crafted(b"{nonsense}"), "not JSON"),
        (crafted(b"\xff\xfe{}"), "not JSON"),
        (crafted(b"[" * 100_000), "not JSON"),
        (crafted(b'{"a":1,"a":2}'), "has a name twice"),
        (crafted(b'{"a":NaN}'), "the number NaN"),
        (crafted(b'{"a":1e999}'), "too large"),
        (crafted(b'{"a":' + b"9" * 5000 + b"}"), "too large"),
        (crafted({"__metadata__": {"a": 1}}), "not text"),
        (crafted({"../a": entry()}, bytes(8)), "a name that no tensor has"),
        (crafted({"a": 5}), "not one of a tensor"),
        (crafted({"a": entry(dtype="BF16")}, bytes(8)), "of a type other than F32"),
        (crafted({"a": entry(dtype=["F32"])}, bytes(8)), "of a type other than F32"),
        (crafted({"a": entry(shape=(2, -1))}, bytes(8)), "shape or place"),
        (crafted({"a": entry(shape=(2, 0), offsets=(0, 0))}), "shape or place"),
        (crafted({"a": entry(shape=(True, 2))}, bytes(8)), "shape or place"),
        (crafted({"a": entry(shape=[1] * 9 + [2])}, bytes(8)), "shape or place"),
        (crafted({"a": entry(shape=(2**31, 2**31, 2**31))}, bytes(8)), "does not fit"),
        (crafted({"a": entry(offsets=(8, 0))}, bytes(8)), "does not fit"),
        (crafted({"a": entry(offsets=(4, 12))}, bytes(12)), "overlap or leave a gap"),
        (crafted({"a": entry(), "b": entry()}, bytes(8)), "overlap or leave a gap"),
        (crafted({"a": entry()}, bytes(7)), "ends within a"),
        (crafted({"a": entry()}, bytes(9)), "1 bytes of it belong to no tensor"),
        (crafted({f"t{n}": 0 for n in range(10_001)}), "10,001 tensors, and 10,000 are allowed"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(content: bytes, says: str) -> None:
    begun = time.perf_counter()
    with pytest.raises(InputError, match=says) as caught:
        parse(content)
    assert "\n" not in str(caught.value)
    assert time.perf_counter() - begun < 2


def test_a_file_larger_than_any_package_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(MOST_BYTES + 1)  # sparse: it takes no room
    with pytest.raises(InputError, match=r"2,147,483,649 bytes, and a package has 2,147,483,648 at most"):
        read(tmp_path / "huge")


def test_only_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(InputError, match=r"not a file|cannot be read"):
            read(path)
    with pytest.raises(InputError, match=r"missing: cannot be read \(No such file"):
        read(tmp_path / "missing")


def test_a_file_of_nothing_but_header_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(InputError, match=r"4,194,304 are allowed"):
        parse(crafted(b" " * (MOST_HEADER_BYTES + 1)))


def test_numbers_stand_for_themselves() -> None:
    assert load_json('{"a":[1,2.5,-3]}') == {"a": [1, 2.5, -3]}


def _opens_or_is_refused(content: bytes) -> bool:
    """Whether all that is done with a file before anything is rebuilt gives a package, or one line of an InputError."""
    try:
        package = from_container(parse(content))
    except InputError as error:
        return len(str(error).splitlines()) == 1
    return isinstance(package, Package) and bool(package.images.isfinite().all())


@pytest.fixture(scope="session")
def content(package: Package) -> bytes:
    return package.to_bytes()


@pytest.fixture(scope="session")
def content_of_8_bit(package: Package) -> bytes:
    received, cost = stored(package.images.numpy(), "uint8")
    return replace(package, images=torch.from_numpy(received), stored=cost).to_bytes()


@pytest.mark.parametrize(
    ("metadata", "more", "less", "says"),
    [
        ({}, {"films": np.zeros(3, np.float32)}, "", "it has a tensor films that no package has"),
        ({}, {}, "labels", "it has no labels"),
        ({"note": "of Jane Doe"}, {}, "", "its header is not one of this format"),
        ({"format": "sldd-package/6"}, {}, "", "its format is sldd-package/6, and what it says of itself is of sldd-p"),
    ],
)
def test_a_package_holds_what_packages_hold_and_nothing_else(
    content: bytes, metadata: dict[str, str], more: dict[str, np.ndarray], less: str, says: str
) -> None:
    container = parse(content)
    tensors = {name: value for name, value in container.tensors.items() if name != less} | more
    with pytest.raises(InputError, match=says):
        from_container(Container(container.metadata | metadata, tensors))


@settings(max_examples=300)
@given(data=st.data())
def test_cut_and_flipped_files(content: bytes, data: st.DataObject) -> None:
    broken = bytearray(content)
    header = 8 + int.from_bytes(content[:8], "little")
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.one_of(st.integers(0, header), st.integers(0, len(content) - 1)))
        broken[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))
    assert _opens_or_is_refused(bytes(broken[:cut]) + data.draw(st.binary(max_size=8)))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=200)
@given(data=st.data())
def test_crafted_facts(content: bytes, data: st.DataObject) -> None:
    """A header that is JSON, with a digest that holds, and anything in place of any of its values."""
    container = parse(content)
    facts = json.loads(container.metadata["facts"])
    places = [(facts, name) for name in facts]
    places += [(facts[group], name) for group in ("patches", "stored", "claims", "self_test") for name in facts[group]]
    for where, name in data.draw(st.lists(st.sampled_from(places), min_size=1, max_size=3)):
        where[name] = data.draw(_JSON)
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    metadata = {"format": container.metadata["format"], "facts": text}
    metadata["digest"] = digest(metadata["format"], text, container.tensors)
    assert _opens_or_is_refused(to_bytes(Container(metadata, container.tensors)))


@settings(max_examples=200)
@given(data=st.data())
def test_crafted_tensors(content: bytes, content_of_8_bit: bytes, data: st.DataObject) -> None:
    """Any tensor of another shape, type or value, or under another name."""
    container = parse(data.draw(st.sampled_from([content, content_of_8_bit])))
    tensors = dict(container.tensors)
    name = data.draw(st.sampled_from(sorted(tensors)))
    value = tensors.pop(name)
    match data.draw(st.sampled_from(["shape", "type", "value", "name", "gone"])):
        case "shape":
            shape = data.draw(st.lists(st.integers(1, 5), max_size=6))
            tensors[name] = np.ones(shape, np.float32)
        case "type":
            tensors[name] = value.astype(data.draw(st.sampled_from([np.float16, np.uint8])))
        case "value":
            bad = value.copy()
            values = st.integers(0, 255) if value.dtype == np.uint8 else st.floats(width=32)
            bad.flat[data.draw(st.integers(0, value.size - 1))] = data.draw(values)
            tensors[name] = bad
        case "name":
            tensors[data.draw(st.text("abz_/.", min_size=1, max_size=8))] = value
    assert _opens_or_is_refused(to_bytes(Container(container.metadata, tensors)))


@settings(max_examples=100)
@given(st.dictionaries(st.text(max_size=6), _JSON, max_size=3), st.binary(max_size=64))
def test_any_header(header: dict[str, Any], body: bytes) -> None:
    assert _opens_or_is_refused(crafted(json.dumps(header).encode(), body))
