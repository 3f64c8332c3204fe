from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from analysis.pictures import CLIPPED, STRETCHED, caption, draw, heading, main, write_pictures
from analysis.records.packages import Distilled, read_distilled
from analysis.records.records import read_study
from tests.analysis.conftest import Ledger, save_package
from tests.analysis.papers import TRAINING


def distilled(steps: int = 1, images: int = 3, side: int = 32) -> Distilled:
    rng = np.random.default_rng(3)
    labels = np.tile(np.eye(3)[np.arange(images) % 3], (steps, 1, 1)) + 0.1
    return Distilled(rng.normal(size=(steps, images, side, side)), labels, np.full((1, steps), 0.02))


def packed(ledger: Ledger, cell: str, images: int = 1) -> None:
    save_package(ledger.done(cell, 0) / "package.safetensors", np.random.default_rng(1), images)


@pytest.mark.parametrize(
    ("label", "lines"),
    [
        ([0.761, 0.125, 0.114], ["I: 76.1%", "N: 12.5%", "P: 11.4%"]),
        ([2.0, 2.0, 2.0], ["I: 33.4%", "N: 33.3%", "P: 33.3%"]),
        ([-1.0, 1.0, 3.0], ["I: 0.0% *", "N: 25.0%", "P: 75.0%"]),
        ([0.0, 1.0, 0.0], ["N"]),
        ([-0.1, 1.0, 0.0], ["I: 0.0% *", "N: 100.0%", "P: 0.0%"]),
        ([0.05, 0.9, 0.05], ["I: 5.0%", "N: 90.0%", "P: 5.0%"]),
        ([-1.0, 0.0, 0.0], ["no positive", "weight"]),
    ],
)
def test_captions(label, lines):
    assert caption(np.array(label)) == lines


@pytest.mark.parametrize(
    ("backbone", "rates", "ending"),
    [
        ("paper/resnet18", np.arange(9).reshape(3, 3) / 1000, "Arch: ResNet18, Step: 9, LR: 0.0040 (mean of 9)"),
        ("paper/resnet18/8", np.full((1, 1), 0.0618), "Arch: paper/resnet18/8, Step: 1, LR: 0.0618"),
        ("resnet18", np.full((1, 2, 10), 0.00002), "Arch: resnet18, Step: 2, LR: 2e-05 (mean of 20)"),
    ],
)
def test_headings(demo, backbone, rates, ending):
    assert heading(read_study(demo), backbone, rates) == f"Dataset: demo, {ending}"


def test_three_images_stand_in_a_row_enlarged_by_a_whole_number():
    shown = distilled(side=48)
    picture = np.asarray(draw("three", shown))
    assert picture.shape[1] == 2 * 28 + 3 * 192 + 2 * 24  # margins, four times 48, gaps
    bottom = picture.shape[0] - 20 - 18 - 24  # margin, one line of small print, gap
    film = picture[bottom - 192 : bottom, 28 : 28 + 192, 0]
    assert (film.reshape(48, 4, 48, 4) == film[::4, None, ::4, None]).all()
    assert (film[::4, ::4].argmin(), film[::4, ::4].argmax()) == (
        shown.images[0, 0].argmin(),
        shown.images[0, 0].argmax(),
    )
    assert (film.min(), film.max()) == (0, 255)


def test_many_images_wrap_and_steps_are_named():
    one, many = draw("t", distilled(images=6)), draw("t", distilled(images=7))
    assert many.width == one.width
    assert many.height > one.height + 224
    by_step = draw("t", distilled(steps=2, images=3))
    assert by_step.width == draw("t", distilled()).width
    assert by_step.height > draw("t", distilled()).height + 224


def test_a_long_heading_widens_the_picture_of_a_small_image():
    assert draw("a heading " * 10, distilled(images=1, side=8)).width > 600


def test_a_large_image_is_shown_pixel_by_pixel():
    assert draw("t", distilled(images=2, side=300)).width == 2 * 28 + 2 * 300 + 24


def test_every_confirmed_cell_gets_a_picture_the_same_every_time(demo, tmp_path, capsys):
    assert main([str(demo), "--out", str(tmp_path / "a")]) == 0
    out = capsys.readouterr()
    assert out.err == ""
    names = [Path(line).stem for line in out.out.splitlines()]
    assert names == [cell["cell"] for cell in read_study(demo).cells]
    assert sorted(path.stem for path in (tmp_path / "a").iterdir()) == sorted(names)
    again, _ = write_pictures(read_study(demo), tmp_path / "b", names[:1])
    assert again[0].read_bytes() == (tmp_path / "a" / again[0].name).read_bytes()
    with Image.open(again[0]) as picture:
        assert (picture.format, picture.mode) == ("PNG", "RGB")


