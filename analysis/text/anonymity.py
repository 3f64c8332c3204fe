"""Reports of `study.anonymity` (what packages give away of patients) as a table and as sentences.

A report is `anonymity.json` in a trial's folder; its schema is in that command's docstring. One that is missing,
damaged or of another version counts as not there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import pandas as pd

from analysis.records.records import Study
from analysis.text.words import plural, whole_percent
from ledger.storage import Folder, read_many
from ledger.trial_files import parsed, read_json

FORMAT = "sldd-anonymity/1"
REPORT = "anonymity.json"
_REPORTS = re.compile(rf"[^/]+/[0-9]+/{re.escape(REPORT)}")
LEVEL = 0.05
"""Of the tests of one package together, by Holm's (1979) correction."""
MEMBERSHIP = "membership"
MEASURES = {"pixel": "pixels", "ssim": "structure", "feature": "features"}
RESOLVES = 100  # held-out patients from which on one in a hundred can be told from none

COLUMNS = {
    "trial": "string",
    "cell": "string",
    "subject": "string",  # package; controls: real, noise in its images' place; trained, ordinary training
    "attack": "string",  # nearest, copy, similar, single, membership, theta_bn
    "measure": "string",  # pixel, ssim, feature; raw or calibrated for membership
    "value": "float64",
    "low": "float64",
    "high": "float64",
    "chance": "float64",  # what value would be if nothing was given away
    "p": "float64",  # one-sided
    "adjusted": "float64",  # of the package's own tests, for their number
    "tpr": "float64",  # found among those who trained, at so many false alarms among held-out patients
    "false_alarms": "Int64",
    "training": "Int64",
    "held_out": "Int64",
}
"""Of the table that `anonymity_table` gives.

Values are: of `nearest`, `membership` and `theta_bn` an AUC; of `copy` the share of images that are copies; of
`similar` the share of those who trained among the five patients most like an image; of `single` the share of images
that single one training patient out.
"""


def read_report(trial_folder: Folder) -> dict[str, Any] | None:
    """The report in a trial's folder, or None."""
    return _checked(read_json(trial_folder / REPORT))


def _checked(report: dict[str, Any] | None) -> dict[str, Any] | None:
    if report is None or report.get("format") != FORMAT:
        return None
    try:
        # All that is ever said of one: what is damaged anywhere is found here, and not while a page is written.
        works(report), sentences(report), anonymity_table([report])
    except Exception:  # each value may be of any type
        return None
    return report


@lru_cache(maxsize=4)  # a page asks for them several times
def reports(study: Study) -> list[dict[str, Any]]:
    """Reports of all confirm trials, in the order of the records; not to be written to."""
    confirmed = study.records[(study.records["phase"] == "confirm") & (study.records["status"] == "done")]
    texts = dict(read_many(study.folder / "trials", _REPORTS))  # one by one, an object store takes a round trip each
    found = [_checked(parsed(texts.get(f"{trial}/{REPORT}", b""))) for trial in confirmed["trial"]]
    return [report for report in found if report is not None]


def anonymity_table(found: list[dict[str, Any]]) -> pd.DataFrame:
    """One row a package, subject, attack and measure, with the columns of `COLUMNS`."""
    rows = [row for report in found for row in adjusted(report)]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


