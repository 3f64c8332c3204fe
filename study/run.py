"""Run a study, or go on with one.

    python -m study.run                                    the demo on phantom patients
    python -m study.run lungs --dry-run                    what a preset would cost
    python -m study.run my.yaml search.trials=12 --out /data/studies
    python -m study.run cohort data.root=FOLDER name=ours grid.backbone=[resnet18,vgg16]
    python -m study.run lungs name=rotated confirm.folds=5 grid.images=search
    python -m study.run chest-distill-small data.root=DIR  films with several findings
    python -m study.run chest-transfer data.root=DIR sources.nih.root=DIR
    python -m study.run table5-small                       an experiment of the papers, on phantom patients
    python -m study.run lungs budget.price=1.01 --dry-run  in money, at that for an hour of a machine like this
    python -m study.run lungs budget.gpu_hours=20          ends when they are used up; a larger budget goes on
    python -m study.run lungs search.trials=20 search.stop=median

The same command again resumes. More trials, repeats or grid points than before run only what is new.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from analysis.dashboard import write_dashboard
from analysis.records import write_records
from analysis.storage import Folder, StorageError, no_room, open_folder, reachable
from sldd.cohort import Cohort, default_cache, prepare
from sldd.data import open_source
from sldd.errors import InputError
from sldd.film_batches import FilmBatches
from sldd.package.signature import check_signer, read_private
from sldd.patches import BalancedBatches, Patches
from sldd.split import Split
from sldd.start import FILE_ENDINGS, PRETRAINED
from study.budget import Budget
from study.chains import chained, check_chains, with_stages
from study.cluster import connect, find_cluster, memory_per_trial
from study.collections import Collection, collection_grounds, contexts, open_collections, with_absolute_roots
from study.config import StudyConfig, as_tree, differences, load
from study.dry_run import print_plan, print_refused
from study.engine import make_searches, run_trials
from study.grid import cells
from study.ledger import Ledger
from study.materials import Materials, films_of, trial_context
from study.methods import Batches
from study.nodes import check_nodes
from study.plan import plan_cells
from study.progress import end_table, spared
from study.protocol import divide
from study.provenance import describe
from study.reading import presets
from study.search import Search
from study.sharing import share
from study.stopping import stopped_early
from study.task import check_cohort


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status: 0, 1 after failed trials, 2 for bad input, 130 when interrupted."""
    options = _options(arguments)
    console = Console() if sys.stdout.isatty() else Console(width=160)  # a log file has no 80 columns
    try:
        config = load(options.study, options.settings)
        return _run(config, options, console)
    except InputError as error:
        print(f"study.run: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        if not no_room(error):
            raise
        print(f"study.run: no room left in {options.out}; make some, and the same command goes on", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("study.run: interrupted; the same command goes on from the last checkpoints", file=sys.stderr)
        return 130


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m study.run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "words",
        nargs="*",
        metavar="PRESET | FILE.yaml | KEY=VALUE",
        help=f"a preset ({', '.join(presets())}; demo unless given) or a study file, then any settings",
    )
    parser.add_argument("--dry-run", action="store_true", help="print cells, trials, steps and time, and stop")
    parser.add_argument(
        "--out", default="results", metavar="DIR", help="a folder or an object store, s3://...; default: results"
    )
    parser.add_argument(
        "--address",
        metavar="ADDRESS",
        help="a Ray cluster, or local to start one here; default: RAY_ADDRESS, else the one that runs on this machine "
        "(by ray up or ray start), else local",
    )
    options = parser.parse_intermixed_args(arguments)
    names = [word for word in options.words if "=" not in word]
    if len(names) > 1:
        parser.error(f"one preset or file at a time, got {', '.join(names)}")
    options.study = names[0] if names else "demo"
    options.settings = [word for word in options.words if "=" in word]
    return options


def _run(config: StudyConfig, options: argparse.Namespace, console: Console) -> int:
    # Workers run elsewhere: every path they are given is absolute.
    config = with_absolute_roots(_with_absolute_files(config))
    asked = cells(config.grid, config.confirm.folds, config.task)
    check_chains(asked, config.sources)
    grid = with_stages(asked)
    address = find_cluster(options.address)
    ledger = Ledger(_folder(options.out) / config.name)
    before = ledger.header()
    source = open_source(config.data)
    cache = (Path(config.data.cache).expanduser() if config.data.cache else default_cache()).resolve()
    cohort = prepare(source, cache)
    if cohort.classes:
        _announce_findings(console, config.name, cohort)
    check_cohort(config, cohort)
    collections, missing = open_collections(config, chained(grid), cache)
    for name, each in collections.items():
        _announce_findings(console, f"{config.name}, {name}", each.cohort)
    if before is not None:
        _check_same_study(before, config, cohort, collections, ledger.folder)
    split = divide(cohort, config.data.split, config.protocol, config.confirm.folds, None)
    own = _materials(config, cohort, split)
    _announce(console, config, cohort, split, own.batches)
    grounds = {None: own, **collection_grounds(grid, collections, config.patches.input_size)}

    begun = ledger.begun()  # these have shown what a step takes
    timed = {cell for cell in grid if options.dry_run or cell.name not in begun}
    memory = memory_per_trial(config.resources, address)
    plan = plan_cells(grid, config, grounds, timed=timed, memory=memory, missing=missing)
    runnable = [entry for entry in plan if entry.refused is None]
    if options.dry_run:
        print_plan(console, config, plan, grounds)
        return 0 if runnable else 2
    if not runnable:
        raise InputError(f"every cell is refused; {plan[0].cell.name}: {plan[0].refused}")

    print_refused(console, plan)
    ledger.hold(say=lambda words: console.print(words, highlight=False, soft_wrap=True))
    try:
        with connect(address, config.resources) as (where, slots):
            console.print(where, highlight=False)
            shared = None
            if address is not None:
                for line in check_nodes(ledger.folder):
                    console.print(line, highlight=False, soft_wrap=True)
                shared = share([cohort, *(each.cohort for each in collections.values())], _weights(config))
            ledger.start(describe(config, cohort, split, plan, options.words, before, collections))
            pseudonyms = ledger.pseudonyms(source.patient_ids)
            others = contexts(collections, ledger.pseudonyms)
            context = trial_context(config, cohort, pseudonyms, ledger.stop_path, shared, others)
            searches = make_searches(config, ledger, runnable)
            budget = Budget(config.budget, ledger, slots.gpus)
            interrupted = run_trials(config, ledger, runnable, searches, slots, console, context, budget)
            taken_over = ledger.lost
    finally:
        ledger.close()
    if taken_over:
        print("study.run: another driver took this one for dead and goes on with the study", file=sys.stderr)
        return 1
    write_records(ledger.folder)
    page = write_dashboard(ledger.folder)
    if not interrupted:
        console.print(end_table(plan, ledger, note=_note(config, searches, ledger)))
    console.print(f"page: {page}", soft_wrap=True, highlight=False)
    if interrupted:
        console.print("interrupted; the same command goes on from the checkpoints", highlight=False)
        return 128 + interrupted
    if budget.used_up and not all(search.finished for search in searches):
        console.print(budget.used_up, soft_wrap=True, highlight=False)
    failed = [trial for group in ledger.trials.values() for trial in group if trial.status == "failed"]
    for trial in failed[:5]:
        print(f"failed: {trial.config['trial']}: {(trial.result or {}).get('error')}", file=sys.stderr)
    return 1 if failed else 0


def _materials(config: StudyConfig, cohort: Cohort, split: Split) -> Materials:
    if config.task == "multilabel":
        return Materials(*films_of(cohort, config.patches.input_size, split))
    patches = Patches(cohort, config.patches, *cohort.intensity(split.train))
    return Materials(patches, split, BalancedBatches(patches, split.train))


def _folder(out: str) -> Folder:
    try:
        folder = open_folder(out)
        reachable(folder)
    except StorageError as error:
        raise InputError(f"--out {error}") from None
    return folder


def _note(config: StudyConfig, searches: list[Search], ledger: Ledger) -> str | None:
    notes = [spared(searches), stopped_early(ledger)]
    if config.protocol == "paper":
        notes.append("the papers' protocol: states were chosen on the test patients, at a threshold of 0.4")
    return "\n".join(filter(None, notes)) or None


def _with_absolute_files(config: StudyConfig) -> StudyConfig:
    def absolute(setting: str, path: str) -> str:
        file = Path(path).expanduser().resolve()
        if not file.is_file():
            raise InputError(f"{setting}: {path}: there is no such file")
        return str(file)

    grid = [
        replace(
            block,
            start=[absolute("grid.start", start) if start.endswith(FILE_ENDINGS) else start for start in block.start],
        )
        for block in config.grid
    ]
    pretrained = {name: absolute(f"pretrained.{name}", file) for name, file in config.pretrained.items()}
    package = config.package
    if package.key is not None:
        package = replace(package, key=absolute("package.key", package.key))
        read_private(Path(str(package.key)))
        check_signer(package.signer)
    return replace(config, grid=grid, pretrained=pretrained, package=package)


def _weights(config: StudyConfig) -> list[str]:
    """All files of weights that trials may start from."""
    named = [start for block in config.grid for start in block.start if start.endswith(FILE_ENDINGS)]
    return [*dict.fromkeys([*named, *config.pretrained.values()])]


def _check_same_study(
    before: dict[str, Any],
    config: StudyConfig,
    cohort: Cohort,
    collections: dict[str, Collection],
    folder: Folder,
) -> None:
    changed = differences(before["config"], as_tree(config))
    if before["provenance"]["cohort"]["fingerprint"] != cohort.fingerprint:
        changed.append("the data (fingerprint) changed")
    for name, fingerprint in (before["provenance"].get("sources") or {}).items():
        if name in collections and collections[name].cohort.fingerprint != fingerprint:
            changed.append(f"sources.{name}: the data (fingerprint) changed")
    for name in config.pretrained.keys() - (before["config"].get("pretrained") or {}).keys():
        if any(
            cell["backbone"] == name and cell["start"] == PRETRAINED and not cell["refused"] for cell in before["cells"]
        ):
            changed.append(f"pretrained weights of {name} came from elsewhere")
    if changed:
        more = f", and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise InputError(
            f"{folder} holds another study: {'; '.join(changed[:3])}{more}; give this one another name (name=...)"
        )


