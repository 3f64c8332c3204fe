"""``python -m sldd.backbones``; see ``sldd.distillation.audit``."""

from __future__ import annotations

import sys

from sldd.distillation.audit import main

if __name__ == "__main__":
    sys.exit(main())
