"""Fuzz the readers of tables of patients and films, from generated seeds."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from benchmarks.fuzz.guard import Inputs, Prepared, Reader
from benchmarks.fuzz.mutations import Random, spoil_table
from benchmarks.fuzz.yaml_files import spoil_yaml
from sldd.errors import InputError
from sldd.package.apply.films import find_patients, read_film
from sldd.sources.chexpert import CheXpertSettings, read_chexpert
from sldd.sources.classes import ClassesSettings, read_classes
from sldd.sources.folder import FolderSource
from sldd.sources.hospital import HospitalSettings, read_hospital
from sldd.sources.labelled_films import LabelledFilms
from sldd.sources.nih import NihSettings, read_nih


def _lay_films(folder: Path, names: list[str]) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
        Image.fromarray(pixels // 32 * 255 if name.startswith("masks/") else pixels).save(folder / name)
    os.mkfifo(folder / "pipe.png")  # whoever opens it waits for ever


def _manifest(folder: Path) -> Prepared:
    _lay_films(folder, [f"{kind}/{number}.png" for kind in ("images", "masks") for number in range(4)])
    lines = [f"p{number},images/{number}.png,masks/{number}.png,{number % 2},train" for number in range(4)]
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
        return {"mapping.yaml": spoil_yaml(mapping, random)}

    def read() -> None:
        _read_films(read_hospital(folder, HospitalSettings(mapping="mapping.yaml"), 16))

    return make, read


def _classes(folder: Path) -> Prepared:
    films = [f"images/{number}.png" for number in range(9)]
    _lay_films(folder, films)
    rows = [
        f"{film},c{number % 2},s{number // 3},{'train' if number < 6 else 'test'}" for number, film in enumerate(films)
    ]
    table = "\n".join(["image,class,subject,split", *rows])
    (folder / "manifest.csv").write_text(table)

    def read() -> None:
        _read_films(read_classes(folder, ClassesSettings(), 16))

    return lambda random: {"manifest.csv": spoil_table(table, random)}, read


READERS = [
    Reader("manifest", _manifest, (InputError,), share=6, enclosed=True),
    Reader("received", _received, (InputError,), share=6, enclosed=True),
    Reader("nih", _nih, (InputError,), share=3, enclosed=True),
    Reader("chexpert", _chexpert, (InputError,), share=3, enclosed=True),
    Reader("classes", _classes, (InputError,), share=3, enclosed=True),
    Reader("hospital", _hospital, (InputError,), share=5, enclosed=True),
]
