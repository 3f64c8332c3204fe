"""What a machine tells of itself."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from study.doctor.machine import _allowed


@pytest.mark.parametrize(
    ("code", "counts"), [(None, True), (errno.EPERM, False), (errno.EACCES, False), (errno.EIO, True)]
)
def test_a_gpu_that_the_container_may_not_use_does_not_count(
    code: int | None, counts: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One whose driver is broken does: Ray does not know it, and that is to be said."""
    device = tmp_path / "nvidia0"
    device.touch()
    if code is not None:

        def fails(path: Path, flags: int) -> int:
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(os, "open", fails)
    assert _allowed(device) == counts
