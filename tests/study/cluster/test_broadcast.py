"""A cohort and files of weights reach a machine once."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sldd.data.cohort import Cohort, prepare
from sldd.data.settings import DataSettings, open_source
from sldd.errors import InputError
from sldd.sources.phantom import PhantomSettings
from study.cluster import broadcast as sharing
from study.cluster.broadcast import fetch_cohort, fetch_file, share
from study.config.loader import load
from study.doctor.machine import Examiner
from study.trial.context import CollectionContext, TrialContext, patient_pseudonyms, trial_data, weights_file
from tests.sldd.finding_cohort import finding_cohort


@pytest.fixture(autouse=True)
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[np.ndarray]]:
    """Stands in for Ray's object store; tests/cluster has the real one."""
    objects: list[np.ndarray] = []
    monkeypatch.setattr(sharing.ray, "put", lambda value: objects.append(value) or len(objects) - 1)
    monkeypatch.setattr(sharing.ray, "get", lambda reference: objects[reference])
    return objects


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    data = DataSettings(source="phantom", phantom=PhantomSettings(patients=8, size=64))
    return prepare(open_source(data), tmp_path_factory.mktemp("driver"))


def test_a_cohort_reaches_a_machine_once(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: list[np.ndarray]
) -> None:
    monkeypatch.setattr(sharing, "_PIECE", 1000)  # several pieces, the last a short one
    shared = share([cohort], []).cohorts[cohort.fingerprint]
    fetched = fetch_cohort(shared, tmp_path / "cache")
    assert fetched == replace(cohort, folder=tmp_path / "cache" / cohort.folder.name)
    for film in range(len(cohort.shapes)):
        np.testing.assert_array_equal(fetched.pixels(film), cohort.pixels(film))
        np.testing.assert_array_equal(fetched.mask(film), cohort.mask(film))
    assert (tmp_path / "cache").stat().st_mode & 0o077 == 0, "films are patients' data"
    store.clear()
    assert fetch_cohort(shared, tmp_path / "cache") == fetched, "the second trial asks for nothing"


def test_of_trials_that_ask_at_once_one_fetches_and_the_other_waits(tmp_path: Path) -> None:
    begun, go_on, filled = threading.Event(), threading.Event(), []

    def fill(folder: Path) -> None:
        filled.append(folder)
        begun.set()
        assert go_on.wait(60)
        (folder / "pixels.bin").touch()

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(sharing._filled_once, "films", tmp_path, fill)
        assert begun.wait(60)
        second = pool.submit(sharing._filled_once, "films", tmp_path, fill)
        with pytest.raises(TimeoutError):
            second.result(0.2)
        go_on.set()
        assert first.result() == second.result() == tmp_path / "films"
    assert len(filled) == 1


def test_films_with_findings_have_no_masks_to_share(tmp_path: Path) -> None:
    root = tmp_path / "films"
    root.mkdir()
    np.savez(root / "some.npz", **{  # type: ignore[arg-type]
        f"{part}_{what}": np.arange(2 * size, dtype=np.uint8).reshape(shape) % 2
        for part in ("train", "val", "test")
        for what, size, shape in (("images", 256, (2, 16, 16)), ("labels", 3, (2, 3)))
    })  # fmt: skip
    cohort = prepare(open_source(DataSettings(source="medmnist", root=str(root))), tmp_path / "driver")
    fetched = fetch_cohort(share([cohort], []).cohorts[cohort.fingerprint], tmp_path / "cache")
    np.testing.assert_array_equal(fetched.film_labels, cohort.film_labels)
    np.testing.assert_array_equal(fetched.pixels(3), cohort.pixels(3))
    assert fetched.mask(3) is None


def test_files_keep_their_names_and_are_told_apart_by_content(cohort: Cohort, tmp_path: Path) -> None:
    paths = []
    for site, content in (("a", b"first"), ("b", b"second")):
        (tmp_path / site).mkdir()
        paths.append(tmp_path / site / "start.safetensors")
        paths[-1].write_bytes(content)
    shared = share([cohort], map(str, paths)).files
    fetched = [fetch_file(shared[str(path)], tmp_path / "cache") for path in paths]
    assert [path.name for path in fetched] == ["start.safetensors"] * 2
    assert [path.read_bytes() for path in fetched] == [b"first", b"second"]


