"""Readers of tables, settings and ledgers, with seeds made on the spot."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image

from analysis.anonymity import FORMAT, MEASURES, REPORT, read_report, sentences
from analysis.dashboard import write_dashboard
from analysis.records import NotAStudyError, read_study, write_records
from analysis.tables import cell_table
from benchmarks.fuzz.guard import Inputs, Reader
from benchmarks.fuzz.mutations import Random, deep_json, pick, spoil, spoil_table, spoil_tree, to_json
from benchmarks.page import write_study
from sldd.errors import InputError
from sldd.package.films import find_patients, read_film
from sldd.sources.chexpert import CheXpertSettings, read_chexpert
from sldd.sources.films import LabelledFilms
from sldd.sources.folder import FolderSource
from sldd.sources.hospital import HospitalSettings, read_hospital
from sldd.sources.nih import NihSettings, read_nih
from study.config import load, parse
from study.ledger import Ledger
from study.status import describe, read_status
from study.trial_folder import TrialFolder

Prepared = tuple[Callable[[Random], Inputs], Callable[[], object]]


def _lay_films(folder: Path, names: list[str]) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(folder / name)
    os.mkfifo(folder / "pipe.png")  # whoever opens it waits for ever


def _manifest(folder: Path) -> Prepared:
    _lay_films(folder, [f"images/{number}.png" for number in range(4)])
    lines = [f"p{number},images/{number}.png,images/{number}.png,{number % 2},train" for number in range(4)]
    text = "\n".join(["patient_id,image,mask,label,split", *lines])
    (folder / "manifest.csv").write_text(text)

    def read() -> None:
        source = FolderSource(folder)
        source.fingerprint()
        for film in range(len(source.films)):
            source.read(film)

    return lambda random: {"manifest.csv": spoil_table(text, random)}, read


def _received(folder: Path) -> Prepared:
    """A folder of films from elsewhere, links that lead out of it among them, when there is no manifest too."""
    _lay_films(folder, [f"images/{number}.png" for number in range(4)])
    (folder / "link").symlink_to("../outside")
    text = "\n".join(
        ["patient_id,image,label", *(f"p{number},images/{number}.png,{number % 2}" for number in range(4))]
    )
    (folder / "manifest.csv").write_text(text)
    (folder / "pipe.png").unlink()
    (folder / "other").mkdir()
    (folder / "other" / "link.png").symlink_to("../../outside/secret.png")

    def read() -> None:
        for where in (folder, folder / "manifest.csv"):
            for patient in find_patients(where):
                for film in patient.films:
                    read_film(film)

    def make(random: Random) -> Inputs:
        return {"manifest.csv": None if random.random() < 0.01 else spoil_table(text, random)}

    return make, read


def _read_films(source: LabelledFilms) -> None:
    source.fingerprint()
    for film in range(len(source.films)):
        source.read(film)


def _nih(folder: Path) -> Prepared:
    _lay_films(folder, [f"images/{number}.png" for number in range(3)])
    lines = ["0.png,Cardiomegaly|Effusion,1", "1.png,No Finding,2", "2.png,Hernia,3"]
    text = "\n".join(["Image Index,Finding Labels,Patient ID", *lines])
    (folder / "Data_Entry_2017.csv").write_text(text)
    (folder / "pipe.png").unlink()

    def read() -> None:
        _read_films(read_nih(folder, NihSettings(), 16))

    return lambda random: {"Data_Entry_2017.csv": spoil_table(text, random)}, read


def _chexpert(folder: Path) -> Prepared:
    films = [f"train/patient{number:05}/study1/view1_frontal.png" for number in range(3)]
    _lay_films(folder, films)
    header = "Path,Frontal/Lateral,Atelectasis,Cardiomegaly,Consolidation,Edema,Pleural Effusion"
    text = "\n".join([header, *(f"CheXpert-v1.0/{film},Frontal,1.0,,0.0,-1.0,1.0" for film in films)])
    (folder / "train.csv").write_text(text)

    def read() -> None:
        _read_films(read_chexpert(folder, CheXpertSettings(), 16))

    return lambda random: {"train.csv": spoil_table(text, random)}, read


def _hospital(folder: Path) -> Prepared:
    _lay_films(folder, [f"images/{number}.png" for number in range(3)])
    table = "\n".join(
        ["patient_id,image,findings", "p0,images/0.png,heart|lung", "p1,images/1.png,", "p2,images/2.png,lung"]
    )
    (folder / "labels.csv").write_text(table)
    mapping = {"heart": "Heart", "lung": "Chest", "bone": None}
    (folder / "mapping.yaml").write_text(yaml.safe_dump(mapping))

    def make(random: Random) -> Inputs:
        if random.random() < 0.5:
            return {"labels.csv": spoil_table(table, random)}
        return {"mapping.yaml": _spoil_yaml(mapping, random)}

    def read() -> None:
        _read_films(read_hospital(folder, HospitalSettings(mapping="mapping.yaml"), 16))

    return make, read


_BOMBS = (
    "a: &a [x,x,x,x,x,x,x,x,x]\n"
    + "".join(f"{n}: &{n} [{','.join(['*' + p] * 9)}]\n" for p, n in zip("abcdefgh", "bcdefghi", strict=True))
    + "name: *i\n",
    "a: &a {x: 1}\n"
    + "".join(f"{n}: &{n} {{<<: [{','.join(['*' + p] * 9)}]}}\n" for p, n in zip("abcdefgh", "bcdefghi", strict=True)),
    "a: &a [*a]\n",
    "grid: &g\n  images: *g\n",
    "[" * 3_000 + "]" * 3_000,
    "[" * 100_000,
    "{a: " * 3_000,
    "- " * 3_000 + "x",
    "? " * 2_000 + "x",
    "name: " + "1" * 6_000,
    "name: !!int abc",
    "name: 2020-99-99",
    "name: !!timestamp x",
    "name: !!bool x",
    "name: !!float x",
    "name: !!binary =",
    "name: !!python/object/apply:os.system ['true']",
    "name: !!set {a, b}",
    "name: !!omap [a]",
    "? [a, b]\n: c",
    "? {a: b}\n: c",
    "1: 2\ntrue: 3\nnull: 4\n2020-01-01: 5",
    "=: x",
    "<<: x",
    "name: 1:60:60:60:60",
    "--- a\n--- b",
    "%YAML 9.9\n---\na: b",
    "base: demo\ngrid: [demo, demo]",
    "base: study.yaml",
    "grid: study.yaml",
    "base: /dev/zero",
    "base: pipe.yaml",
    "name: a\x00b",
    "&" * 5_000,
    "!" * 5_000,
    "a" * 100_000,
    "x: " + "'" * 50_001,
    "grid: {images: [1" + "0" * 5_000 + "]}",
)


def _spoil_yaml(tree: Any, random: Random) -> bytes:
    what = random.random()
    if what < 0.15:
        text = pick(random, _BOMBS)
        return spoil(text.encode(), random) if random.random() < 0.3 else text.encode()
    if what < 0.4:
        return spoil(yaml.safe_dump(tree).encode(), random)
    return _dumped(spoil_tree(tree, random)).encode("utf-8", "surrogatepass")


def _dumped(tree: Any) -> str:
    """YAML, or JSON (which is YAML) where PyYAML does not write what a tree has become."""
    try:
        return str(yaml.safe_dump(tree, allow_unicode=True))
    except Exception:
        return json.dumps(tree)


def _config(folder: Path) -> Prepared:
    tree = {
        "name": "ours",
        "base": "demo",
        "grid": [{"backbone": ["lenet"], "images": [1, 2], "method": ["sldd"]}],
        "data": {"source": "folder", "root": "$HOME/x", "split": {"seed": 1}},
        "search": {"trials": 3},
        "confirm": {"repeats": 2},
        "outer": {"steps": 10},
        "patches": {"size": 32, "stride": 16},
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(tree))
    os.mkfifo(folder / "pipe.yaml")
    overrides: list[str] = []

    def make(random: Random) -> Inputs:
        overrides.clear()
        if random.random() < 0.2:
            key = pick(random, ("grid.images", "data.root", "name", "a.b.c", "", "grid", "data", "search.trials", ".."))
            overrides.append(key + pick(random, ("=", "")) + pick(random, _BOMBS)[:2_000])
            return {}
        return {"study.yaml": _spoil_yaml(tree, random)}

    def read() -> object:
        try:
            return load(str(folder / "study.yaml"), overrides)
        finally:
            overrides.clear()

    return make, read


def _found() -> dict[str, Any]:
    return {
        "auc": 0.5, "auc_low": 0.4, "auc_high": 0.6, "p": 0.6, "tpr": 0.05, "tpr_low": 0.0, "tpr_high": 0.15,
        "false_alarms": 0, "training": 20, "held_out": 20,
    }  # fmt: skip


def _subject() -> dict[str, Any]:
    near = {
        "training": 0.41, "held_out": 0.4, "effect": _found(), "highest": 0.45, "unseen": 0.6, "unseen_highest": 0.8,
        "beyond": 0, "copies": 0, "copy_p": 0.5,
    }  # fmt: skip
    tied = {
        "images": 3, "chance": 0.5, "first": 2, "first_p": 0.4, "few": 0.53, "few_p": 0.4, "tied": 0, "tied_p": 0.5,
        "matched": 3,
    }  # fmt: skip
    return {"nearest": dict.fromkeys(MEASURES, near), "reidentification": dict.fromkeys(MEASURES, tied)}


def _report() -> dict[str, Any]:
    references = {"kind": "halves", "number": 8, "each": 4}
    return {
        "format": FORMAT, "trial": "n/7", "cell": "n", "package": "00", "settings": {}, "images": 3,
        "patients": {"training": 20, "held_out": 20}, "patches": {"training": 1234, "held_out": 1200},
        "divided": "random", "protocol": "validation",
        "membership": {"raw": _found(), "calibrated": _found(), "references": references},
        "theta_bn": {"found": _found(), "pools": [{"patients": 2, "auc": 0.97, "tpr": 0.9}]},
        "controls": {"real": _subject(), "noise": _subject()}, **_subject(),
    }  # fmt: skip


def _write_ledger(folder: Path) -> tuple[Path, Callable[[Random], Inputs]]:
    """A study of two cells and twenty trials, and what spoils one of its files."""
    study = folder / "study"
    write_study(study, 20)
    confirmed = sorted((study / "trials").rglob("package.safetensors"))
    (confirmed[0].parent / REPORT).write_text(json.dumps(_report()))
    name = str(confirmed[0].parent.relative_to(study))
    lock = {"token": "00", "process": os.getpid(), "since": 0.0, "host": "elsewhere", "renewals": 3}
    (study / ".lock").write_text(json.dumps(lock))
    described = yaml.safe_load((study / "study.yaml").read_text())
    described |= {
        "config": {
            "grid": [{"backbone": ["lenet"], "images": [1, 2]}],
            "search": {"trials": 7},
            "confirm": {"repeats": 3, "folds": None},
            "minimum": {"margin": 0.05},
        },
        "provenance": {"versions": {"torch": "2.9.0"}, "cohort": {"patients": 60, "splits": {"train": 24}}},
        "command": "python -m study.run demo",
    }
    (study / "study.yaml").write_text(yaml.safe_dump(described))
    contents = {
        file: (study / file).read_bytes()
        for file in (f"{name}/{each}" for each in ("config.json", "result.json", REPORT))
    }
    contents[".lock"] = (study / ".lock").read_bytes()
    trees = {file: json.loads(content) for file, content in contents.items()}
    package = confirmed[0].read_bytes()

    def make(random: Random) -> Inputs:
        what = random.random()
        if what < 0.2:
            return {"study/study.yaml": _spoil_yaml(described, random)}
        if what < 0.25:
            return {f"study/{name}/package.safetensors": spoil(package, random)}
        file = pick(random, sorted(contents))
        if what < 0.3:
            return {f"study/{file}": deep_json(random)}
        if what < 0.45:
            return {f"study/{file}": spoil(contents[file], random)}
        return {f"study/{file}": to_json(spoil_tree(trees[file], random))}

    return study, make


def _ledger(folder: Path) -> Prepared:
    """What reads a study's records: the driver, the tables, the reports, and its status."""
    path, make = _write_ledger(folder)

    def read() -> None:
        study = read_study(path)
        write_records(path)
        for trial in study.records["trial"]:
            report = read_report(study.trial_folder(str(trial)))
            if report is not None:
                sentences(report)
        describe(read_status(str(path)))
        ledger = Ledger(path)
        header = ledger.header()
        ledger._scan()
        if header is not None:
            parse(header["config"] | {"name": "x"} if isinstance(header["config"], dict) else header["config"])

    return make, read


