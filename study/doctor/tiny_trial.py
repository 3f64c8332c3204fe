"""A tiny trial on each machine: phantom patients come through Ray's object store, results go to the study's folder."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ledger.ledger import FORMAT, Ledger
from ledger.storage import Folder, delete
from ledger.trial import Trial
from sldd.data.cohort import prepare
from sldd.data.settings import open_source
from sldd.errors import InputError
from study.cluster.broadcast import share
from study.cluster.nodes import answers
from study.config.cells import cells
from study.config.loader import load
from study.config.paths import cache_folder
from study.config.schema import StudyConfig
from study.grid.spec import TrialSpec
from study.trial.context import TrialContext

_TINY = [
    "name=doctor", "grid.backbone=test_resnet", "grid.images=2", "grid.method=sldd",
    "data.split={validation: 0.2, test: 0.4}", "patches={size: 24, stride: 8, score_stride: 16, input_size: 32}",
    "outer={steps: 10, batch_size: 12, evaluations: 1, statistics_batches: 1, checkpoint_every: 5}",
]  # fmt: skip


def run_tiny_trials(
    config: StudyConfig, out: Folder, examiners: Mapping[str, Any], on_gpu: Mapping[str, bool]
) -> tuple[dict[str, float], dict[str, str]]:
    """Run the same trial on all machines at once, and delete what it leaves.

    Args:
        config: the study's; the trial takes ``compute``, ``resources`` and ``data.cache`` from it.
        out: the folder for studies.
        examiners: actors (``Examiner``) by their machines' names.
        on_gpu: whether the trial runs on a GPU, by machine.

    Returns:
        Seconds by machine where the trial is done; why it failed by machine where it is not.
    """
    if not examiners:
        return {}, {}
    ledger = Ledger(out / f".doctor-{secrets.token_hex(8)}")
    tiny = _tiny_study(config)
    cache, source = cache_folder(tiny.data), open_source(tiny.data)
    decoded = None  # name of the cohort's folder in the cache, here and on the other machines
    try:
        ledger.hold()
        cohort = prepare(source, cache)
        decoded = cohort.folder.name
        ledger.start({"format": FORMAT, "name": tiny.name, "config": {}, "provenance": {}})
        pseudonyms = ledger.pseudonyms(source.patient_ids)
        context = TrialContext(
            tiny, cohort.folder, cohort.fingerprint, pseudonyms, ledger.stop_path, shared=share([cohort], [])
        )
        trials = {name: _begin(ledger, tiny) for name in examiners}
        asked = {
            name: each.trial.remote(
                {"folder": str(trials[name].folder), "gpus": float(on_gpu[name]), **trials[name].config}, context
            )
            for name, each in examiners.items()
        }
        seconds, failures = answers(asked)
        for name in list(seconds):
            ledger.refresh(trials[name])
            result = trials[name].result or {"status": "failed", "error": "its result does not appear here"}
            if result["status"] != "done":
                failures[name] = str(result["error"])
                del seconds[name]
        return seconds, failures
    except (InputError, OSError) as error:
        return {}, dict.fromkeys(examiners, str(error))
    finally:
        ledger.close()
        delete(ledger.folder)
        if decoded is not None:
            delete(cache / decoded)
            answers({name: each.forget.remote(tiny.data, decoded) for name, each in examiners.items()})


def _tiny_study(config: StudyConfig) -> StudyConfig:
    """Configuration of a study of one tiny trial, which runs as trials of ``config`` do; an error is not tried again.

    Its phantom patients have a random seed. So no machine has them in its cache yet, and each has to fetch them.
    """
    seed = secrets.randbelow(2**31)
    tiny = load("demo", [*_TINY, f"data.phantom={{patients: 16, size: 128, seed: {seed}}}"])
    return replace(
        tiny,
        compute=config.compute,
        data=replace(tiny.data, cache=config.data.cache),
        resources=replace(config.resources, retries=0),
    )


def _begin(ledger: Ledger, config: StudyConfig) -> Trial:
    """A new search trial of the only cell, with rates and a threshold that work."""
    (cell,) = cells(config.grid)
    spec = TrialSpec(cell, "search", 0, outer_lr=0.03, inner_lr=0.02, delta=0.5)
    return ledger.begin(ledger.add(cell.name, spec.to_json()))
