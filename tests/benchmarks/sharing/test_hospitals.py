"""One cohort as several hospitals: who is where, what their films look like, and a run that resumes."""

from __future__ import annotations

import csv
import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.sharing.divide import Device, HospitalSource, divide
from benchmarks.sharing.hospitals import main
from sldd.errors import InputError
from sldd.sources.phantom import PhantomSettings, PhantomSource

LABELS = [number % 2 for number in range(80)]


@pytest.mark.parametrize("shift", ["even", "prevalence", "exposure", "device"])
def test_every_patient_is_in_one_place(shift: str) -> None:
    divided = divide(LABELS, 4, shift)
    everybody = [*itertools.chain(*divided.train, *divided.validation), *divided.test]
    assert sorted(everybody) == list(range(80))
    assert divided.test == divide(LABELS, 2, "even").test
    other = divide(LABELS, 4, shift, seed=1)
    assert other.test == divided.test
    assert {patient: other.devices[patient] for patient in other.test} == {
        patient: divided.devices[patient] for patient in divided.test
    }
    assert other.train != divided.train
    shares = [np.mean([LABELS[patient] for patient in divided.train[number]]) for number in range(4)]
    devices = [{divided.devices[patient] for patient in divided.train[number]} for number in range(4)]
    if shift == "prevalence":
        assert shares == sorted(shares)
        assert shares[-1] - shares[0] > 0.4
    else:
        assert max(shares) - min(shares) < 0.1
    assert [*map(len, devices)] == [1] * 4
    different = 4 if shift in ("exposure", "device") else 1
    assert len(set.union(*devices)) == different
    assert len({divided.devices[patient] for patient in divided.test}) == different


def test_too_many_hospitals_are_refused() -> None:
    with pytest.raises(InputError, match="20 hospitals"):
        divide(LABELS, 20, "even")


def test_films_are_exposed_by_their_hospital() -> None:
    source = PhantomSource(PhantomSettings(4, 64, 0))
    hospital = HospitalSource(source, {1: ("train", Device(0.5)), 3: ("test", Device())})
    assert [(film.patient, film.label, film.split) for film in hospital.films] == [(0, 1, "train"), (1, 1, "test")]
    before, mask = source.read(1)
    after, same = hospital.read(0)
    assert same is not None
    assert np.array_equal(mask, same)
    assert after.mean() > before.mean()
    assert np.array_equal(hospital.read(1)[0], source.read(3)[0])
    assert hospital.fingerprint() != HospitalSource(source, dict.fromkeys((1, 3), ("test", Device()))).fingerprint()
    random = np.random.default_rng(0)
    assert Device(0.5).take(np.array([0, 16384, 65535], np.uint16), random).tolist() == [0, 32768, 65535]


def test_a_device_blurs_and_adds_noise_alike_in_every_cohort() -> None:
    source = PhantomSource(PhantomSettings(4, 64, 0))

    def taken(device: Device, beside: int) -> np.ndarray:
        parts = {1: ("train", device), beside: ("test", Device())}
        return HospitalSource(source, parts).read(int(beside < 1))[0].astype(float)

    def grain(pixels: np.ndarray) -> float:
        return float(np.abs(np.diff(pixels)).mean())

    plain = taken(Device(), 0)
    assert grain(taken(Device(blur=0.02), 0)) < 0.7 * grain(plain) < 0.4 * grain(taken(Device(noise=0.1), 0))
    np.testing.assert_array_equal(taken(Device(noise=0.1), 0), taken(Device(noise=0.1), 3))


def test_a_run_resumes_and_makes_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, small = tmp_path / "runs.jsonl", (
        "--patients 16 --film 96 --size 24 --stride 12 --score-stride 24 --input 16 --backbone lenet --norm none "
        f"--steps 4 --batch 6 --distill-steps 2 --hospitals 2 --shifts exposure --cache {tmp_path}/cache"
    )  # fmt: skip
    command = ["--out", str(out), *small.split()]
    assert main([*command, "--seeds", "1"]) == 0
    (row,) = map(json.loads, out.read_text().splitlines())
    arms = {
        "pooled",
        "matched",
        "relay",
        "votes",
        "sequence",
        "reversed",
        "shrunk",
        "beside",
        "interleaved",
        "average",
        "measured",
    }
    assert row["scores"].keys() == arms
    assert {len(scores) for scores in [*row["scores"].values(), *row["alone"]]} == {len(row["labels"])} == {6}
    assert main([*command, "--seeds", "1"]) == 0
    assert len(out.read_text().splitlines()) == 1
    assert main(["--out", str(out), "--table", str(tmp_path / "table.csv")]) == 0
    with (tmp_path / "table.csv").open(newline="") as file:
        lines = {line["arm"]: line for line in csv.DictReader(file)}
    assert lines.keys() == arms | {"alone"}
    assert lines["pooled"]["over pooled"] == lines["alone"]["over alone"] == ""
    assert main([*command, "--hospitals", "9"]) == 2
    assert "9 hospitals" in capsys.readouterr().err
    assert main([*command, "--steps", "5"]) == 2
    assert "holds runs of other settings (steps 4 there, 5 here); choose another --out" in capsys.readouterr().err
    assert len(out.read_text().splitlines()) == 1
