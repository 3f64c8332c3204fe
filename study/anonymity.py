"""Privacy audit of a study's packages: what they give away of the patients that they were made from.

    python -m study.anonymity results/demo
    python -m study.anonymity results/demo --cell test_resnet-m3-one_hot-as_is-sldd-near_linear-s1e1 --references 8
    python -m study.anonymity results/ours --packages 1 --features resnet18=WEIGHTS.safetensors

It attacks every confirmed package on the patients who trained and on the held-out ones (its test patients), with
controls that show whether the attacks work here. It prints the verdict and writes ``anonymity.json`` to the trial's
folder, and the package's model card anew: counts and statistics only, nothing of a patient. The file is a JSON object:

    format            "sldd-anonymity/1"
    trial, cell       as in records.csv
    package           SHA-256 of the file
    settings          references (asked for), features, seed; where there were any: folds (confirm trials that
                      calibrate), control (the trial of ordinary training), weights (SHA-256 of the file in features)
    images            distilled images
    patients, patches {training, held_out}: compared on either side, of which "patches" may be whole images
    seen              "patches", or "images": what is seen of patients; patches where it is not there
    divided           "random", or "manifest" where its split column says who trained
    protocol          "validation", or "paper": then states were chosen on the held-out patients
    nearest           by measure (pixel, ssim, feature): sldd.privacy_attacks.nearest.Nearest
    reidentification  by measure: sldd.privacy_attacks.reidentification.Reidentification
    membership        raw, calibrated (or null): sldd.privacy_attacks.group_test.GroupTest
                      references {kind (halves, folds or null), number, each (fewest that a patient is compared with)}
                      control {trial, found: GroupTest}: ordinary training of the same network, made anew and attacked
                      with as many references of its own; null without --references or such a trial
    theta_bn          found: GroupTest; pools: [sldd.privacy_attacks.batch_norm.Pool] (control). null without batch norm
    controls          real, noise: nearest and reidentification with real patches of training patients, or noise, in the
                      images' place

It skips a package with a report of the same settings, so the same command resumes; and measures anew what has other
folds or a control by now, or a file of weights that has changed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
import warnings
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from analysis.text.anonymity import FORMAT, REPORT, read_report, sentences
from analysis.text.words import duration
from ledger.storage import write_whole
from ledger.trial_folder import CARD
from sldd.backbones.start import XAVIER
from sldd.errors import InputError
from sldd.io.film import file_digest
from sldd.package.export.model_card import card_beside
from sldd.privacy_attacks.batch_norm import control, trace
from sldd.privacy_attacks.group_test import MemberLabels
from sldd.privacy_attacks.patient_losses import PatientFeatures, norm_moments
from sldd.privacy_attacks.report import Candidates, feature_network, look_alike
from sldd.privacy_attacks.similarity import Features
from study.config.methods import METHODS
from study.trial.calibration import Calibration
from study.trial.context import trial_data
from study.trial.finished_study import Confirmed, OpenedStudy, open_study
from study.trial.reference_networks import read_package, views_of

DEFAULT_FEATURES = "convnet_w32"


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status: 0, 2 for bad input, 130 when interrupted."""
    options = _options(arguments)
    try:
        study = open_study(options.study, root=options.root, cache=options.cache)
        _measure(study, options)
    except InputError as error:
        print(f"study.anonymity: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        reason = error.strerror or error
        print(
            f"study.anonymity: {options.study} cannot be read or written ({reason}); the same command goes on with the "
            "package that it was at",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print("study.anonymity: interrupted; the same command goes on with the next package", file=sys.stderr)
        return 130
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m study.anonymity", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", metavar="STUDY", help="a study's folder or URL, with its study.yaml")
    parser.add_argument("--cell", action="append", metavar="NAME", help="only this cell; may be given several times")
    parser.add_argument("--packages", type=int, metavar="N", help="packages of each cell, at most (default: all)")
    parser.add_argument(
        "--references",
        type=int,
        default=0,
        metavar="N",
        help="new distillations for each package, an even number, that calibrate the membership attack; and as many "
        "of each network's ordinary training, its control (default: the packages of other folds, where folds rotate)",
    )
    parser.add_argument(
        "--features",
        default=DEFAULT_FEATURES,
        metavar="BACKBONE[=FILE]",
        help="network for comparing features, with random weights or those of FILE (default: %(default)s)",
    )
    parser.add_argument("--root", metavar="DIR", help="the cohort's folder (default: where the study found it)")
    parser.add_argument("--cache", metavar="DIR", help="folder for decoded radiographs (default: the study's)")
    options = parser.parse_args(arguments)
    if options.references < 0 or options.references % 2:
        parser.error(f"--references {options.references}: references come in pairs; give an even number")
    if options.packages is not None and options.packages < 1:
        parser.error("--packages: at least 1")
    return options


def _measure(study: OpenedStudy, options: argparse.Namespace) -> None:
    """Attack the chosen packages that have no current report; print the verdict on every chosen one."""
    chosen = _chosen(study, options.cell, options.packages)
    views_of(study.context, chosen[0])  # refused now rather than after networks are built
    backbone, _, file = options.features.partition("=")
    asked = {"references": options.references, "features": options.features, "seed": study.config.seed}
    if file:
        asked["weights"] = file_digest(Path(file))
    settings = {trial.name: asked | _calibrating(study, trial, options.references) for trial in chosen}
    outdated = [trial for trial in chosen if not _has_current_report(trial, settings[trial.name])]
    _check_writable(outdated)
    if options.references and outdated:
        print(_cost(study, outdated, options.references), flush=True)
    study.config.compute.apply(study.config.resources.threads)
    device = torch.device("cuda" if study.config.resources.gpus_per_trial != 0 and torch.cuda.is_available() else "cpu")
    side, channels, seed = study.config.patches.input_size, study.cohort.channels, study.config.seed
    network = feature_network(backbone, file or XAVIER, input_size=side, channels=channels, seed=seed, device=device)
    calibration = Calibration(study, options.references, device)
    for trial in chosen:
        if trial in outdated:
            report = _report(study, trial, settings[trial.name], network, calibration, device)
            write_whole(trial.folder / REPORT, json.dumps(report, indent=1, allow_nan=False))
            write_whole(trial.folder / CARD, card_beside(trial.content, report))
        read = read_report(trial.folder)
        for sentence in sentences(read) if read is not None else ():
            print(sentence, flush=True)
        print(flush=True)


def _cost(study: OpenedStudy, outdated: list[Confirmed], references: int) -> str:
    """How many networks are made for the attacks, and about how long that takes, in words.

    Each package needs ``references`` distillations. Each ordinary training that is a control is made anew once, and has
    as many references of its own; one control serves all packages of a network.
    """
    seconds = sum(float(trial.result["seconds"]) for trial in outdated) * references
    parts = [f"{len(outdated) * references} distillations as references"]
    controls: dict[str, Confirmed] = {}
    for trial in outdated:
        trained = study.training_beside(trial)
        if trained is not None:
            controls[trained.name] = trained
    if controls:
        seconds += sum(float(trained.result["seconds"]) for trained in controls.values()) * (references + 1)
        parts.append(f"{len(controls) * (references + 1)} trainings for the control")
    return f"{' and '.join(parts)}, about {duration(seconds)} by what the trials took"


def _chosen(study: OpenedStudy, names: list[str] | None, most: int | None) -> list[Confirmed]:
    """The first ``most`` packages of each cell (None: all), of the cells of these names (None: of all cells)."""
    cells: dict[str, list[Confirmed]] = defaultdict(list)
    for trial in study.confirmed:
        cells[trial.cell].append(trial)
    for name in names or []:
        if name not in cells:
            raise InputError(f"--cell {name}: no confirmed package; there are {', '.join(cells) or 'none'}")
    if not cells:
        none = ", ".join(name for name, method in METHODS.items() if method.no_package)
        raise InputError(f"no confirmed package in this study; run it to its end first (these leave none: {none})")
    return [trial for cell, trials in cells.items() if names is None or cell in names for trial in trials[:most]]


def _check_writable(trials: list[Confirmed]) -> None:
    """Raise an InputError now where a report could not be written later; an object store tells only on writing."""
    for folder in [trial.folder for trial in trials if isinstance(trial.folder, Path)]:
        try:
            tempfile.TemporaryFile(dir=folder).close()  # some file systems refuse what they say they allow
        except OSError as error:
            reason = error.strerror or error
            raise InputError(f"{folder} cannot be written to ({reason}), where its report goes; allow that") from None


def _calibrating(study: OpenedStudy, trial: Confirmed, references: int) -> dict[str, Any]:
    """The part of a report's settings that may change as the study goes on.

    With references, that is ``control``: the trial of ordinary training, where one is done. Without, it is ``folds``:
    the confirm trials of other folds and seeds that calibrate the attack, where folds rotate.
    """
    if references:
        beside = study.training_beside(trial)
        return {"control": beside.name} if beside is not None else {}
    folds = sorted(other.name for other in study.other_folds(trial))
    return {"folds": folds} if folds else {}


def _has_current_report(trial: Confirmed, settings: dict[str, Any]) -> bool:
    """Whether a package has a report that was made of this very file with these settings."""
    report = read_report(trial.folder)  # None where it is damaged: it is made anew
    if report is None or report.get("package") != _digest(trial):
        return False
    old_settings = {name: settings[name] for name in ("references", "features", "seed")}
    reported = report.get("settings")
    return bool(reported == settings or (reported == old_settings and _calibrated_alike(report, settings)))


def _calibrated_alike(report: dict[str, Any], settings: dict[str, Any]) -> bool:
    """Whether a report by an earlier version used as many folds, and the same control, as there are now.

    The settings of such a report name neither; its ``membership`` tells. They have the name of a file of weights but no
    digest: whether the file has changed since cannot be known, and it counts as the same.
    """
    membership = report["membership"]
    try:
        folds = 0 if settings["references"] else membership["references"]["number"]
        control = membership.get("control")
        trained = None if control is None else control["trial"]
    except (KeyError, TypeError):
        return False  # damaged
    return (folds, trained) == (len(settings.get("folds", ())), settings.get("control"))


def _digest(trial: Confirmed) -> str:
    return hashlib.sha256(trial.content).hexdigest()


def _report(
    study: OpenedStudy,
    trial: Confirmed,
    settings: dict[str, Any],
    network: Features,
    calibration: Calibration,
    device: torch.device,
) -> dict[str, Any]:
    """Attack one package: the content of its ``anonymity.json``, as this module's docstring lists it.

    Args:
        settings: as the report keeps them.
        network: what the measure ``feature`` compares features of.
    """
    views, split = views_of(study.context, trial), trial_data(study.context, trial.spec.cell.fold).split
    package, seed = study.package(trial), study.config.seed
    candidates = Candidates.drawn(views, split.train, split.test, seed)
    batch = study.config.outer.score_batch
    images = package.images.float().flatten(0, 1)
    alike = look_alike(images, candidates, network, seed=seed, batch=batch, device=device)
    reading, rebuilt = read_package(study, trial, views, candidates.patients, device)
    return {
        "format": FORMAT,
        "trial": trial.name,
        "cell": trial.cell,
        "package": _digest(trial),
        "settings": settings,
        "images": len(images),
        "seen": views.words,
        "patients": {"training": len(candidates.training), "held_out": len(candidates.held_out)},
        "divided": "manifest" if any(study.cohort.splits) else "random",
        "protocol": study.config.protocol,
        "membership": calibration.membership(trial, reading.losses, candidates, split),
        "theta_bn": _traces(reading, norm_moments(rebuilt, package.theta_bn), candidates.groups, seed),
        **alike,
    }


def _traces(reading: PatientFeatures, pooled: np.ndarray, groups: MemberLabels, seed: int) -> dict[str, Any] | None:
    """The report's ``theta_bn``: the attack on batch-norm statistics, and its control.

    Args:
        pooled: (2 c,) moments of the package's ``theta_bn``; empty for a network without batch norm.
    """
    if not len(pooled):
        return None
    pools = control(reading.moments, groups, seed)
    return {
        "found": asdict(trace(reading.moments, pooled, groups, seed)),
        "pools": [asdict(pool) for pool in pools],
    }


if __name__ == "__main__":
    warnings.simplefilter("ignore", FutureWarning)  # of libraries; nothing that a user of this command can act on
    sys.exit(main())
