"""Less given away: how well a package tells patients apart, against how well it tells who trained.

    python -m benchmarks.sharing.privacy --out privacy.jsonl  # phantom patients
    python -m benchmarks.sharing.privacy --data DIR --backbone convnet_w32 --out lungs-privacy.jsonl  # a cohort folder
    python -m benchmarks.sharing.privacy --out privacy.jsonl --table privacy.csv  # the table of what was run

For each way of making a package (``benchmarks.sharing.privacy_arms``) and seed: one distillation of the training
patients, and --references more on halves of them, by which membership is calibrated for every patient
(docs/anonymity.md). Scores are AUCs on test patients, who are those held out, too; nothing is chosen on them: the last
state is kept. Intervals are a bootstrap over patients and seeds, paired with ``plain`` for the differences. The
control, a network trained on the patients themselves, has to be found: where it is not, nothing that is not found says
anything.

Rows of --out are runs; one that is there already is not run again, and runs of other settings are not gone on with.
Patients are numbers in them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.measure import one_thread
from benchmarks.runs_file import RunsFile, read_runs, settings_of, write_table
from benchmarks.sharing.options import add_distillation, add_patients, source_of
from benchmarks.sharing.privacy_arms import ARMS, CPU, NO_NOISE, Made, applies, make
from sldd.data.cohort import Cohort, default_cache, prepare
from sldd.data.split import Split, SplitSettings, split_patients
from sldd.errors import InputError
from sldd.metrics.auc_bootstrap import AucBootstrap, estimate
from sldd.metrics.patient_votes import count_votes
from sldd.pipeline.refusal import why_not
from sldd.privacy_attacks.batch_norm import scores as trace_scores
from sldd.privacy_attacks.group_test import MemberLabels
from sldd.privacy_attacks.membership import calibrated
from sldd.privacy_attacks.patient_losses import PatientFeatures, norm_moments, patient_features
from sldd.privacy_attacks.views import PatchViews
from sldd.rng import stream
from sldd.training.outer_loop import DivergedError

PLAIN, CONTROL = "plain", "trained"
_MEASURES = (
    ("test AUC", "scores", "labels"),
    ("membership AUC", "membership", "member"),
    ("theta_bn AUC", "traces", "member"),
)
"""Columns of the table; which scores of a run's patients they are of, and what these are to tell apart."""