def test_a_cell_is_shown_by_its_first_confirm_trial(ledger: Callable[..., Ledger]):
    written = ledger()
    cell = written.cell("net", 10, 1)
    packed(written, cell)
    later = written.done(cell, 1) / "package.safetensors"
    save_package(later, np.random.default_rng(2), 1)
    study = read_study(written.folder)
    shown = [write_pictures(study, written.folder / "two")[0][0].read_bytes()]
    later.unlink()
    shown.append(write_pictures(study, written.folder / "one")[0][0].read_bytes())
    assert shown[0] == shown[1]


def test_the_labels_of_a_package_add_up(demo):
    study = read_study(demo)
    for trial in study.records["trial"]:
        package = read_distilled(study.trial_folder(trial))
        assert package is not None
        for label in package.labels[0]:
            shares = [float(line.split()[1].rstrip("%")) for line in caption(label)]
            assert sum(shares) == pytest.approx(100)


def test_a_negative_weight_is_footnoted():
    clear, clipped = distilled(), distilled()
    clipped.labels[0, 0, 1] = -0.1
    assert draw("t", clipped).height > draw("t", clear).height
    assert CLIPPED.startswith("*")
    assert "its own darkest and brightest value" in STRETCHED


def test_cells_without_a_package_say_why(ledger: Callable[..., Ledger], capsys):
    reasons = {
        "random_real": "random_real leaves no package: its images are patients' own",
        "train": "ordinary training has no distilled images",
    }
    written = ledger(methods={name: {"label": name, "no_package": reason} for name, reason in reasons.items()})
    packed(written, written.cell("net", 10, 1, cell="good"))
    written.done(written.cell("net", 10, 1, cell="real", method="random_real"), 0)
    written.done(written.cell("net", 10, None, cell="trained", **TRAINING), 0)  # type: ignore[arg-type]
    written.done(written.cell("net", 10, 2, cell="lost"), 0)
    assert main([str(written.folder)]) == 0
    out = capsys.readouterr()
    assert out.out.split() == [str(written.folder / "pictures" / "good.png")]
    assert out.err.splitlines() == [
        "pictures: real: random_real leaves no package: its images are patients' own",
        "pictures: trained: ordinary training has no distilled images",
        "pictures: lost: no package that can be read in lost/0",
    ]
    written.cell("net", 10, 3, cell="waiting")
    assert main([str(written.folder), "--cell", "waiting"]) == 2
    assert capsys.readouterr().err == "pictures: waiting: no confirm trial is done\n"
    written.done(written.cell("net", 10, None, cell="staged", stage="nih", **TRAINING), 0)  # type: ignore[arg-type]
    assert main([str(written.folder), "--cell", "staged"]) == 2
    assert capsys.readouterr().err == "pictures: staged: ordinary training has no distilled images\n"


def test_a_study_without_packages_is_one_line_and_status_2(ledger: Callable[..., Ledger], capsys):
    written = ledger()
    assert main([str(written.folder)]) == 2
    assert capsys.readouterr().err == f"pictures: {written.folder}: no confirmed cell has a package\n"
    assert not (written.folder / "pictures").exists()


def test_a_wrong_cell_is_answered_with_the_nearest_names(demo, capsys):
    assert main([str(demo), "--cell", "test_convnet-m3"]) == 2
    out = capsys.readouterr()
    assert out.out == ""
    assert "no cell test_convnet-m3; the nearest are test_convnet-m3-one_hot-as_is-sldd-s1e1, " in out.err
    assert out.err.count("\n") == 1


def test_what_is_not_a_study_is_status_2(tmp_path, capsys):
    assert main([str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_help_has_examples(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["--help"])
    assert exit_.value.code == 0
    assert "python -m analysis.pictures results/demo" in capsys.readouterr().out


def test_every_fold_has_its_picture(ledger: Callable[..., Ledger], capsys):
    written = ledger(config={"confirm": {"folds": 2}})
    for cell in written.rotated("net", 10, 1, 2):
        packed(written, cell)
    assert main([str(written.folder), "--cell", cell]) == 0
    assert capsys.readouterr().out.split() == [str(written.folder / "pictures" / f"{cell}.png")]
    assert main([str(written.folder)]) == 0
    assert len(capsys.readouterr().out.split()) == 2


def test_a_store_that_nobody_knows_is_one_line_and_status_2(demo, capsys):
    assert main([str(demo), "--out", "foo://bucket/pictures"]) == 2
    out = capsys.readouterr()
    assert out.err.startswith("pictures: foo://bucket/pictures: ")
    assert out.err.count("\n") == 1
