"""``python -m sldd.backbones``; see ``sldd.backbones.registry``."""

from __future__ import annotations

import sys

from sldd.backbones.registry import main

if __name__ == "__main__":
    sys.exit(main())
