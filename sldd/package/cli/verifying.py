"""Command that checks a package, by itself and on a receiver's own films: verify."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping

from rich.console import Console
from rich.table import Table
from rich.text import Text
from torch import nn

from sldd.metrics.intervals import Estimate
from sldd.package.apply.agreement import (
    Comparison,
    class_scores_here,
    compare_claims,
    compare_classes,
    scores_here,
)
from sldd.package.apply.classes import file_words, films_alone, films_of_classes, tell
from sldd.package.apply.drift import Drift, drifts, film_drifts, not_kept, patch_words, score_drifts
from sldd.package.apply.films import look_through
from sldd.package.apply.score_table import file_notes, without_reports
from sldd.package.apply.scoring import labelled, score
from sldd.package.cli.console import BAD, GOOD, device_of, progress, say
from sldd.package.format.claimed import headline
from sldd.package.format.package import Package
from sldd.package.rebuild.verify import verify


def verify_command(options: argparse.Namespace, console: Console) -> int:
    """``verify PACKAGE --films RADIOGRAPHS``"""
    verdict = verify(options.package, start=options.start, key=options.key)
    say(verdict, console)
    if not verdict.passed or verdict.network is None:
        console.print("FAILED: do not use this package; ask its maker for the file again")
        return BAD
    console.print("passed: the network that this package stands for is here what it was where it was made")
    if options.films is None:
        return GOOD
    on_films = _on_patients if verdict.package.task == "patches" else _on_whole_films
    return on_films(verdict.package, verdict.network, options, console)


def _on_patients(package: Package, network: nn.Module, options: argparse.Namespace, console: Console) -> int:
    delta, received, device = package.threshold(), look_through(options.films), device_of(options.device)
    with progress(sum(len(patient.films) for patient in received.patients)) as done:
        found = score(network, package, received.patients, batch=options.batch, device=device, done=done, tolerant=True)
    patients, found, left_out = without_reports(received, found)
    for words in file_notes(found, left_out):
        console.print(Text(words))
    apart = _say_drifts(drifts(found, package), package, console)
    console.print(Text(f"-     {'patches':<11}{patch_words(found.looks, package)}"))
    known = labelled(found, patients)
    if known is None:
        console.print("no patient has a label here: nothing can be compared with the claims")
        return BAD if apart else GOOD
    worse = False
    if package.claims is None:
        _say_scores(scores_here(known, delta), console)
    else:
        worse = _say_claims(*compare_claims(known, package.claims, delta), console)
    console.print(
        f"{len(known.patients)} patients here; intervals of which one or more of three miss in one case of 20 at most"
    )
    return BAD if apart or worse else GOOD


def _on_whole_films(package: Package, network: nn.Module, options: argparse.Namespace, console: Console) -> int:
    received = films_of_classes(options.films, package.classes) if package.exclusive else films_alone(options.films)
    with progress(len(received.films)) as done:
        told = tell(network, package, received, batch=options.batch, device=device_of(options.device), done=done)
    for words in file_words(told):
        console.print(Text(words))
    claims = package.claims
    theirs = None if claims is None else headline(claims)[1]
    found = [*film_drifts(told.looks, package), *(() if theirs is None else score_drifts(told.largest, theirs))]
    apart = _say_drifts(found, package, console)
    scores = told.scores()
    if scores is None:
        why = "no image has a class here" if package.exclusive else "findings are not read here"
        console.print(f"{why}: nothing can be compared with the claims")
        return BAD if apart else GOOD
    worse = False
    if claims is None:
        _say_scores(class_scores_here(scores), console)
    else:
        worse = _say_claims(*compare_classes(scores, claims), console)
    subjects = len(set(scores.patients))
    console.print(f"{subjects} subjects here; intervals of which one or both miss in one case of 20 at most")
    return BAD if apart or worse else GOOD


def _say_drifts(found: Iterable[Drift], package: Package, console: Console) -> bool:
    """Print how films and scores differ; whether any is apart."""
    console.print("your films, beside those that the package was made of (95 % intervals):")
    apart = False
    for drift in found:
        apart |= drift.beyond
        console.print(Text(f"{'APART ' if drift.beyond else '-     '}{drift.what:<11}{drift.words}"))
    for what, words in not_kept(package):
        console.print(Text(f"-     {what:<11}{words}"))
    return apart


def _say_scores(found: Mapping[str, Estimate], console: Console) -> None:
    """Print the scores here, of a package that claims none."""
    table = Table("", "here", box=None, pad_edge=False)
    for measure, here in found.items():
        table.add_row(measure, str(here))
    if found:
        console.print(table, soft_wrap=False)
    else:
        console.print("no score has an interval here: that takes patients of every label")
    console.print("the package claims no scores: there is nothing to compare with")


def _say_claims(part: str, compared: list[Comparison], console: Console) -> bool:
    """Print scores beside the claims; whether any is lower here."""
    table = Table("", "here", f"claimed, {part}", "here less claimed", "", box=None, pad_edge=False)
    for each in compared:
        verdict = "compatible" if each.compatible else "LOWER HERE" if each.worse else "higher here"
        table.add_row(each.measure, str(each.here), str(each.claimed), str(each.difference), verdict)
    console.print(table, soft_wrap=False)
    return any(each.worse for each in compared)
