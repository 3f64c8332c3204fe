"""Command that checks a package, by itself and on a receiver's own films: verify."""

from __future__ import annotations

import argparse

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sldd.package.apply.agreement import compare_claims
from sldd.package.apply.drift import drifts, not_kept, patch_words
from sldd.package.apply.films import look_through
from sldd.package.apply.score_table import file_notes, without_reports
from sldd.package.apply.scoring import labelled, score
from sldd.package.cli.console import BAD, GOOD, device_of, progress, say
from sldd.package.rebuild.verify import Verdict, verify


def verify_command(options: argparse.Namespace, console: Console) -> int:
    """``verify PACKAGE --films RADIOGRAPHS``"""
    verdict = verify(options.package, start=options.start, key=options.key)
    say(verdict, console)
    if not verdict.passed:
        console.print("FAILED: do not use this package; ask its maker for the file again")
        return BAD
    console.print("passed: the network that this package stands for is here what it was where it was made")
    return GOOD if options.films is None else _on_films(verdict, options, console)


def _on_films(verdict: Verdict, options: argparse.Namespace, console: Console) -> int:
    package, network = verdict.package, verdict.network
    delta, received, device = package.threshold(), look_through(options.films), device_of(options.device)
    assert network is not None
    with progress(sum(len(patient.films) for patient in received.patients)) as done:
        found = score(network, package, received.patients, batch=options.batch, device=device, done=done, tolerant=True)
    patients, found, left_out = without_reports(received, found)
    for words in file_notes(found, left_out):
        console.print(Text(words))
    console.print("your films, beside those that the package was made of (95 % intervals):")
    apart = 0
    for drift in drifts(found, package):
        apart += drift.beyond
        console.print(Text(f"{'APART ' if drift.beyond else '-     '}{drift.what:<11}{drift.words}"))
    for what, words in not_kept(package):
        console.print(Text(f"-     {what:<11}{words}"))
    console.print(Text(f"-     {'patches':<11}{patch_words(found.looks, package)}"))
    known = labelled(found, patients)
    if known is None:
        console.print("no patient has a label here: nothing can be compared with the claims")
        return BAD if apart else GOOD
    part, compared = compare_claims(known, package.claims, delta)
    table = Table("", "here", f"claimed, {part}", "here less claimed", "", box=None, pad_edge=False)
    for each in compared:
        verdict_word = "compatible" if each.compatible else "LOWER HERE" if each.worse else "higher here"
        table.add_row(each.measure, str(each.here), str(each.claimed), str(each.difference), verdict_word)
    console.print(table, soft_wrap=False)
    console.print(
        f"{len(known.patients)} patients here; intervals of which one or more of three miss in one case of 20 at most"
    )
    return BAD if apart or any(each.worse for each in compared) else GOOD
