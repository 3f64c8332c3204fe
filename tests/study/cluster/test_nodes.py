"""Machines of a cluster: who sees the study's folder, and runs the same versions."""

from __future__ import annotations

import gc
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
import torch

from sldd.errors import InputError
from study.cluster import nodes
from study.cluster.nodes import check_gpus, check_nodes, trial_nodes


@pytest.fixture(scope="module")
def machine() -> Iterator[None]:
    ray.init(
        address="local",
        num_cpus=1,
        num_gpus=1,
        include_dashboard=False,
        object_store_memory=100 * 2**20,
        log_to_driver=False,
    )
    yield
    ray.shutdown()
    with warnings.catch_warnings():  # Ray lets go of its processes without waiting for them
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


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


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU that PyTorch can use")
def test_a_gpu_that_pytorch_cannot_use_is_refused_with_the_way_out(machine: None) -> None:
    """Ray was told that there is one here."""
    version = re.escape(torch.__version__)
    with pytest.raises(InputError, match=rf"cannot use on \S+ \(torch {version}\); .* resources.gpus_per_trial=0"):
        check_gpus()


def test_a_gpu_that_pytorch_can_use_passes(machine: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ask, told = nodes.answers, []

    def usable(asked: dict[str, object]) -> tuple[dict[str, dict[str, object]], dict[str, str]]:
        found, silent = ask(asked)
        told.extend(found.values())
        return {name: answer | {"usable": True} for name, answer in found.items()}, silent

    monkeypatch.setattr(nodes, "answers", usable)
    check_gpus()
    assert [answer["torch"] for answer in told] == [torch.__version__], "the machine with a GPU was asked, once"


def test_trials_run_on_machines_that_are_alive_and_have_what_they_take(monkeypatch: pytest.MonkeyPatch) -> None:
    there = [{"Alive": True, "Resources": {kind: 1.0}} for kind in ("CPU", "GPU", "memory")]
    monkeypatch.setattr(nodes.ray, "nodes", lambda: [{"Alive": False, "Resources": {"CPU": 1.0}}, *there])
    assert trial_nodes() == there[:2]


def test_other_versions_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "_versions", lambda: dict.fromkeys(nodes.SAME_EVERYWHERE, "1.0"))
    there = dict.fromkeys(nodes.SAME_EVERYWHERE, "1.0") | {"torch": "0.9"}
    assert nodes._other_versions({"node-7": there}) == [
        "node-7 has torch 0.9, and this machine 1.0: results may differ"
    ]
