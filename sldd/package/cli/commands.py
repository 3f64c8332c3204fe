"""Look at a package, check it, and use it.

    python -m sldd.package info PACKAGE
    python -m sldd.package verify PACKAGE --key their.pub
    python -m sldd.package apply PACKAGE RADIOGRAPHS --out scores.csv
    python -m sldd.package export-png PACKAGE FOLDER
    python -m sldd.package compare ONE OTHER
    python -m sldd.package fragility PACKAGE RADIOGRAPHS --out fragility.csv
    python -m sldd.package convert PACKAGE --images uint8 --weights --out smaller.safetensors
    python -m sldd.package keygen ours.key
    python -m sldd.package sign PACKAGE --key ours.key --signer "Hospital A, radiology" --out signed.safetensors

Exit status: 0, all is as it should be (compare: the same); 1, the package was read, but does not pass its checks
(compare: they differ; apply: some radiographs could not be read, and the others were scored); 2, something that was
given cannot be used; 130, interrupted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text
from torch import nn

from sldd.errors import InputError
from sldd.metrics.patient_votes import UNDECIDED
from sldd.package.apply.classes import classes_csv, films_of_classes, in_words, tell
from sldd.package.apply.films import Patient, find_patients, look_through
from sldd.package.apply.score_table import file_notes, names_csv, pseudonyms, scores_csv, without_reports
from sldd.package.apply.scoring import Scored, labelled, measured, score
from sldd.package.apply.sensitivity import as_csv, as_json, fragility
from sldd.package.cli.info import info
from sldd.package.cli.options import parse
from sldd.package.cli.pictures import export
from sldd.package.format.atomic_file import check_output, write_file
from sldd.package.format.container import read
from sldd.package.format.header import Images
from sldd.package.format.image_encoding import stored
from sldd.package.format.package import Package, from_container, whole
from sldd.package.format.signature import generate, read_private, to_signed_bytes
from sldd.package.rebuild.compare import differences
from sldd.package.rebuild.rebuild import with_weights
from sldd.package.rebuild.self_test import with_self_test
from sldd.package.rebuild.verify import Verdict, verify
from sldd.sources.folder import manifest_notes

GOOD, BAD, UNUSABLE, INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """``python -m sldd.package``; returns its exit status."""
    options = parse(arguments, __doc__)
    width = None if sys.stdout.isatty() else 160  # a log file has no 80 columns
    console = Console(highlight=False, soft_wrap=True, width=width)
    try:
        if getattr(options, "threads", None) is not None:
            if options.threads < 1:
                raise InputError("--threads: at least 1")
            torch.set_num_threads(options.threads)
        status = _COMMANDS[options.command](options, console)
    except InputError as error:
        print(f"sldd.package: {error}", file=sys.stderr)
        return UNUSABLE
    except KeyboardInterrupt:
        print("sldd.package: interrupted; nothing was written", file=sys.stderr)
        return INTERRUPTED
    return status


def _info(options: argparse.Namespace, console: Console) -> int:
    console.print(info(options.package), soft_wrap=False)
    return GOOD


def _verify(options: argparse.Namespace, console: Console) -> int:
    verdict = verify(options.package, start=options.start, key=options.key)
    _say(verdict, console)
    if verdict.passed:
        console.print("passed: the network that this package stands for is here what it was where it was made")
        return GOOD
    console.print("FAILED: do not use this package; ask its maker for the file again")
    return BAD


def _apply(options: argparse.Namespace, console: Console) -> int:
    device, outputs = _device(options.device), [options.out, *filter(None, [options.names])]
    for path in outputs:
        check_output(path)
    verdict = verify(options.package, start=options.start, key=options.key)
    if not _accepted(verdict, console) or verdict.network is None:
        return BAD
    package = verdict.package
    if package.exclusive:
        return _apply_classes(options, verdict.network, package, device, console)
    delta = package.threshold()
    received = look_through(options.films)
    for note in manifest_notes(options.films):
        console.print(note, markup=False, soft_wrap=True)
    with _progress(sum(len(patient.films) for patient in received.patients)) as done:
        found = score(
            verdict.network, package, received.patients, batch=options.batch, device=device, done=done, tolerant=True
        )
    patients, found, left_out = without_reports(received, found)
    names = pseudonyms(patients)
    if options.names is not None:
        write_file(options.names, names_csv(patients, names), mode=0o600)
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
    films = films_of_classes(options.films, package.classes)
    with _progress(len(films)) as done:
        told = tell(network, package, films, batch=options.batch, device=device, done=done)
    subjects = [Patient(name, None, ()) for name in told.subjects]
    names = pseudonyms(subjects)
    if options.names is not None:
        write_file(options.names, names_csv(subjects, names), mode=0o600)
    write_file(options.out, classes_csv(told, names))
    for words in [*told.unread, *in_words(told, package)]:
        console.print(Text(words))
    console.print(f"classes: {options.out}")
    return BAD if told.unread else GOOD


def _export(options: argparse.Namespace, console: Console) -> int:
    paths = export(Package.load(options.package), options.folder)
    console.print(f"{len(paths) - 1} images, and all of them with labels and rates: {paths[-1]}")
    return GOOD


def _compare(options: argparse.Namespace, console: Console) -> int:
    one, other = _read_both(options.one, options.other)
    found = differences(one, other)
    if not found:
        console.print("the same content")
        return GOOD
    table = Table("", "one", "other", "apart", box=None, pad_edge=False)
    for each in found:
        table.add_row(*map(Text, (each.what, each.one, each.other, each.distance)))
    console.print(table, soft_wrap=False)
    return BAD


def _fragility(options: argparse.Namespace, console: Console) -> int:
    out = options.out or options.package.with_name("fragility.csv")
    check_output(out)
    if out.suffix not in (".csv", ".json"):
        raise InputError(f"--out {out}: name a .csv or a .json file")
    patients = find_patients(options.films)
    for note in manifest_notes(options.films):
        console.print(note, markup=False, soft_wrap=True)
    verdict = verify(options.package, start=options.start, key=options.key)
    if not _accepted(verdict, console):
        return BAD
    verdict.package.threshold()
    device = _device(options.device)
    table = Table("variant", "level", "HM", "AUC", "other decisions", "", box=None, pad_edge=False)
    films = sum(len(patient.films) for patient in patients)
    rows = []
    with _progress(None) as done:
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
            said = (row.variant, row.level, _number(row.hm), _number(row.auc))
            changed = "" if row.changed_decisions is None else f"{row.changed_decisions} of {row.patients}"
            table.add_row(*map(Text, (*said, changed, row.note)))
    write_file(out, as_csv(rows) if out.suffix == ".csv" else as_json(rows))
    console.print(table, soft_wrap=False)
    console.print(f"{len(patients)} patients, {films} radiographs; table: {out}")
    return GOOD


def _convert(options: argparse.Namespace, console: Console) -> int:
    out = _new_file(options.out, options.package)
    package = Package.load(options.package)
    how: Images = options.images or package.stored.images
    if how != package.stored.images != "float32":
        raise InputError(
            f"{options.package}: its images are {package.stored.images}; convert a package with float32 ones"
        )
    before = package.images
    received, cost = stored(before.numpy(), how)
    changed = how != package.stored.images
    if changed:
        package = replace(package, images=torch.from_numpy(received), stored=cost)
    if options.weights:
        package = with_weights(package, options.start)
    package = with_self_test(package, options.start, before if changed else None)
    write_file(out, package.to_bytes())
    console.print(f"{out}: {out.stat().st_size:,} bytes, unsigned")
    if changed:
        console.print(
            f"images as {how}: gray values are off by {package.stored.largest:.2g} deviations at most, class "
            f"probabilities of the self-test by {package.stored.outputs:.1e}; the claimed scores are those from before"
        )
    return GOOD


def _keygen(options: argparse.Namespace, console: Console) -> int:
    public = generate(options.key)
    console.print(f"{options.key}: keep it to yourself; {public}: give it to those who receive your packages")
    return GOOD


def _sign(options: argparse.Namespace, console: Console) -> int:
    out = _new_file(options.out, options.package)
    container = read(options.package)
    try:
        from_container(container)
    except InputError as error:
        raise InputError(f"{options.package}: {error}") from None
    if not whole(container):
        raise InputError(f"{options.package}: its content was changed after it was made; nobody should sign it")
    write_file(out, to_signed_bytes(container, read_private(options.key), options.signer))
    console.print(f"{out}: signed as {options.signer!r}")
    return GOOD


def _accepted(verdict: Verdict, console: Console) -> bool:
    """Whether the package may be used; prints what fails."""
    if verdict.passed:
        return True
    _say(replace(verdict, checks=tuple(verdict.failures)), console)
    console.print("refused: this package does not do here what it did where it was made; see verify")
    return False


def _say(verdict: Verdict, console: Console) -> None:
    marks = {True: "ok    ", False: "FAILS ", None: "-     "}
    for check in verdict.checks:
        console.print(Text(f"{marks[check.passed]}{check.what:<10} {check.words}"))


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
    table.add_row("here", *map(_number, here.values()), str(len(known.patients)))
    claims = package.claims
    claimed = [] if claims is None else [("claimed, test", claims.test), ("claimed, validation", claims.validation)]
    for name, claim in claimed:
        if claim is not None:
            values = (claim.sensitivity, claim.specificity, claim.hm, claim.auc)
            table.add_row(name, *map(_number, values), str(claim.patients))
    console.print(table, soft_wrap=False)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _read_both(one: Path, other: Path) -> list[Package]:
    """Packages to look at, whether or not their digests hold."""
    found = []
    for path in (one, other):
        try:
            found.append(from_container(read(path)))
        except InputError as error:
            raise InputError(str(error) if str(error).startswith(str(path)) else f"{path}: {error}") from None
    return found


def _new_file(out: Path, package: Path) -> Path:
    if out.exists() and out.samefile(package):
        raise InputError(f"--out {out}: the package itself; name another file")
    check_output(out)
    return out


def _device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: PyTorch sees no GPU here; use cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


@contextmanager
def _progress(total: int | None) -> Iterator[Callable[[], object]]:
    """A bar on a terminal's standard error, nothing elsewhere."""
    console = Console(stderr=True)
    columns = (TextColumn("radiographs"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=total)
        yield lambda: progress.advance(task)


_COMMANDS: dict[str, Callable[[argparse.Namespace, Console], int]] = {
    "info": _info,
    "verify": _verify,
    "apply": _apply,
    "export-png": _export,
    "compare": _compare,
    "fragility": _fragility,
    "convert": _convert,
    "keygen": _keygen,
    "sign": _sign,
}
