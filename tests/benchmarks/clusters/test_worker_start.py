"""How long a worker takes to join: a head counts it, and what hosts cannot see is refused."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from benchmarks.clusters.hosts import MISSING, hosts
from benchmarks.clusters.worker_start import Cluster, Start, main


def test_a_line_adds_up_what_a_worker_waits_for() -> None:
    line = str(Start("image", {"pull": 100.2, "ray": 6.4}, 3_690_000_000))
    assert " ".join(line.split()) == "image 107 s (pull 100, ray 6); reads 3.69 GB"


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--wheels", str(tmp_path / "none"), "--image", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "none is no folder" in said or "missing" in said


@pytest.mark.slow
def test_a_head_counts_the_worker_that_joins(tmp_path: Path) -> None:
    if MISSING:
        words = f"no hosts were made: {', '.join(MISSING)} missing"
        pytest.fail(words) if os.environ.get("CI") else pytest.skip(words)
    with hosts(tmp_path, ["head", "worker"]) as (head, worker):
        cluster = Cluster(head)
        steps = {"waits": "sleep 0.5", "ray": f"{sys.prefix}/bin/{cluster.join}"}
        seconds = cluster.timed(worker, steps, 2)
        assert [*seconds] == ["waits", "ray"]
        assert 0.5 <= seconds["waits"] < seconds["ray"]
        with pytest.raises(RuntimeError, match="worker: bash"):
            cluster.timed(worker, {"fails": "false"}, 3)  # nobody waits for a third
