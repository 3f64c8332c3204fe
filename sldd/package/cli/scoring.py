"""Commands that score radiographs: apply and fragility."""

from __future__ import annotations

import argparse
from dataclasses import replace

import torch
from rich.console import Console
from rich.table import Table
from rich.text import Text
from torch import nn

from sldd.errors import InputError
from sldd.io.atomic_file import write_file
from sldd.metrics.patient_votes import UNDECIDED
from sldd.package.apply.classes import classes_csv, file_words, films_of_classes, in_words, tell
from sldd.package.apply.films import Patient, find_patients, look_through
from sldd.package.apply.score_table import file_notes, names_csv, pseudonyms, scores_csv, without_reports
from sldd.package.apply.scoring import Scored, labelled, measured, score
from sldd.package.apply.sensitivity import as_csv, as_json, fragility
from sldd.package.cli.console import BAD, GOOD, accepted, check_outputs, device_of, number, progress, verify_all
from sldd.package.combine.alike import check_same_films
from sldd.package.combine.images import delta_of
from sldd.package.combine.votes import added
from sldd.package.format.package import Package
from sldd.package.rebuild.verify import Verdict, verify
from sldd.sources.folder import manifest_notes


def apply_command(options: argparse.Namespace, console: Console) -> int:
    """``apply``: scores films by a package, or by several together; returns the exit status."""
    device, paths = device_of(options.device), [options.package, *options.others]
    outputs = {"--out": options.out, "--names": options.names}
    check_outputs(outputs, options.films, *paths, options.key, options.start)
    if options.others and options.key is not None:
        raise InputError("--key: is for one package; verify each of several by itself")
    verdicts = verify_all(paths, None if options.key is None else [options.key], options.start, console)
    if verdicts is None:
        return BAD
    if options.others:
        check_same_films([verdict.package for verdict in verdicts], [path.name for path in paths])
    package, network = verdicts[0].package, verdicts[0].network
    if package.exclusive and not options.others and network is not None:
        return _apply_classes(options, network, package, device, console)
    return _apply_votes(options, verdicts, device, console)


def _apply_votes(options: argparse.Namespace, verdicts: list[Verdict], device: torch.device, console: Console) -> int:
    """Score patients by the votes of their patches; votes of several packages are added, their deltas averaged."""
    package = verdicts[0].package
    if len(verdicts) > 1:
        package = replace(package, delta=delta_of([verdict.package for verdict in verdicts]))
    delta = package.threshold()
    received = look_through(options.films)
    for note in manifest_notes(options.films):
        console.print(note, markup=False, soft_wrap=True)
    with progress(len(verdicts) * sum(len(patient.films) for patient in received.patients)) as done:
        parts = [
            score(
                each.network,
                each.package,
                received.patients,
                batch=options.batch,
                device=device,
                done=done,
                tolerant=True,
            )
            for each in verdicts
            if each.network is not None
        ]
    patients, found, left_out = without_reports(received, added(parts))
    names = _write_names(options, patients)
    write_file(options.out, scores_csv(patients, found, delta, names, left_out))
    _say_scores(found, patients, package, console)
    for words in file_notes(found, left_out):
        console.print(Text(words))
    where = f"{torch.get_num_threads()} threads" if device.type == "cpu" else torch.cuda.get_device_name(device)
    console.print(
        f"{found.radiographs:,} radiographs in {found.seconds:.1f} s, {found.speed:.1f} a second "
        f"({device.type}, {where})"
    )
    console.print(f"scores: {options.out}")
    if options.names is not None:
        console.print(f"who is who: {options.names}; keep it to yourself")
    return BAD if found.unread else GOOD


def _apply_classes(
    options: argparse.Namespace, network: nn.Module, package: Package, device: torch.device, console: Console
) -> int:
    """Tell each film's class by one package for whole films."""
    received = films_of_classes(options.films, package.classes)
    with progress(len(received.films)) as done:
        told = tell(network, package, received, batch=options.batch, device=device, done=done)
    names = _write_names(options, [Patient(name, None, ()) for name in told.subjects])
    write_file(options.out, classes_csv(told, names))
    for words in [*file_words(told), *in_words(told, package)]:
        console.print(Text(words))
    console.print(f"classes: {options.out}")
    return BAD if told.unread else GOOD


def _write_names(options: argparse.Namespace, patients: list[Patient]) -> list[str]:
    """Pseudonyms of the patients; where ``--names`` asks for it, who is who is written, readable by its owner alone."""
    names = pseudonyms(patients)
    if options.names is not None:
        write_file(options.names, names_csv(patients, names), mode=0o600, option="--names")
    return names


def fragility_command(options: argparse.Namespace, console: Console) -> int:
    """``fragility``: scores films where a receiver departs from the package; returns the exit status."""
    out = options.out or options.package.with_name("fragility.csv")
    check_outputs({"--out": out}, options.films, options.package, options.key, options.start)
    if out.suffix not in (".csv", ".json"):
        raise InputError(f"--out {out}: name a .csv or a .json file")
    patients = [patient for patient in find_patients(options.films) if patient.label is not None]
    for note in manifest_notes(options.films):
        console.print(note, markup=False, soft_wrap=True)
    verdict = verify(options.package, start=options.start, key=options.key)
    if not accepted(verdict, console):
        return BAD
    verdict.package.threshold()
    device = device_of(options.device)
    table = Table("variant", "level", "HM", "AUC", "other decisions", "", box=None, pad_edge=False)
    films = sum(len(patient.films) for patient in patients)
    rows = []
    with progress(None) as done:
        for row in fragility(
            verdict.package,
            patients,
            start=options.start,
            seeds=options.seeds,
            backbones=options.backbones,
            batch=options.batch,
            device=device,
            done=done,
        ):
            rows.append(row)
            said = (row.variant, row.level, number(row.hm), number(row.auc))
            changed = "" if row.changed_decisions is None else f"{row.changed_decisions} of {row.patients}"
            table.add_row(*map(Text, (*said, changed, row.note)))
    write_file(out, as_csv(rows) if out.suffix == ".csv" else as_json(rows))
    console.print(table, soft_wrap=False)
    console.print(f"{len(patients)} patients with a label, {films} radiographs; table: {out}")
    return GOOD


def _say_scores(found: Scored, patients: list[Patient], package: Package, console: Console) -> None:
    """Print the measured scores, beside the claimed ones where labels are known."""
    known, delta = labelled(found, patients), package.threshold()
    scores = [value for value, read in zip(found.votes.scores, found.read, strict=True) if read]
    called, undecided = sum(value >= delta for value in scores), sum(value == UNDECIDED for value in scores)
    console.print(
        f"{len(scores):,} patients: {called:,} called positive at delta {delta:.4g}, "
        f"{undecided:,} undecided (counted as negative)"
    )
    if known is None:
        return
    table = Table("", "Sen", "Spe", "HM", "AUC", "patients", box=None, pad_edge=False)
    here = measured(known, delta)
    table.add_row("here", *map(number, here.values()), str(len(known.patients)))
    claims = package.claims
    claimed = [] if claims is None else [("claimed, test", claims.test), ("claimed, validation", claims.validation)]
    for name, claim in claimed:
        if claim is not None:
            values = (claim.sensitivity, claim.specificity, claim.hm, claim.auc)
            table.add_row(name, *map(number, values), str(claim.patients))
    console.print(table, soft_wrap=False)
