"""Windows over films: where they lie, how much of an organ they hold, and cutting many at once on a device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

_MOST_VALUES = 2**24
"""Values of windows cut at a time: the places that they are read from take eight bytes each."""


@dataclass(frozen=True)
class Window:
    """Place of a crop: film number, first row and column, side in pixels."""

    film: int
    top: int
    left: int
    size: int


def in_pixels(length: float, side: int) -> int:
    """A length in pixels: as given, or a share of ``side`` where below 1; never less than one pixel."""
    return max(1, round(length * side) if length < 1 else round(length))


def window_starts(side: int, size: int, stride: int) -> np.ndarray:
    """First pixels of the windows along one side: 0, stride ... while the window fits."""
    return np.arange(0, side - size + 1, stride)


def organ_shares(mask: np.ndarray, size: int, stride: int) -> np.ndarray:
    """Share of every window that lies inside the organ.

    Args:
        mask: (height, width) bool.

    Returns:
        (rows, columns) float64 of window shares, from one summed-area table.
    """
    table = np.zeros((mask.shape[0] + 1, mask.shape[1] + 1), np.int64)
    mask.cumsum(0, out=table[1:, 1:], dtype=np.int64)
    table[1:, 1:].cumsum(1, out=table[1:, 1:])
    top = window_starts(mask.shape[0], size, stride)[:, None]
    left = window_starts(mask.shape[1], size, stride)[None, :]
    inside = table[top + size, left + size] - table[top, left + size] - table[top + size, left] + table[top, left]
    return inside / size**2


class HeldFilms:
    """Films on a device, one after the other in a single tensor, whatever their sizes.

    Args:
        films: (height, width) or (height, width, channels) values by film number, all uint8 or all uint16.
        device: where they lie.
    """

    def __init__(self, films: Mapping[int, np.ndarray], device: torch.device) -> None:
        self._begins: dict[int, tuple[int, int]] = {}
        """By film, where its values begin, and how many pixels wide it is."""
        first = next(iter(films.values()))
        self._channels = first.shape[2] if first.ndim == 3 else 1
        self._wide = first.dtype == np.uint16  # which no GPU can index: the same bits as int16, made whole when cut
        dtype = torch.int16 if self._wide else torch.uint8
        self._values = torch.empty(sum(film.size for film in films.values()), dtype=dtype, device=device)
        begin = 0
        for number, film in films.items():
            values = np.array(film).reshape(-1)  # a copy: of what is mapped read-only, PyTorch would warn
            self._values[begin : begin + film.size] = torch.from_numpy(values.view(np.int16) if self._wide else values)
            self._begins[number] = begin, film.shape[1]
            begin += film.size

    @property
    def device(self) -> torch.device:
        return self._values.device

    def has(self, windows: Sequence[Window]) -> bool:
        """Whether all their films are held."""
        return all(window.film in self._begins for window in windows)

    def cut(self, windows: Sequence[Window]) -> torch.Tensor:
        """(windows, channels, size, size) float32 values of windows of one size."""
        size, channels = windows[0].size, self._channels
        at_once = max(1, _MOST_VALUES // (channels * size**2))
        parts = [windows[begin : begin + at_once] for begin in range(0, len(windows), at_once)]
        return torch.cat([self._cut(part, size) for part in parts]) if len(parts) > 1 else self._cut(windows, size)

    def _cut(self, windows: Sequence[Window], size: int) -> torch.Tensor:
        """(windows, channels, size, size) values, by one index into the films' flat values."""
        at = np.array([(*self._begins[window.film], window.top, window.left) for window in windows], np.int64)
        # (windows, 1, 1, 1) each, to be broadcast over channels, rows and columns.
        begin, width, top, left = torch.from_numpy(at).to(self.device)[:, :, None, None, None].unbind(1)
        row = torch.arange(size, device=self.device)[:, None]
        column = torch.arange(size, device=self.device)
        channel = torch.arange(self._channels, device=self.device)[:, None, None]
        places = begin + ((top + row) * width + left + column) * self._channels + channel
        values = self._values[places]
        return ((values.int() & 0xFFFF) if self._wide else values).float()