def adjusted(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The report's rows; those of the package itself with p-values corrected for their number (Holm 1979)."""
    rows = list(_rows(report))
    tests = sorted((row for row in rows if row["subject"] == "package"), key=lambda row: row["p"])
    highest = 0.0
    for done, row in enumerate(tests):
        highest = max(highest, min(1.0, (len(tests) - done) * row["p"]))
        row["adjusted"] = highest
    return rows


def sentences(report: Mapping[str, Any]) -> list[str]:
    """The verdict on one package in plain words."""
    rows = adjusted(report)
    package = [row for row in rows if row["subject"] == "package"]
    parts = [_compared(report), _verdict(report, package), _nearest(report), _tied(report), _membership(report)]
    parts += [_theta_bn(report), _controls(report), *_reservations(report)]
    return [sentence for sentence in parts if sentence]


def works(report: Mapping[str, Any]) -> bool:
    """Whether the controls came out as they must: real patches found and matched to their patients, noise neither."""
    real, noise = report["controls"]["real"], report["controls"]["noise"]
    images = report["images"]
    found = all(real["nearest"][each]["copies"] == images for each in ("pixel", "feature"))
    matched = real["reidentification"]["pixel"]["matched"] == images
    silent = all(noise["nearest"][each]["copies"] == 0 for each in MEASURES)
    return bool(found and matched and silent)


def found_something(report: Mapping[str, Any]) -> list[str]:
    """Attacks that found something: significant after correction, or an image that is a copy."""
    rows = [row for row in adjusted(report) if row["subject"] == "package"]
    found = [_NAMES[row["attack"]] for row in rows if row["adjusted"] <= LEVEL or _is_copy(row)]
    return list(dict.fromkeys(found))


_NAMES = {
    "nearest": "training patients are nearer than held-out ones",
    "copy": "images are as near to training patients as copies",
    "similar": "the patients most like an image are those who trained",
    "single": "images single out one patient",
    "membership": "membership inference",
    "theta_bn": "the batch-norm statistics",
}


def _is_copy(row: Mapping[str, Any]) -> bool:
    return row["attack"] == "copy" and row["value"] > 0


def _rows(report: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    subjects = {"package": report, **report["controls"]}
    same = {"trial": report["trial"], "cell": report["cell"]}
    for subject, measured in subjects.items():
        for measure in MEASURES:
            near, tied = measured["nearest"][measure], measured["reidentification"][measure]
            of = same | {"subject": subject, "measure": measure}
            yield of | {"attack": "nearest"} | _found(near["effect"])
            images = tied["images"]
            yield of | {"attack": "copy", "value": near["copies"] / images, "chance": 0.0, "p": near["copy_p"]}
            yield of | {"attack": "similar", "value": tied["few"], "chance": tied["chance"], "p": tied["few_p"]}
            yield of | {"attack": "single", "value": tied["tied"] / images, "chance": 0.0, "p": tied["tied_p"]}
    of = same | {"subject": "package"}
    kind = "calibrated" if report["membership"]["calibrated"] else "raw"
    yield of | {"attack": MEMBERSHIP, "measure": kind} | _found(report["membership"][kind])
    if (control := report["membership"].get("control")) is not None:  # younger than the format
        trained = {"trial": control["trial"], "cell": control["trial"].partition("/")[0], "subject": "trained"}
        yield of | trained | {"attack": MEMBERSHIP, "measure": "calibrated"} | _found(control["found"])
    if report["theta_bn"] is not None:
        yield of | {"attack": "theta_bn"} | _found(report["theta_bn"]["found"])


def _found(found: Mapping[str, Any]) -> dict[str, Any]:
    named = {"value": found["auc"], "low": found["auc_low"], "high": found["auc_high"], "chance": 0.5}
    return named | {name: found[name] for name in ("p", "tpr", "false_alarms", "training", "held_out")}


def _compared(report: Mapping[str, Any]) -> str:
    patients, patches = report["patients"], report["patches"]
    return (
        f"{report['trial']}: {plural(report['images'], 'distilled image')} against {patients['training']} patients who "
        f"trained and {patients['held_out']} held-out patients ({patches['training']:,} and {patches['held_out']:,} "
        f"{_seen(report)[1]})."
    )


def _seen(report: Mapping[str, Any]) -> tuple[str, str]:
    """What is seen of patients, one and several."""
    return ("image", "images") if report.get("seen") == "images" else ("patch", "patches")


def _verdict(report: Mapping[str, Any], package: list[dict[str, Any]]) -> str:
    found = found_something(report)
    tests = f"{len(package)} tests, together at the {100 * LEVEL:.0f} % level"
    if not works(report):
        return "Verdict: none. The controls failed, so what the attacks did not find here says nothing."
    if any(map(_is_copy, package)):
        return f"Verdict: this package gives patients away ({tests}): {'; '.join(found)}."
    if found:
        return (
            f"Verdict: something was found ({tests}): {'; '.join(found)}. By chance that is said of one in twenty "
            "packages that give nothing away; other seeds, and other splits of the patients, tell."
        )
    return (
        f"Verdict: nothing was found ({tests}). That is not anonymity: it is what these attacks find with this many "
        "patients; each line says how much they may have missed."
    )


def _nearest(report: Mapping[str, Any]) -> str:
    parts, seen = [], _seen(report)[0]
    for measure, word in MEASURES.items():
        near = report["nearest"][measure]
        effect = near["effect"]
        parts.append(
            f"by {word} {near['training']:.2f} to training patients and {near['held_out']:.2f} to as many held-out "
            f"ones (one who trained is nearer in {_interval(effect)} of pairs, {_p(effect['p'])}), where a stranger's "
            f"own {seen} reaches {near['unseen']:.2f} in the middle and {near['unseen_highest']:.2f} at most"
        )
    copies = max(report["nearest"][measure]["copies"] for measure in MEASURES)
    return f"Nearest real {seen} (1 is a copy): {'; '.join(parts)}. Copies: {copies} of {report['images']}."


def _tied(report: Mapping[str, Any]) -> str:
    parts = []
    for measure, word in MEASURES.items():
        tied = report["reidentification"][measure]
        parts.append(f"by {word} {whole_percent(tied['few'])} ({_p(tied['few_p'])}) and {tied['tied']}")
    chance = whole_percent(report["reidentification"]["pixel"]["chance"])
    return (
        f"Re-identification: of the five patients most like an image, those who trained are ({chance} by chance), and "
        f"images that single one of them out more than real {_seen(report)[1]} do a stranger number: "
        f"{'; '.join(parts)} of {report['images']}."
    )


def _membership(report: Mapping[str, Any]) -> str:
    attack, references = report["membership"], report["membership"]["references"]
    if attack["calibrated"]:
        kind = {"halves": "made anew on halves of the patients", "folds": "of other folds and seeds"}[
            references["kind"]
        ]
        how = f"calibrated by {plural(references['number'], 'reference')} {kind}, {references['each']} for each patient"
        return f"Membership inference, {how}: {_caught(attack['calibrated'])}{_control(attack.get('control'))}"
    return (
        f"Membership inference without references (--references): {_caught(attack['raw'])} Such an attack is weak: "
        "some patients are easy for any network."
    )


def _control(control: Mapping[str, Any] | None) -> str:
    """On the attack on the network that was trained on the patients themselves."""
    if control is None:
        return ""
    found = control["found"]
    words = f"AUC {found['auc']:.2f} ({found['auc_low']:.2f} to {found['auc_high']:.2f}, {_p(found['p'])})"
    weak = "" if found["p"] <= LEVEL else ", so that it hardly finds members here, whatever they trained"
    return f" As a control, on ordinary training of the same network ({control['trial']}) it has {words}{weak}."


def _theta_bn(report: Mapping[str, Any]) -> str:
    if report["theta_bn"] is None:
        return "Batch-norm statistics: this package has none."
    pools = report["theta_bn"]["pools"]
    shown = ", ".join(f"{pool['auc']:.2f} of {pool['patients']}" for pool in pools)
    return (
        f"Batch-norm statistics alone: {_caught(report['theta_bn']['found'])} As a control, the same attack on the "
        f"plain mean of fewer patients has an AUC of {shown}."
    )


def _controls(report: Mapping[str, Any]) -> str:
    real, noise = report["controls"]["real"], report["controls"]["noise"]
    images, cut = report["images"], (f"real training {word}" for word in _seen(report))
    found = real["nearest"]["pixel"]["copies"]
    matched = real["reidentification"]["pixel"]["matched"]
    false = max(noise["nearest"][measure]["copies"] for measure in MEASURES)
    return (
        f"Controls: of {plural(images, *cut)} in the images' place {found} "
        f"were found as copies and {matched} matched to their patient; of {plural(images, 'noise image')}, {false}."
    )


def _reservations(report: Mapping[str, Any]) -> Iterator[str]:
    if report["divided"] == "manifest":
        yield "The manifest divided the patients: the p-values hold as far as it did so at random."
    if report["protocol"] == "paper":
        yield "The papers' protocol chose states on the held-out patients, so they are not quite outside."


def _caught(found: Mapping[str, Any]) -> str:
    alarms, held_out = found["false_alarms"], found["held_out"]
    at = f"with {plural(alarms, 'false alarm') if alarms else 'no false alarm'} among {held_out}"
    few = f" (too few to tell 1 % from none: that takes {RESOLVES})" if held_out < RESOLVES else ""
    return (
        f"AUC {found['auc']:.2f} (95 % {found['auc_low']:.2f} to {found['auc_high']:.2f}, {_p(found['p'])}; 0.5 is "
        f"chance); {at} held-out patients{few} it finds {whole_percent(found['tpr'])} "
        f"({whole_percent(found['tpr_low'])} to {whole_percent(found['tpr_high'])}) of those who trained."
    )


def _interval(found: Mapping[str, Any]) -> str:
    return f"{whole_percent(found['auc'])} ({whole_percent(found['auc_low'])} to {whole_percent(found['auc_high'])})"


def _p(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.{3 if value < 0.1 else 2}f}"
