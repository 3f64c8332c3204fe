"""Examine a machine or a cluster before a study runs there: one line for each thing that is wrong, with its cure.

    python -m study.doctor                                          this machine
    python -m study.doctor cohort data.root=DIR --out s3://BUCKET/studies
    python -m study.doctor cohort data.root=DIR resources.gpus_per_trial=1 --out DIR --machines 8
    python -m study.doctor --json > machines.json

The words are those of study.run. Every machine that takes trials is asked for its versions and clock, for disks, memory
and GPUs; writes a file into --out, which all others read; takes a step; and runs a tiny trial. Nothing is left behind.
Exit status: 0, nothing is wrong; 1, something is; 2, the words are, or the cluster cannot be reached; 130, interrupted.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace

from ledger.storage import StorageError, open_folder, reachable
from sldd.errors import InputError
from study.doctor.facts import Facts, Machine


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    options = _options(arguments)
    try:
        # --help and a mistyped setting do not wait for torch and Ray.
        from study.config.loader import load

        config = load(options.study, options.settings)
        out = open_folder(options.out)
        reachable(out)
        from study.cluster.ray_cluster import connect, find_cluster
        from study.doctor.checks import findings
        from study.doctor.gather import gather

        # What is missing, workers or a GPU, is for the checks to find: here any cluster will do.
        resources = replace(config.resources, concurrent=config.resources.concurrent or options.machines or 1)
        with connect(find_cluster(options.address), resources) as (where, _):
            print(f"doctor: {where.partition(';')[0]}", file=sys.stderr)
            facts = gather(config, out, options.machines)
    except (InputError, StorageError) as error:
        print(f"study.doctor: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    found = findings(facts)
    if options.json:
        print(json.dumps({"healthy": not found, "findings": [asdict(each) for each in found], "facts": asdict(facts)}))
    else:
        for line in (*_table(facts), *(map(str, found) if found else ["nothing is wrong"])):
            print(line)
    return 1 if found else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m study.doctor", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("words", nargs="*", metavar="PRESET | FILE.yaml | KEY=VALUE", help="a study, as of study.run")
    parser.add_argument("--out", default="results", metavar="DIR", help="where studies are to go; default: results")
    parser.add_argument("--address", metavar="ADDRESS", help="a Ray cluster, as of study.run")
    parser.add_argument(
        "--machines", type=int, metavar="N", help="ask for so many, and wait for them up to ten minutes"
    )
    parser.add_argument("--json", action="store_true", help="facts and findings for a program")
    options = parser.parse_intermixed_args(arguments)
    names = [word for word in options.words if "=" not in word]
    if len(names) > 1:
        parser.error(f"one preset or file at a time, got {', '.join(names)}")
    if options.machines is not None and options.machines < 1:
        parser.error(f"--machines: at least one, got {options.machines}")
    options.study = names[0] if names else "demo"
    options.settings = [word for word in options.words if "=" in word]
    return options


def _table(facts: Facts) -> Iterator[str]:
    """A line on each machine; dashes for what it did not get to."""
    yield f"{'machine':<24}{'CPUs':>6}{'GPUs':>6}{'memory':>10}{'room':>10}{'step':>10}{'trial':>9}"
    for machine in facts.machines:
        yield (
            f"{machine.host:<24}{machine.cpus:>6g}{machine.gpus:>6g}{machine.memory / 2**30:>6.1f} GiB"
            f"{_room(machine):>10}{_unit(machine.step, 1000, 'ms'):>10}{_unit(machine.trial, 1, 's'):>9}"
        )


def _room(machine: Machine) -> str:
    free = [room.free for room in machine.rooms.values()]
    return f"{min(free) / 2**30:.1f} GiB" if free else "-"


def _unit(value: float | None, times: float, unit: str) -> str:
    return "-" if value is None else f"{times * value:.1f} {unit}"


if __name__ == "__main__":
    sys.exit(main())
