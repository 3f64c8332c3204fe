"""Processes forked from one that has imported the project: there at once, where an interpreter takes seconds."""

from __future__ import annotations

import multiprocessing

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.study.command"])  # which imports nearly all that the project has
