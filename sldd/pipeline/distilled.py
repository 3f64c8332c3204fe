"""Distilled images with their labels and rates: looked at, saved, and made into a receiver's network."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from sldd.data.cohort import Cohort
from sldd.data.multilabel_batches import label_counts
from sldd.data.patches import Patches
from sldd.data.whole_films import WholeFilms, exclusive_classes
from sldd.errors import InputError
from sldd.metrics.classes import ClassEvaluator
from sldd.metrics.evaluators import Evaluator
from sldd.metrics.film_evaluator import FilmEvaluator
from sldd.metrics.patient_evaluator import PatientEvaluator
from sldd.ops.dispatch import Kernels
from sldd.ops.layout import to_channels_last
from sldd.package import Package
from sldd.package.cli.pictures import sheet, to_png
from sldd.package.rebuild.rebuild import rebuild
from sldd.pipeline.received_cohort import check_films
from sldd.pipeline.task_data import FindingData, TaskData


@dataclass(frozen=True, eq=False)
class Distilled:
    """What a distillation has learned, or a package that was received.

    Attributes:
        package: all that another hospital needs.
        history: scores on validation patients at every evaluation; empty of a package that was loaded.
        network: the module, where it is a user's own and the package cannot name it.
    """

    package: Package
    history: list[dict[str, Any]] = field(default_factory=list, repr=False)
    network: nn.Module | None = field(default=None, repr=False)
    _data: TaskData | None = field(default=None, repr=False)

    @property
    def images(self) -> torch.Tensor:
        """(S, M, channels, side, side) float32, standardised values: M images in each of S steps."""
        return self.package.images

    @property
    def labels(self) -> torch.Tensor:
        """(S, M, classes) float32 soft labels."""
        return self.package.labels

    @property
    def rates(self) -> torch.Tensor:
        """(E, S) or (E, S, tensors) float32 inner rates of E passes over the steps."""
        return self.package.rates

    @property
    def classes(self) -> tuple[str, ...]:
        """What the labels' columns stand for."""
        return self.package.classes

    def figure(self) -> Image.Image:
        """All images, each stretched to its own darkest and brightest value, over its label and rate."""
        return sheet(self.package)

    def show(self) -> None:
        """Show ``figure``, in a notebook or by the system's viewer."""
        self.figure().show()

    def _repr_png_(self) -> bytes:
        return to_png(self.figure())

    def train_receiver(self, start: Path | str | None = None) -> nn.Module:
        """The network that a receiver trains from the images alone, in evaluation mode, on the CPU.

        Args:
            start: the file of weights that it starts from, where the package does not have it, or ``pretrained``.

        Raises:
            InputError: as of ``sldd.package.rebuild.rebuild.rebuild``.
        """
        return rebuild(self.package, start, self.network)

    def score(
        self, cohort: Cohort | None = None, *, start: Path | str | None = None, batch: int = 256
    ) -> dict[str, float | None]:
        """Scores of the receiver's network, by name; None where one is undefined. Hamming loss calls findings by how
        many training films have them, which only a distillation knows: a package that was loaded has none.

        Args:
            cohort: whose patients are scored, all of them; the test patients that the distillation kept back unless
                given.
            start: as of ``train_receiver``.
            batch: images in memory at a time.

        Raises:
            InputError: the cohort is not one that the package was made for, or there are no test patients.
        """
        evaluator, patients = self._scored(cohort)
        network = self.train_receiver(start)
        with Kernels(twice=False):
            scores = evaluator.score(to_channels_last(network), patients, batch=batch, device=torch.device("cpu"))
        names = [str(patient) for patient in range(max(patients) + 1)]
        described = scores.describe(names, self.package.delta)
        described.pop("curve", None)  # no score, though it may be None as one
        if self._counts is None:
            described.pop("hamming_loss", None)
        return {name: value for name, value in described.items() if value is None or isinstance(value, int | float)}

    def _scored(self, cohort: Cohort | None) -> tuple[Evaluator, list[int]]:
        """What ``score`` scores with, and the patients that it scores."""
        if cohort is not None:
            return _evaluator(self.package, cohort, self._counts), list(range(cohort.patients))
        if self._data is None:
            raise InputError("cohort: not given; a package that was loaded has kept no patients back")
        if not self._data.split.test:
            raise InputError("cohort: not given, and the distillation kept no test patients back (data.split.test)")
        return self._data.evaluator(), self._data.split.test

    @property
    def _counts(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Training films with and without each finding; None where there are no findings, or no training films."""
        return self._data.batches.counts if isinstance(self._data, FindingData) else None

    def save(self, path: Path | str) -> Path:
        """Write the package, one file, unsigned (``python -m sldd.package sign``); returns its path."""
        self.package.save(Path(path))
        return Path(path)


def load(path: Path | str, network: nn.Module | None = None) -> Distilled:
    """Load a package.

    Args:
        network: the module, where the package was made of its maker's own; its weights do not matter.

    Raises:
        InputError: not a package, or one that was changed after it was made. Whether the network is its own shows when
            it is rebuilt (``Distilled.train_receiver``).
    """
    return Distilled(Package.load(Path(path)), network=network)


def _evaluator(package: Package, cohort: Cohort, counts: tuple[np.ndarray, np.ndarray] | None) -> Evaluator:
    """What scores a cohort's patients as the package was made for.

    Args:
        counts: ``label_counts`` of the training films; where None Hamming loss means nothing.

    Raises:
        InputError: its films have other channels, depths or classes, or are not of one class each as the package's.
    """
    check_films(package, cohort)
    if package.task == "patches" and not cohort.classes:
        return PatientEvaluator(Patches(cohort, package.patches, package.mean, package.deviation))
    if package.task != "patches" and cohort.classes:
        films = WholeFilms(cohort, package.patches.input_size, package.mean, package.deviation)
        # The package says what is told of a film: a cohort with a class each may be read as one of findings too.
        if package.task == "classes":
            classes, numbers = exclusive_classes(cohort)
            if classes == package.classes:
                return ClassEvaluator(films, classes, numbers)
        elif tuple(cohort.classes) == package.classes:
            return FilmEvaluator(films, counts or label_counts(cohort.film_labels))
    here = ", ".join(cohort.classes) or "I, N, P"
    raise InputError(f"cohort: its classes are {here}, and the package's {', '.join(package.classes)}")
