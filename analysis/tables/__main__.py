"""``python -m analysis.tables``; see ``analysis.tables.cli``."""

from __future__ import annotations

import sys

from analysis.tables.cli import main

if __name__ == "__main__":
    sys.exit(main())
