"""A study for TensorBoard, read back by TensorBoard."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.study.export.conftest import HISTORY, search, validation


@pytest.fixture
def events(run, tmp_path) -> Callable[[str], EventAccumulator]:
    logs = tmp_path / "logs"
    assert run("--tensorboard", logs) == [f"tensorboard: 5 runs new, 0 there before, in {logs}"]

    def read(run_name: str) -> EventAccumulator:
        found = EventAccumulator(str(logs / "ours" / run_name), size_guidance={"images": 0, "scalars": 0})
        return found.Reload()

    return read


def test_tensorboard_has_curves_by_outer_step_and_results(events):
    found = events("net-m2-one_hot-as_is-sldd-s1e1/0")
    curve = [(event.step, event.value) for event in found.Scalars("validation/hm")]
    assert curve == [(100, 0.5), (200, 0.75)]
    assert [event.step for event in found.Scalars("validation/patch_accuracy")] == [200]
    assert [event.value for event in found.Scalars("result/val_hm")] == [0.75]
    assert "result/test_hm" not in found.Tags()["scalars"]
    confirmed = events("net-m2-one_hot-as_is-sldd-s1e1/11")
    assert [(event.step, event.value) for event in confirmed.Scalars("result/test_hm")] == [(200, pytest.approx(0.85))]


def test_tensorboard_shows_distilled_images_under_their_labels(events, tmp_path):
    (image,) = events("net-m2-one_hot-as_is-sldd-s1e1/11").Images("distilled/images")
    (tmp_path / "image.png").write_bytes(image.encoded_image_string)
    with Image.open(tmp_path / "image.png") as picture:
        assert picture.size == (image.width, image.height)
        assert picture.size[0] > 2 * 224, "two images, enlarged, beside each other"
    assert events("net-m2-one_hot-as_is-sldd-s1e1/0").Tags()["images"] == []


def test_tensorboard_knows_the_parameters(events):
    from tensorboard.plugins.hparams.metadata import parse_session_start_info_plugin_data

    found = events("net-m2-one_hot-as_is-sldd-s1e1/11")
    content = found.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    given = parse_session_start_info_plugin_data(content).hparams
    assert given["backbone"].string_value == "net"
    assert given["outer_lr"].number_value == 0.02
    assert given["phase"].string_value == "confirm"


def test_tensorboard_writes_each_run_once(events, run, study, tmp_path):
    files = {path: path.read_bytes() for path in (tmp_path / "logs").rglob("*") if path.is_file()}
    search(study, "net-m2-one_hot-as_is-sldd-s1e1", 12)
    assert run("--tensorboard", tmp_path / "logs")[0].startswith("tensorboard: 1 runs new, 5 there before")
    assert {path: path.read_bytes() for path in files} == files
    assert not [path for path in (tmp_path / "logs").rglob("*") if path.name.startswith(".")]


def test_tensorboard_leaves_a_trial_that_failed_to_when_it_is_tried_again(run, study, tmp_path):
    trial = study.folder / "trials" / "net-m2-one_hot-as_is-sldd-s1e1" / "10"
    study.end(trial, status="failed", error="OSError: no", history=[])
    assert run("--tensorboard", tmp_path / "logs")[0].startswith("tensorboard: 5 runs new, 0 there before")
    study.end(trial, validation=validation(), history=HISTORY, attempt=2)
    assert run("--tensorboard", tmp_path / "logs")[0].startswith("tensorboard: 1 runs new, 5 there before")
