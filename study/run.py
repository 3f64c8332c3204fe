"""Run or resume a study.

    python -m study.run                                    the demo on phantom patients
    python -m study.run demo --dry-run                     cells, steps and time of a preset
    python -m study.run my.yaml search.trials=12 --out /data/studies
    python -m study.run cohort data.root=DIR name=ours grid.backbone=[resnet18,vgg16]
    python -m study.run lungs data.root=DIR name=rotated confirm.folds=5 grid.images=search
    python -m study.run chest-distill-small data.root=DIR  radiographs with several findings
    python -m study.run cells-small data.root=DIR          images in colour, of one class each
    python -m study.run chest-transfer data.root=DIR sources.nih.root=DIR
    python -m study.run table5-small                       an experiment of the papers, on phantom patients
    python -m study.run demo budget.price=1.01 --dry-run   its cost, at this price of the machine an hour
    python -m study.run demo budget.hours=20               ends after 20 hours; the same command goes on
    python -m study.run demo search.trials=20 search.pruner=median

The same command again resumes. More trials, repeats or grid points than before run only what is new.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from types import ModuleType
from typing import TYPE_CHECKING, Any

from rich.console import Console

from ledger.storage import no_room
from sldd.errors import InputError
from study.config.presets import about, presets
from study.config.values import load_value

if TYPE_CHECKING:
    from study.engine.from_python import Study


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status: 0, 1 after failed trials, 2 for bad input, 130 when interrupted."""
    options = _options(arguments)
    console = Console() if sys.stdout.isatty() else Console(width=160)  # a log file has no 80 columns
    try:
        # First torch, then Ray and pandas: each takes seconds, which --help and a mistyped setting do not wait for.
        from study.config.loader import load

        config = load(options.study, options.settings)
        from study.engine.conduct import conduct

        return conduct(
            config,
            console,
            out=options.out,
            address=options.address,
            dry_run=options.dry_run,
            words=options.words,
        )
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
    known = presets()
    width = max(map(len, known))
    parser = argparse.ArgumentParser(
        prog="python -m study.run",
        description=__doc__,
        epilog="\n".join(["presets:", *(f"  {name:{width}}  {about(name)}" for name in known)]).replace("%", "%%"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "words",
        nargs="*",
        metavar="PRESET | FILE.yaml | KEY=VALUE",
        help="a preset (below; demo unless given) or a study file, then any settings",
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
    options.settings = [word for word in options.words if "=" in word]
    names = [word for word in options.words if "=" not in word]
    if len(names) > 1:
        try:
            for word in options.settings:
                load_value(*word.split("=", 1))
        except InputError as error:  # a value such as [1, 2], which the shell has cut at its spaces
            parser.error(str(error))
        parser.error(f"one preset or file at a time, got {', '.join(names)}")
    options.study = names[0] if names else "demo"
    return options


class _Callable(ModuleType):
    """Class of this module that makes it callable: ``study.run(...)`` in Python runs a study."""

    def __call__(self, *given: Any, **settings: Any) -> Study:
        """Call ``study.engine.from_python.run``, which documents the arguments."""
        from study.engine.from_python import run

        return run(*given, **settings)


sys.modules[__name__].__class__ = _Callable

if __name__ == "__main__":
    warnings.simplefilter("ignore", FutureWarning)  # of libraries; nothing that a user of this command can act on
    sys.exit(main())
