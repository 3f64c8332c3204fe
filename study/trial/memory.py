"""Memory of a trial, of its GPU or of its process: its peak, and settings that take less of it."""

from __future__ import annotations

import gc
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import torch

from study.config.schema import StudyConfig


def reset_peak_memory(device: torch.device) -> None:
    """Start the peak anew: earlier trials of this process do not count."""
    gc.collect()  # a learner holds its own methods, and so outlives its trial
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        return
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # Linux: the resident peak


def with_less_memory(config: StudyConfig) -> StudyConfig | None:
    """The configuration that takes less memory: inner steps recomputed, which changes no number, or else half as many
    patches in memory at a time; None where it is one already.

    What does not fit may be scoring; how many crops are scored at a time changes nothing.
    """
    if config.compute.memory != "recompute":
        return replace(config, compute=replace(config.compute, memory="recompute"))
    patches = config.compute.micro_batch or config.outer.batch_size
    if patches < 2:
        return None
    half = (patches + 1) // 2
    compute = replace(config.compute, micro_batch=half)
    return replace(
        config, compute=compute, outer=replace(config.outer, score_batch=min(config.outer.score_batch, half))
    )


def device_memory_mib(device: torch.device) -> float | None:
    """Total memory of the GPU."""
    return torch.cuda.mem_get_info(device)[1] / 2**20 if device.type == "cuda" else None


def peak_memory_mib(device: torch.device) -> float | None:
    """Peak of the device's memory on a GPU, of the worker's resident memory otherwise (Linux)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device) / 2**20
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
