"""``python -m sldd.package``; see ``sldd.package.cli.commands``."""

from __future__ import annotations

import sys

from sldd.package.cli.commands import main

if __name__ == "__main__":
    sys.exit(main())
