"""Machines of a cluster: who sees the study's folder, and a cohort that reaches a machine once."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import ray

from sldd.cohort import Cohort, prepare
from sldd.data import DataSettings, open_source
from sldd.errors import InputError
from sldd.sources.phantom import PhantomSettings
from study import nodes
from study.nodes import SharedCohort, check_nodes, fetch_cohort, share_cohort


@pytest.fixture(scope="module")
def machine() -> Iterator[None]:
    ray.init(address="local", num_cpus=1, include_dashboard=False, object_store_memory=100 * 2**20, log_to_driver=False)
    yield
    ray.shutdown()
    with warnings.catch_warnings():  # Ray lets go of its processes without waiting for them
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    data = DataSettings(source="phantom", phantom=PhantomSettings(patients=8, size=64))
    return prepare(open_source(data), tmp_path_factory.mktemp("driver"))


def test_a_machine_that_sees_the_folder_passes_and_nothing_is_left(machine: None, tmp_path: Path) -> None:
    assert check_nodes(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_machine_that_does_not_is_named_with_the_way_out(
    machine: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = str(tmp_path / "elsewhere" / "probe")
    ask = nodes._ask
    monkeypatch.setattr(nodes, "_ask", lambda node, ours, token, theirs: ask(node, elsewhere, token, theirs))
    with pytest.raises(InputError, match=r"1 of 1 machines do not see .* \(there is none\); name a folder that all"):
        check_nodes(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_a_machine_writes_has_to_appear_here(
    machine: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "study").mkdir()
    ask = nodes._ask
    monkeypatch.setattr(
        nodes, "_ask", lambda node, ours, token, theirs: ask(node, ours, token, str(tmp_path / "its own"))
    )
    with pytest.raises(InputError, match="what it writes there does not appear here"):
        check_nodes(tmp_path / "study")


def test_other_versions_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "_versions", lambda: dict.fromkeys(nodes.SAME_EVERYWHERE, "1.0"))
    there = dict.fromkeys(nodes.SAME_EVERYWHERE, "1.0") | {"torch": "0.9"}
    assert nodes._other_versions({"node-7": there}) == [
        "node-7 has torch 0.9, and this machine 1.0: results may differ"
    ]


def test_a_cohort_reaches_a_machine_once(
    machine: None, cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodes, "_PIECE", 1000)  # several pieces, the last a short one
    shared = share_cohort(cohort)
    assert len(shared.pieces["pixels.bin"]) > 2
    fetched = fetch_cohort(shared, tmp_path / "cache")
    assert fetched.folder == tmp_path / "cache" / cohort.folder.name
    assert fetched.fingerprint == cohort.fingerprint
    for film in range(len(cohort.shapes)):
        np.testing.assert_array_equal(fetched.pixels(film), cohort.pixels(film))
        np.testing.assert_array_equal(fetched.mask(film), cohort.mask(film))
    again = fetch_cohort(SharedCohort(shared.name, shared.index, {"pixels.bin": ["not asked for"]}), tmp_path / "cache")
    assert again == fetched


def test_no_room_for_the_cohort_is_told_in_one_line(machine: None, cohort: Cohort, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"data.cache: .* cannot keep the cohort in .*file"):
        fetch_cohort(share_cohort(cohort), tmp_path / "file")