def _announce_findings(console: Console, name: str, cohort: Cohort) -> None:
    found = (cohort.film_labels == 1).sum(0)
    counts = ", ".join(f"{count:,} {name}" for name, count in zip(cohort.classes, found, strict=True))
    films = f"{cohort.patients:,} patients with {len(cohort.film_patients):,} films"
    for line in (f"{films}; {counts}", *cohort.notes):
        console.print(f"{name}: {line}", highlight=False, soft_wrap=True)


def _announce(console: Console, config: StudyConfig, cohort: Cohort, split: Split, batches: Batches) -> None:
    parts = {name: len(patients) for name, patients in vars(split).items()}
    if config.protocol == "paper":
        del parts["validation"]  # the test patients, once more
    words = ", ".join(f"{count} {name}" for name, count in parts.items())
    if config.confirm.folds:
        words += f" in each of {config.confirm.folds} folds"
    if isinstance(batches, FilmBatches):
        drawn = f"{batches.size:,} training films"
    else:
        drawn = "training patches " + ", ".join(f"{count:,} {name}" for name, count in batches.counts.items())
    console.print(
        f"{config.name}: {cohort.patients} patients ({words}); {drawn}",
        highlight=False,
        soft_wrap=True,
    )


if __name__ == "__main__":
    warnings.simplefilter("ignore", FutureWarning)  # of libraries; nothing that a user of this command can act on
    sys.exit(main())
