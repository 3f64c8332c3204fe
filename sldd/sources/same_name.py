"""Compare the contents of files with the same name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sldd.io.film import file_digest


def same_content(paths: Sequence[Path]) -> bool:
    """Whether files hold the same bytes; one that cannot be read is like no other."""
    try:
        if len({path.stat().st_size for path in paths}) > 1:
            return False
        if len({(path.stat().st_dev, path.stat().st_ino) for path in paths}) == 1:
            return True
    except OSError:
        return False
    digests = {file_digest(path) for path in paths}
    return len(digests) == 1 and "unreadable" not in digests
