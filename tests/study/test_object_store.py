"""A study on an object store: the same ledger, against a server on loopback that speaks S3."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import torch

from analysis.records.records import MEASURED, read_study
from ledger.ledger import Ledger
from ledger.storage import Folder, StorageError, create_whole, open_folder, reachable, write_whole
from ledger.trial_folder import ReplacedError, TrialFolder
from sldd.errors import InputError
from study.export.__main__ import main as export
from study.run import main
from study.status import _age
from tests.analysis.conftest import write_demo
from tests.conftest import OpenLedger
from tests.study.command import TINY, without_ray

s3fs = pytest.importorskip("s3fs", reason="pip install 's3fs'")
server = pytest.importorskip("moto.server", reason="pip install 'moto[server]'")
CONFIG = {"phase": "search", "seed": 0}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Folder:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    s3fs.S3FileSystem.clear_instance_cache()  # of clients of another server
    bucket = open_folder(f"s3://studies-{abs(hash(request.node.name)) % 10**8}")
    bucket.fs.mkdir(bucket.path)  # type: ignore[union-attr]
    return bucket


def test_of_two_writers_one_creates(bucket: Folder) -> None:
    assert create_whole(bucket / "result.json", "first")
    assert not create_whole(bucket / "result.json", "second")
    assert (bucket / "result.json").read_text() == "first"


def test_ledger_resumes_and_keeps_out_replaced_workers(bucket: Folder, open_ledger: OpenLedger) -> None:
    ledger = open_ledger(bucket / "out" / "study")
    trial = ledger.begin(ledger.add("cell", dict(CONFIG)))
    old = TrialFolder(trial.folder, trial.config["owner"])
    for step in (5, 10, 15):
        old.save_checkpoint(step, {"step": torch.tensor(step)})
    new = TrialFolder(trial.folder, trial.config["owner"])
    with pytest.raises(ReplacedError):
        old.save_checkpoint(20, {"step": torch.tensor(20)})
    saved = new.load_checkpoint(torch.device("cpu"))
    assert saved is not None
    assert saved["step"] == 15
    new.finish({"status": "done"})
    done = ledger.begin(ledger.add("cell", {**CONFIG, "phase": "confirm"}))
    TrialFolder(done.folder, done.config["owner"]).finish({"status": "done"})
    ledger.supersede(done)
    again = open_ledger(bucket / "out" / "study")
    assert [(trial.index, trial.status) for trial in again.trials["cell"]] == [(0, "done")]
    assert len(list((bucket / "out" / "study").glob("superseded/cell/*/result.json"))) == 1


def test_a_study_is_exported_from_there(bucket: Folder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    local = write_demo(tmp_path / "demo")
    for path in local.rglob("*"):
        if path.is_file():
            write_whole(bucket / "demo" / path.relative_to(local).as_posix(), path.read_bytes())
    database, logs = f"sqlite:///{tmp_path}/study.db", tmp_path / "logs"
    assert export([str(bucket / "demo"), "--optuna", database, "--tensorboard", str(logs)]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[0].startswith("optuna: 9 trials new, 0 changed, in 9 studies")
    assert said.out.splitlines()[1].startswith("tensorboard: 27 runs new")
    assert said.err == ""
    assert export([str(local), "--optuna", database, "--tensorboard", str(logs)]) == 0
    assert "0 trials new, 0 changed" in capsys.readouterr().out, "the same study, wherever its files lie"


def test_second_driver_is_refused(bucket: Folder, open_ledger: OpenLedger) -> None:
    open_ledger(bucket / "study")
    with pytest.raises(ValueError, match="is being run by process"):
        Ledger(bucket / "study").hold()
    renewed = _age(bucket / "study" / ".lock")
    assert renewed is not None
    assert renewed < 60, "what study.status goes by on another machine"


def test_bucket_that_is_not_there_is_told_in_one_line(bucket: Folder) -> None:
    with pytest.raises(InputError, match=r"cannot write to s3://elsewhere/study .*bucket does not exist"):
        Ledger(open_folder("s3://elsewhere/study")).hold()


def test_store_out_of_reach_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(StorageError, match=r"s3://bucket/study: Could not connect to the endpoint"):
        reachable(open_folder("s3://bucket/study"))


@pytest.mark.slow
def test_a_study_on_a_store_is_that_on_a_disk(bucket: Folder, tmp_path: Path) -> None:
    settings = [*TINY, "grid.images=2", "outer.steps=10", "resources.concurrent=1"]
    assert main([*settings, "--out", str(bucket / "out")]) == 0
    with without_ray():
        assert main([*settings, "--out", str(tmp_path)]) == 0
    on_store, on_disk = (read_study(where / "tiny") for where in (bucket / "out", tmp_path))
    pd.testing.assert_frame_equal(on_store.records.drop(columns=MEASURED), on_disk.records.drop(columns=MEASURED))
    assert (bucket / "out" / "tiny" / "dashboard.html").read_text().startswith("<!")
    results = [bucket / "out/tiny/trials" / trial / "result.json" for trial in on_store.records["trial"]]
    before = [path.read_bytes() for path in results]
    assert len(before) == 3
    with without_ray():
        assert main([*settings, "--out", str(bucket / "out")]) == 0
    assert [path.read_bytes() for path in results] == before, "nothing is left to run"
