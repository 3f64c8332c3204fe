"""``sldd-study COMMAND ...`` and ``python -m study COMMAND ...``: every command of the project under one name.

Each is also a module of its own: ``sldd-study run`` is ``python -m study.run``.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import sys
from collections.abc import Sequence

COMMANDS = {
    "run": ("study.run", "run or resume a study"),
    "doctor": ("study.doctor.__main__", "examine a machine or a cluster before a study"),
    "status": ("study.status", "progress of a study"),
    "settings": ("study.settings", "every setting with its default and meaning"),
    "dashboard": ("analysis.dashboard", "write a study's page"),
    "serve": ("analysis.serve", "the same page, live while a study runs"),
    "tables": ("analysis.tables.cli", "a study's cells, or published tables beside them"),
    "publish": ("analysis.publish", "every figure as SVG, PDF and PNG"),
    "pictures": ("analysis.pictures", "distilled images with their labels"),
    "epsilon": ("analysis.epsilon", "scores against the privacy spent"),
    "export": ("study.export.__main__", "a study for Optuna's dashboard, TensorBoard or MLflow"),
    "archive": ("study.export.archive", "a study's records in one file, and back"),
    "anonymity": ("study.anonymity", "what a study's packages give away of patients"),
    "check": ("sldd.check", "check a cohort's radiographs and tables"),
    "package": ("sldd.package.__main__", "look at, check, use and sign a package"),
    "overlay": ("sldd.overlay", "a package's votes drawn over one radiograph"),
    "pretext": ("sldd.training.pretext", "train a start on public radiographs without labels"),
    "imagenet": ("sldd.backbones.imagenet", "make a start of ImageNet weights that a package brings"),
    "backbones": ("sldd.distillation.audit", "check whether backbones can be distilled"),
    "phantom": ("sldd.sources.phantom", "write an example cohort of phantom patients"),
}
"""Module and purpose by name. Modules are imported when they are asked for: some take seconds."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand; returns its exit status, 2 where there is no such command."""
    name, *rest = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if name in ("-h", "--help"):
        lines = [f"  {command:<10}  {purpose}" for command, (_, purpose) in COMMANDS.items()]
        print(
            "usage: sldd-study COMMAND ... | --version",
            "",
            *lines,
            "",
            "sldd-study COMMAND --help says more.",
            sep="\n",
        )
        return 0
    if name == "--version":
        print(f"sldd-study {importlib.metadata.version('sldd-study')}")
        return 0
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(COMMANDS)}"
        print(f"sldd-study: no command {name}; {hint}", file=sys.stderr)
        return 2
    status: int = importlib.import_module(COMMANDS[name][0]).main(rest)
    return status


if __name__ == "__main__":
    sys.exit(main())
