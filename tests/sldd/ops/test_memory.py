"""Freed memory stays with the process: a large tensor that is made again costs no new pages."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

_WORK = """
import resource, sys
import torch
from sldd.ops.memory import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
def made():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    x = torch.ones(2**24)  # 64 MiB
    for _ in range(10):
        x = x + 1
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
made(), made()
print(made())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_freed_memory_is_used_again() -> None:
    pages = {
        kept: int(subprocess.run([sys.executable, "-c", _WORK, kept], capture_output=True, check=True).stdout)
        for kept in ("keep", "not")
    }
    assert pages["keep"] < pages["not"] / 3
