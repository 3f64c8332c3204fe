"""Peak memory of a trial, of its GPU or of its process."""

from __future__ import annotations

import gc
from contextlib import suppress
from pathlib import Path

import torch


def reset_peak_memory(device: torch.device) -> None:
    """Start the peak anew: earlier trials of this process do not count."""
    gc.collect()  # a learner holds its own methods, and so outlives its trial
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        return
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # Linux: the resident peak


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
