"""Model card of a package, item by item in the terms of CLAIM, the checklist for AI in medical imaging (2024 update).

It says what the file says, with intervals from the numbers of patients, and "not stated" where it says nothing. Item
numbers are those of Tejani et al., Radiology: Artificial Intelligence 2024;6(4):e240300. As JSON it is

    format   "sldd-card/1"
    package  digest, format, and signer with the key's fingerprint, or null
    scores   [{patients, number, positive, measure, value, low, high}], low and high null where counts do not give them
    items    [{number, item, said}]
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sldd.errors import InputError
from sldd.metrics.intervals import Estimate
from sldd.package.format.claimed import intervals
from sldd.package.format.container import Container, load_json, parse
from sldd.package.format.header import Claims, Scores, printable
from sldd.package.format.package import Package, from_container
from sldd.package.format.signature import check
from sldd.package.rebuild.self_test import TOLERANCE

FORMAT = "sldd-card/1"
REPORT = "anonymity.json"
"""What ``study.anonymity`` writes; read where it lies beside the package."""
NOT_STATED = "not stated"
_NO_ATTACKS = f"attacks on it {NOT_STATED} (python -m study.anonymity)"
_MOST_BYTES = 10_000_000
_MEASURES = ("sensitivity", "specificity", "hm", "auc")
_WORDS = {"hm": "HM", "auc": "AUC"}
_METRICS = {
    "patches": "sensitivity, specificity, their harmonic mean and AUC",
    "multilabel": "AUC, the mean over the findings",
    "classes": "means over the classes, each against the others: sensitivity (balanced accuracy), specificity and AUC",
}


def model_card(package: Package, container: Container, anonymity: dict[str, Any] | None = None) -> dict[str, Any]:
    """The card.

    Args:
        container: the package's file.
        anonymity: as of ``read_anonymity``.
    """
    signature = check(container)
    try:
        attacks = _anonymity(anonymity)
    except (KeyError, TypeError, AttributeError, ValueError):
        raise InputError("the report of study.anonymity is not whole; measure again") from None
    signed = None if signature is None else {"signer": signature.signer, "key": signature.fingerprint}
    return {
        "format": FORMAT,
        "package": {"digest": container.metadata["digest"], "format": package.format, "signed": signed},
        "scores": list(_scores(package)),
        "items": [{"number": n, "item": item, "said": said} for n, item, said in _items(package, signed, attacks)],
    }


def card_beside(content: bytes, anonymity: dict[str, Any] | None = None) -> str:
    """The page of a package that one has made oneself.

    Args:
        content: of its file.
        anonymity: what ``study.anonymity`` found, where it has looked.
    """
    container = parse(content)
    return as_markdown(model_card(from_container(container), container, anonymity))


def read_anonymity(path: Path | None, package: Path) -> dict[str, Any] | None:
    """The report of ``study.anonymity`` on a package: the file given, or ``anonymity.json`` beside the package.

    Raises:
        InputError: it is no such report, or one on another package.
    """
    found = package.with_name(REPORT) if path is None else path
    if path is None and not found.is_file():
        return None
    try:
        with found.open("rb") as file:
            report = load_json(file.read(_MOST_BYTES))
    except OSError as error:
        raise InputError(f"{found}: cannot be read ({error.strerror})") from None
    except InputError as error:
        raise InputError(f"{found}: no report of study.anonymity ({error})") from None
    if not isinstance(report, dict) or not str(report.get("format", "")).startswith("sldd-anonymity/"):
        raise InputError(f"{found}: no report of study.anonymity")
    if report.get("package") != hashlib.sha256(package.read_bytes()).hexdigest():
        if path is None:
            return None
        raise InputError(f"{found}: a report on another package than {package}")
    return report


def as_markdown(card: dict[str, Any]) -> str:
    """The card as a page."""
    signed = card["package"]["signed"]
    who = f"{_escape(signed['signer'])} (key {signed['key']})" if signed else "nobody: it is unsigned"
    lines = ["# Model card", "", f"Package sha256:{card['package']['digest']}, signed by {who}.", "", "## Scores", ""]
    if card["scores"]:
        lines += ["| patients | number | positive | measure | value | 95 % interval |", "| --- " * 6 + "|"]
        for row in card["scores"]:
            ends = NOT_STATED if row["low"] is None else f"{row['low']:.2f} to {row['high']:.2f}"
            counts = f"{row['patients']} | {row['number']} | {row['positive']}"
            lines.append(f"| {counts} | {_WORDS.get(row['measure'], row['measure'])} | {row['value']:.3f} | {ends} |")
    else:
        lines.append(f"{NOT_STATED[0].upper()}{NOT_STATED[1:]}.")
    lines += ["", "## Checklist (CLAIM 2024)", "", "| item | | what the package says |", "| --- | --- | --- |"]
    lines += [f"| {row['number']} | {row['item']} | {_escape(row['said'])} |" for row in card["items"]]
    return "\n".join([*lines, ""])


def _scores(package: Package) -> Iterator[dict[str, Any]]:
    """Rows of the claimed scores, a measure each."""
    claims = package.claims
    for part, scores in () if claims is None else (("test", claims.test), ("validation", claims.validation)):
        if scores is None:
            continue
        ends = intervals(scores, package.task)
        for measure in _MEASURES:
            value, found = getattr(scores, measure), ends.get(measure)
            if value is not None:
                yield {
                    "patients": part,
                    "number": scores.patients,
                    "positive": scores.positive,
                    "measure": measure,
                    "value": value,
                    "low": None if found is None else found.low,
                    "high": None if found is None else found.high,
                }


def _items(package: Package, signed: dict[str, str] | None, attacks: str | None) -> Iterator[tuple[int, str, str]]:
    """Number, name and content of each item of the checklist.

    Args:
        signed: signer and fingerprint of the key.
        attacks: what ``study.anonymity`` found, in words.
    """
    claims, side = package.claims, package.patches.input_size
    steps, each = package.images.shape[:2]
    kind = {"patches": "patients, positive or negative", "multilabel": "findings", "classes": "classes"}[package.task]
    yield 1, "Title", f"Distilled images for {printable(package.backbone)}: {steps * each} of {side} x {side} pixels"
    yield 6, "Study goal", f"classification of {kind}: {', '.join(package.classes)}"
    yield 7, "Data sources", NOT_STATED
    yield 8, "Inclusion and exclusion criteria", NOT_STATED
    yield 9, "Data pre-processing", _preprocessing(package)
    yield 11, "De-identification methods", f"distilled images only; {attacks or _NO_ATTACKS}"
    yield 13, "Image acquisition protocol", NOT_STATED
    yield 14, "Reference standard", NOT_STATED
    yield 19, "How data were assigned to partitions", _partitions(claims)
    yield 20, "Level at which partitions are disjoint", "patients"
    norm = {"as_is": "", "none": ", without norms"}.get(package.norm, f", {package.norm} norm")
    yield 22, "Model", f"{printable(package.backbone)}{norm}, {package.channels} x {side} x {side} input"
    yield 23, "Software", ", ".join(f"{name} {version}" for name, version in package.versions.items())
    yield 24, "Initialization of model parameters", f"{printable(package.start)}, seed {package.seed}"
    inner = f"{package.rates.shape[0] * steps} inner steps on {each} images with soft labels and learned rates"
    yield 25, "Training approach", f"soft-label dataset distillation: {inner}"
    yield 26, "Selection of the final model", _selection(package)
    yield 28, "Metrics", _METRICS[package.task] if claims else NOT_STATED
    counted = claims is not None and package.task == "patches"
    ends = "Wilson (shares) and Newcombe (AUC) intervals, from the counts" if counted else NOT_STATED
    yield 29, "Uncertainty", ends
    yield 32, "Evaluation on internal data", _evaluated(None if claims is None else claims.test)
    yield 33, "Testing on external data", NOT_STATED + " (yours: python -m sldd.package verify PACKAGE --films COHORT)"
    yield 35, "Numbers of patients", _numbers(package)
    yield 36, "Demographic and clinical characteristics", NOT_STATED
    yield 39, "Failure analysis", NOT_STATED
    yield 40, "Limitations", "; ".join(_limitations(package, signed, attacks))
    yield 41, "Intended use", NOT_STATED
    yield 43, "Availability", "this file stands for the whole network"
    yield 44, "Funding", NOT_STATED


def _preprocessing(package: Package) -> str:
    values = f"{package.depth} bit, {'colour' if package.channels > 1 else 'gray'}"
    if package.sides:
        values += f", shorter sides of {package.sides[0]:.0f} to {package.sides[-1]:.0f} pixels"
    if package.slice is not None:
        values += f", of volumes the slice at {package.slice:g} (0 the first, 1 the last)"
    patches = package.patches
    if package.delta is not None:
        cut = f"patches of {patches.size:g} at a stride of {patches.score_stride or patches.stride:g}"
    else:
        cut = "whole films" + (f", no side above {package.film_size:,}" if package.film_size is not None else "")
    standardised = "standardised by the training patients' values"
    return f"{values}, {standardised}; {cut}, resized to {patches.input_size}"


def _partitions(claims: Claims | None) -> str:
    if claims is None:
        return NOT_STATED
    return "training, validation and test patients" if claims.fold is None else f"folds; tested: {claims.fold}"


def _selection(package: Package) -> str:
    if package.claims is None:
        return NOT_STATED
    voted = package.task == "patches"  # only votes have a threshold
    if package.claims.protocol == "paper":
        return f"state chosen on the TEST patients{', threshold fixed at 0.4' if voted else ''} (the papers' protocol)"
    return f"state{' and threshold' if voted else ''} chosen on validation patients"


def _evaluated(test: Scores | None) -> str:
    return NOT_STATED if test is None else f"{test.patients} test patients, {test.undecided} of them undecided"


def _numbers(package: Package) -> str:
    if package.claims is None:
        return NOT_STATED
    validation, test = package.claims.validation, package.claims.test
    tested = "test not scored" if test is None else f"{test.patients} test"
    return f"training {NOT_STATED}, {validation.patients} validation, {tested}"


def _anonymity(report: dict[str, Any] | None) -> str | None:
    """What the attacks found, in numbers; never that it is anonymous."""
    if report is None:
        return None
    patients = report["patients"]
    told = [f"attacked with {patients['training']} patients who trained and {patients['held_out']} others"]
    membership = report["membership"]
    for name, found in (
        ("membership", membership["calibrated"] or membership["raw"]),
        ("batch-norm statistics", (report["theta_bn"] or {}).get("found")),
    ):
        if found is not None:
            told.append(
                f"{name} AUC {Estimate(found['auc'], found['auc_low'], found['auc_high'])}, p = {found['p']:.2g}"
            )
    return "; ".join(told)


def _limitations(package: Package, signed: dict[str, str] | None, attacks: str | None) -> Iterator[str]:
    claims = package.claims
    yield "good only with this network, this start and this order of images"
    if signed is None:
        yield "unsigned: nothing shows who made it"
    if claims is None:
        yield "no scores are claimed"
    elif claims.test is None:
        yield "no test patients: validation scores are too high"
    elif claims.protocol == "paper":
        yield "chosen on test patients: scores are too high"
    if package.theta_bn:
        yield "batch-norm statistics can give members away"
    if package.self_test is None:
        yield "no self-test"
    elif package.self_test.spread > TOLERANCE:
        yield "chaotic inner steps: another machine may get another network"
    if attacks is None:
        yield "what it gives away of its patients was not measured"


def _escape(text: str) -> str:
    """Fit for a cell of a table, in one line: a stranger's words neither end it nor link anywhere."""
    shown = (letter if letter.isprintable() else "?" for letter in text)
    return "".join(f"\\{letter}" if letter in "|\\`*_[]<>!" else letter for letter in shown)