def run(arm: str, seed: int, cohort: Cohort, public: Cohort, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Rows of all forms of an arm: scores of the test patients, and scores of the candidates (those who trained, then
    those held out), the higher, the more a candidate looks like one who trained."""
    split = split_patients(cohort, SplitSettings(validation=0.15, test=options.test))
    candidates = [*split.train, *split.test]
    groups = MemberLabels(
        np.arange(len(candidates)) < len(split.train), np.array([cohort.labels[patient] for patient in candidates])
    )
    attacked = {
        form: (made, _features(made, candidates)) for form, made in make(arm, cohort, split, seed, options, public)
    }
    references, unseen = _references(arm, seed, cohort, public, split, options)
    rows = []
    for form, (made, features) in attacked.items():
        votes = count_votes(made.network, made.patches, split.test, batch=256, device=CPU)
        rows.append(
            {
                "form": form,
                "labels": votes.labels.tolist(),
                "scores": votes.scores.tolist(),
                "member": groups.member.astype(int).tolist(),
                "membership": calibrated(features.losses, np.stack(references[form]), unseen).tolist(),
                "traces": _traces(made, features, groups, seed),
                "epsilon": _epsilon(arm, len(split.train), options),
            }
        )
    return rows


def _references(
    arm: str, seed: int, cohort: Cohort, public: Cohort, split: Split, options: argparse.Namespace
) -> tuple[dict[str, list[np.ndarray]], np.ndarray]:
    """Losses of all candidates (candidates,) by networks of halves of the training patients, a list for each form; and
    which candidates each is compared for (references, candidates)."""
    candidates = [*split.train, *split.test]
    losses: dict[str, list[np.ndarray]] = {}
    unseen = []
    for half, compared in _halves(cohort, split, options.references, seed):
        for form, made in make(arm, cohort, Split(half, split.validation, split.test), seed, options, public):
            losses.setdefault(form, []).append(_features(made, candidates).losses)
        unseen.append(compared)
    return losses, np.stack(unseen)


def _traces(made: Made, features: PatientFeatures, groups: MemberLabels, seed: int) -> list[float]:
    """Scores of the candidates by the package's batch-norm statistics; none without a package, or where it has none."""
    if made.package is None or not made.package.theta_bn:
        return []
    pooled = norm_moments(made.network, made.package.theta_bn)
    found: list[float] = trace_scores(features.moments, pooled, groups, seed).tolist()
    return found


def _run(arm: str, seed: int, cohort: Cohort, public: Cohort, options: argparse.Namespace) -> list[dict[str, Any]]:
    """``run``; no rows where it diverges, or where the network cannot take the arm's images."""
    try:
        return run(arm, seed, cohort, public, options)
    except InputError:
        raise
    except DivergedError as error:
        reason = f"diverged ({error})"
    except ValueError as error:  # batch norm, of a last map of one value
        reason = why_not(error, options.backbone, ARMS[arm].images or options.images, options.input)
    print(f"arm {arm}, seed {seed}: {reason}; left out", flush=True)
    return []


def _features(made: Made, patients: Sequence[int]) -> PatientFeatures:
    views = PatchViews(made.patches)
    return patient_features(made.network, made.network, views, patients, batch=256, device=CPU)


def _halves(cohort: Cohort, split: Split, count: int, seed: int) -> Iterator[tuple[list[int], np.ndarray]]:
    """Pairs of random halves of the training patients, of each label a half.

    Beside each half: for which candidates (training patients, then held-out ones) it is compared, (candidates,) bool.
    Of the training patients it is those of the other half. Each held-out patient is drawn for one half of the pair, so
    that all candidates have equally many references.
    """
    training = np.array(split.train)
    labels = np.array([cohort.labels[patient] for patient in split.train])
    for pair in range(count // 2):
        random = stream(seed, "privacy benchmark", "halves", pair)
        orders = [random.permutation(training[labels == label]) for label in (0, 1)]
        first = sorted(np.concatenate([order[: len(order) // 2] for order in orders]).tolist())
        second = sorted(set(split.train) - set(first))
        turn = random.integers(2, size=len(split.test))  # of each held-out patient, the half
        for number, half in enumerate((first, second)):
            yield half, np.concatenate([~np.isin(training, half), turn == number])


def _epsilon(name: str, patients: int, options: argparse.Namespace) -> float | None:
    """Epsilon of the arm's differential privacy, by patient; None where it has none."""
    privacy = ARMS[name].privacy
    if privacy is None or privacy.noise is None or privacy.noise <= NO_NOISE:
        return None
    return privacy.epsilon(steps=options.steps, batch_size=options.batch, patients=patients)


_COLUMNS = ("arm", "form", "seed", "labels", "scores", "member", "membership", "traces")
"""What the table reads of a run."""


def table(rows: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """A line for each form: AUCs of test scores, membership and traces, and what they are over plain packages of the
    same seeds (where each of its seeds has one)."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: row["seed"]):
        groups.setdefault((row["arm"], row["form"]), []).append(row)
    plain = {row["seed"]: row for row in groups.get((PLAIN, PLAIN), [])}
    for (arm, form), runs in groups.items():
        line = {"form": form, "arm": arm, "seeds": len(runs), "epsilon": _words(runs[0]["epsilon"])}
        others = [plain[run["seed"]] for run in runs if run["seed"] in plain]
        for title, what, labels in _MEASURES:
            line |= {title: "", f"{title} over plain": ""}
            if not runs[0][what]:
                continue
            drawn = AucBootstrap(np.array(runs[0][labels]), len(runs))
            aucs = drawn.aucs(np.array([run[what] for run in runs], np.float64))
            line[title] = str(estimate(aucs))
            if len(others) == len(runs) and form != PLAIN and others[0][what]:
                base = drawn.aucs(np.array([other[what] for other in others], np.float64))
                line[f"{title} over plain"] = str(estimate(aucs - base))
        yield line


def _words(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _cohorts(options: argparse.Namespace) -> tuple[Cohort, Cohort]:
    """The patients to protect, and public ones."""
    cache = default_cache() if options.cache is None else options.cache
    own, public = source_of(options, options.data), source_of(options, options.public, seed=1)
    return prepare(own, cache), prepare(public, cache)


def main(arguments: list[str] | None = None) -> int:
    """``python -m benchmarks.sharing.privacy``; 1 where the control is not found, 2 for bad input."""
    options = _options(arguments)
    one_thread()
    try:
        rows = _completed(options) if options.table is None else read_runs(options.out, _COLUMNS)
        lines = [*table(rows)]
        if options.table is not None:
            write_table(options.table, lines)
    except InputError as error:
        print(f"benchmarks.sharing.privacy: {error}", file=sys.stderr)
        return 2
    for line in lines:
        print("  ".join(f"{value!s:<22}" if "AUC" in name else f"{value!s:<13}" for name, value in line.items()))
    return 0 if control_is_found(rows) else 1


def _completed(options: argparse.Namespace) -> list[dict[str, Any]]:
    """All runs of --out, once those that it lacked are there."""
    runs = RunsFile(options.out, settings_of(options, "arms"), defined=("arm", lambda arm: ARMS[arm].definition))
    cohort, public = _cohorts(options)
    arms = [name for name in options.arms if applies(ARMS[name], options)]
    jobs = [{"arm": name, "seed": seed} for seed, name in product(range(options.seeds), arms)]
    runs.add_missing(jobs, lambda job: _run(job["arm"], job["seed"], cohort, public, options))
    return runs.rows


def control_is_found(rows: Sequence[dict[str, Any]]) -> bool:
    """Whether the network trained on the patients themselves gives them away; True where it was not run."""
    runs = [row for row in rows if row["form"] == CONTROL]
    if not runs:
        return True
    drawn = AucBootstrap(np.array(runs[0]["member"]), len(runs))
    found = estimate(drawn.aucs(np.array([run["membership"] for run in runs])))
    if found.low <= 0.5:
        print(f"the control is NOT found: membership AUC {found}; what is not found says nothing", flush=True)
    return found.low > 0.5


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sharing.privacy",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, metavar="RUNS.jsonl")
    parser.add_argument("--table", type=Path, metavar="TABLE.csv", help="write the table; run nothing")
    parser.add_argument("--public", metavar="DIR", help="a cohort folder of public films; other phantoms unless given")
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--references", type=int, default=8, help="distillations on halves, an even number; default 8")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--test", type=float, default=0.4, help="share of the patients held out")
    add_patients(parser, patients=100)
    add_distillation(parser, steps=300)
    parser.add_argument("--statistics-batches", type=int, default=10)
    parser.add_argument("--inner-lr", type=float, default=0.02)
    parser.add_argument("--train-lr", type=float, default=0.002, help="of the control")
    parser.add_argument("--train-steps", type=int, default=1000, help="of the control")
    parser.add_argument("--train-batch", type=int, help="of the control; --batch unless given")
    options = parser.parse_args(arguments)
    if options.references < 2 or options.references % 2:
        parser.error(f"--references {options.references}: references come in pairs; give an even number")
    return options


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main())