def test_a_file_that_a_machine_has_is_taken_where_it_is_the_drivers(cohort: Cohort, tmp_path: Path) -> None:
    path = tmp_path / "start.safetensors"
    path.write_bytes(b"the driver's")
    shared = share([], [str(path)])
    config = load("demo", [f"data.cache={tmp_path / 'cache'}"])
    context = TrialContext(config, cohort.folder, cohort.fingerprint, [], tmp_path / ".stop", shared)
    assert weights_file(context, str(path)) == str(path)
    path.write_bytes(b"this machine's own")
    assert Path(weights_file(context, str(path))).read_bytes() == b"the driver's"
    path.unlink()
    assert Path(weights_file(context, str(path))).read_bytes() == b"the driver's"
    assert weights_file(context, "xavier") == "xavier"


def test_a_cache_at_home_is_each_machines_own(cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    start = tmp_path / "start.safetensors"
    start.write_bytes(b"the driver's")
    shared = share([cohort], [str(start)])
    start.unlink()
    gone = tmp_path / "only on the driver's machine"
    small = ["patches={size: 16, stride: 8, input_size: 32}", "data.split={validation: 0.25, test: 0.25}"]
    config = load("demo", ["data.cache=~/films", *small])
    context = TrialContext(config, gone, cohort.fingerprint, [], tmp_path / ".stop", shared)
    assert Path(weights_file(context, str(start))).parents[1] == tmp_path / "home" / "films"
    assert trial_data(context, None).cohort.folder == tmp_path / "home" / "films" / cohort.folder.name
    Examiner(gpu=False, threads=1).forget(config.data, cohort.folder.name)
    assert not (tmp_path / "home" / "films" / cohort.folder.name).exists()


def test_what_fails_on_the_way_leaves_nothing(cohort: Cohort, tmp_path: Path, store: list[np.ndarray]) -> None:
    shared = share([cohort], []).cohorts[cohort.fingerprint]
    lost = store.pop()
    with pytest.raises(IndexError):
        fetch_cohort(shared, tmp_path / "cache")
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [f".{cohort.folder.name}.lock"]
    store.append(lost)
    assert fetch_cohort(shared, tmp_path / "cache").fingerprint == cohort.fingerprint


def test_no_room_for_the_cohort_is_told_in_one_line(cohort: Cohort, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"data.cache: .* cannot keep the cohort in .*file"):
        fetch_cohort(share([cohort], []).cohorts[cohort.fingerprint], tmp_path / "file")


def test_a_trial_elsewhere_finds_every_collection_by_its_fingerprint(tmp_path: Path) -> None:
    labels = [[float(film % 2), float(film % 3 == 0), 0.0] for film in range(24)]
    cohorts = {}
    for name in ("own", "nih", "chexpert"):
        kept = finding_cohort(tmp_path / name, labels, [film // 2 for film in range(24)])
        (kept.folder / "masks.bin").touch()
        (kept.folder / "pixels.bin").write_bytes(bytes([len(cohorts)]) * (24 * 256))
        cohorts[name] = replace(kept, fingerprint=name)
    shared = share(cohorts.values(), [])
    settings = [
        "grid.backbone=test_resnet",
        "grid.images=1",
        "patches.input_size=16",
        f"data.cache={tmp_path / 'cache'}",
    ]
    config = load("demo", ["task=multilabel", *settings])
    for name in cohorts:
        shutil.rmtree(tmp_path / name)
    collections = {
        name: CollectionContext(DataSettings(), cohort.folder, cohort.fingerprint, [f"P-{name}"] * cohort.patients)
        for name, cohort in cohorts.items()
        if name != "own"
    }
    own = cohorts["own"]
    context = TrialContext(config, own.folder, own.fingerprint, ["P-own"] * 12, tmp_path / ".stop", shared, collections)
    for stage, number in ((None, 0), ("nih", 1), ("chexpert", 2)):
        assert trial_data(context, None, stage).cohort.pixels(0)[0, 0] == number
    both = trial_data(context, None, "nih+chexpert")
    assert both.cohort.patients == 24
    assert both.size == 2 * len(both.split.train)
    assert patient_pseudonyms(context, "nih+chexpert") == ["P-nih"] * 12 + ["P-chexpert"] * 12
    assert patient_pseudonyms(context, None) == ["P-own"] * 12
