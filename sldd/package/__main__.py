"""``python -m sldd.package``; see ``sldd.package.cli.commands``. Commands that train are those of ``sldd.pipeline``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from sldd.package.cli.commands import main as run
from sldd.pipeline.finetune_table import finetune_command


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    return run(arguments, {"finetune": finetune_command})


if __name__ == "__main__":
    sys.exit(main())