def _page(folder: Path) -> Prepared:
    path, make = _write_ledger(folder)
    return make, lambda: (write_dashboard(path), cell_table(read_study(path)))


def _checkpoint(folder: Path) -> Prepared:
    (folder / "checkpoint").mkdir()
    (folder / "config.json").write_text(json.dumps({"owner": "us"}))
    state = {"step": 7, "images": torch.zeros(3, 8, 8), "history": [{"loss": 1.0}]}
    seeds = []
    for compressed in (True, False):
        file = io.BytesIO()
        torch.save(state, file, _use_new_zipfile_serialization=compressed)
        seeds.append(file.getvalue())
    worker = {"worker": "w", "host": "h", "step": 7, "lost": 1, "errors": 1, "error": "x", "ended": False}
    (folder / "worker.json").write_text(json.dumps(worker))
    (folder / "checkpoint" / "000000007.pt").write_bytes(seeds[0])

    def make(random: Random) -> Inputs:
        if random.random() < 0.3:
            return {"worker.json": to_json(spoil_tree(worker, random))}
        return {"checkpoint/000000007.pt": spoil(pick(random, seeds), random)}

    def read() -> None:
        trial = TrialFolder(folder, "us")
        trial.load_checkpoint(torch.device("cpu"))
        (folder / "worker.json").write_text(json.dumps(worker))

    return make, read


READERS = [
    Reader("manifest", _manifest, (InputError,), share=6, enclosed=True),
    Reader("received", _received, (InputError,), share=6, enclosed=True),
    Reader("nih", _nih, (InputError,), share=3, enclosed=True),
    Reader("chexpert", _chexpert, (InputError,), share=3, enclosed=True),
    Reader("hospital", _hospital, (InputError,), share=5, enclosed=True),
    Reader("config", _config, (InputError,), share=6),
    Reader("checkpoint", _checkpoint, (InputError,), share=4, enclosed=True),
    Reader("ledger", _ledger, (InputError, NotAStudyError), share=5),
    Reader("page", _page, (NotAStudyError,), share=1),
]
