"""Exports a study to Optuna, TensorBoard, MLflow or Weights & Biases. The same command again adds only what is new.

    python -m study.export results/demo --optuna sqlite:///study.db           for optuna-dashboard
    python -m study.export results/demo --tensorboard logs                    for tensorboard --logdir logs
    python -m study.export results/demo --mlflow sqlite:///mlflow.db          for mlflow ui, or an MLflow server's URL
    python -m study.export results/demo --wandb ours                          a project; WANDB_MODE=offline, wandb sync
    python -m study.export s3://bucket/studies/ours --optuna sqlite:///study.db --tensorboard logs

docs/export.md lists what goes where. The command only reads the study's files, while it runs or after. It exports
nothing about a single patient.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from analysis.records.records import NotAStudyError, read_study
from sldd.errors import InputError
from study.export.targets import TARGETS, module


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0, or 2 for bad input or a library that is not installed."""
    parser = argparse.ArgumentParser(
        prog="python -m study.export", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", metavar="STUDY", help="a study's folder or URL, with its study.yaml")
    parser.add_argument("--optuna", metavar="URL", help="an Optuna database, such as sqlite:///study.db")
    parser.add_argument("--tensorboard", metavar="DIR", help="a folder of TensorBoard runs")
    parser.add_argument("--mlflow", metavar="URI", help="an MLflow store or server, such as sqlite:///mlflow.db")
    parser.add_argument("--wandb", metavar="PROJECT", help="a project of Weights & Biases")
    parser.add_argument("--packages", action="store_true", help="with --mlflow or --wandb: packages as artifacts")
    options = parser.parse_args(arguments)
    chosen = {name: getattr(options, name) for name in TARGETS if getattr(options, name) is not None}
    try:
        if not chosen:
            raise InputError("say where to: --optuna URL, --tensorboard DIR, --mlflow URI or --wandb PROJECT")
        if options.packages and options.mlflow is None and options.wandb is None:
            raise InputError("--packages: they go to MLflow and Weights & Biases; add --mlflow URI or --wandb PROJECT")
        modules = {name: module(name, f"--{name}") for name in chosen}
        study = read_study(options.study)
        for name, where in chosen.items():
            more = {"packages": options.packages} if name in ("mlflow", "wandb") else {}
            print(f"{name}: {modules[name].export(study, where, **more)}")
    except (InputError, NotAStudyError) as error:
        print(f"export: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        reason = error.strerror or error
        print(f"export: {options.study} cannot be read just now ({reason}); try again later", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("export: interrupted; the same command goes on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
