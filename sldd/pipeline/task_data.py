"""Data of a task: training batches, where distilled images and labels start, and what scores a state.

Tasks are patients told positive or negative by votes of patches, and whole films with findings or with one class each.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from sldd.data.cohort import Cohort
from sldd.data.multilabel_batches import FilmBatches, nearest_films
from sldd.data.patches import CLASSES, NEGATIVE, POSITIVE, BalancedBatches, Patches, PatchSettings
from sldd.data.prefetch import BatchSource
from sldd.data.split import Split
from sldd.data.whole_films import ClassBatches, WholeFilms, exclusive_classes
from sldd.distillation.initial.findings import FINDING_STARTS, initial_findings
from sldd.distillation.initial.images import ImageInit, drawn_images, real_images
from sldd.distillation.initial.labels import (
    CLASS_STARTS,
    STARTS,
    class_labels,
    classes_of,
    image_classes,
    initial_labels,
)
from sldd.errors import InputError
from sldd.metrics.classes import ClassEvaluator
from sldd.metrics.evaluators import Evaluator
from sldd.metrics.film_evaluator import FilmEvaluator
from sldd.metrics.group_means import group_means
from sldd.metrics.patient_evaluator import PatientEvaluator
from sldd.ops.types import InputSpec, PerChannel, TaskName
from sldd.package import Scores as Claim
from sldd.training.losses import CROSS_ENTROPY, WEIGHTED_BCE, Loss


class TaskData(ABC):
    """Data that networks are trained and scored on: a cohort's images, split by patient.

    Attributes:
        loss: of the task.
        label_starts: where soft labels may start, the usual one first.
        input: the networks' input and classes.
        batches: training images, without augmentation.
        size: number of training images.
        fewest: images that a batch needs at least: one of each class, where every batch is to have all of them.
    """

    loss: Loss
    label_starts: tuple[str, ...]
    cohort: Cohort
    split: Split
    input: InputSpec
    batches: BatchSource
    size: int
    fewest: int = 1

    def batch_refusal(self, size: int, setting: str = "outer.batch_size") -> str | None:
        """Why batches of so many images, as a setting says, cannot hold each class; None where they do."""
        if size >= self.fewest:
            return None
        return (
            f"{setting}: {size}, and there are {self.fewest} classes, each of which is to be in every batch; set it to "
            "that or more"
        )

    @abstractmethod
    def evaluator(self, delta: float | None = None) -> Evaluator:
        """What scores states; ``delta`` is a fixed threshold on a patient's score, None each state's best one."""

    @abstractmethod
    def initial_labels(self, start: str, images: int, seed: int) -> torch.Tensor:
        """(images, classes) float32: where soft labels start."""

    def initial_images(self, start: ImageInit, labels: torch.Tensor, steps: int, seed: int) -> torch.Tensor:
        """(steps, M, channels, side, side) where the images of M rows of labels start."""
        if start == "real":
            return self.real_images(labels, steps, seed)
        side, channels = self.input.side, self.input.channels
        return drawn_images(start, steps=steps, images=len(labels), side=side, channels=channels, seed=seed)

    @abstractmethod
    def real_images(self, labels: torch.Tensor, steps: int, seed: int) -> torch.Tensor:
        """(steps, M, channels, side, side) real training images to start from, for M rows of labels."""

    def claim(self, found: Mapping[str, Any]) -> Claim:
        """What a package claims of a group of patients, from ``sldd.metrics.evaluators.Scores.describe``."""
        raise NotImplementedError

    def image_classes(self, labels: torch.Tensor) -> list[int] | None:
        """The class that each of M distilled images stands for, of labels as of ``initial_labels``; None where a film
        has several findings."""
        return None

    @property
    def class_sizes(self) -> list[int]:
        """Training images of each class."""
        raise NotImplementedError

    def of_classes(self, random: np.random.Generator, classes: Sequence[int]) -> torch.Tensor:
        """(len(classes), channels, side, side) real training images of these classes, in their order; an image comes
        twice only where all of its class are drawn."""
        raise NotImplementedError


class OneClassData(TaskData):
    """Images of one class each, patches or whole ones."""

    batches: BalancedBatches | ClassBatches

    @abstractmethod
    def image_classes(self, labels: torch.Tensor) -> list[int]: ...

    def real_images(self, labels: torch.Tensor, steps: int, seed: int) -> torch.Tensor:
        return real_images(steps=steps, classes=self.image_classes(labels), seed=seed, batches=self.batches)

    @property
    def class_sizes(self) -> list[int]:
        return list(self.batches.counts.values())

    def of_classes(self, random: np.random.Generator, classes: Sequence[int]) -> torch.Tensor:
        return self.batches.of_classes(random, classes, apart=True)


class PatchData(OneClassData):
    """Patches of a cohort's patients.

    Raises:
        InputError: as of ``BalancedBatches``.
    """

    loss, label_starts = CROSS_ENTROPY, STARTS
    fewest = len(CLASSES)

    def __init__(self, patches: Patches, split: Split) -> None:
        self.cohort, self.patches, self.split = patches.cohort, patches, split
        self.batches: BalancedBatches = BalancedBatches(patches, split.train)
        self.size = self.batches.size
        classes, channels = self.batches.classes, self.cohort.channels
        self.input = InputSpec(self.batches.side, classes, patches.mean, patches.std, channels)

    def evaluator(self, delta: float | None = None) -> Evaluator:
        return PatientEvaluator(self.patches, delta)

    def initial_labels(self, start: str, images: int, seed: int) -> torch.Tensor:
        return initial_labels(start, images)

    def claim(self, found: Mapping[str, Any]) -> Claim:
        labels = [patient["label"] for patient in found["patients"]]
        return Claim(
            patients=len(labels),
            positive=sum(labels),
            undecided=found["undecided_patients"],
            sensitivity=found["sensitivity"],
            specificity=found["specificity"],
            hm=found["hm"],
            auc=found["auc"],
            distribution=group_means(_scores(found)),
        )

    def image_classes(self, labels: torch.Tensor) -> list[int]:
        """The class that a label has most of; of evenly spread ones, each as published."""
        return classes_of(labels, image_classes(len(labels)))


class FindingData(TaskData):
    """Whole films with their findings."""

    loss, label_starts = WEIGHTED_BCE, FINDING_STARTS

    def __init__(self, films: WholeFilms, split: Split) -> None:
        self.cohort, self.films, self.split = films.cohort, films, split
        self.batches: FilmBatches = FilmBatches(films, split.train)
        self.size = self.batches.size
        classes = tuple(self.batches.classes)
        self.input = InputSpec(films.side, classes, films.mean, films.std, self.cohort.channels)

    def evaluator(self, delta: float | None = None) -> Evaluator:
        return FilmEvaluator(self.films, self.batches.counts)

    def initial_labels(self, start: str, images: int, seed: int) -> torch.Tensor:
        return initial_findings(start, images, self.batches.labels, seed=seed)

    def real_images(self, labels: torch.Tensor, steps: int, seed: int) -> torch.Tensor:
        return nearest_films(self.batches, labels, steps=steps, seed=seed)

    def claim(self, found: Mapping[str, Any]) -> Claim:
        films = found["films"]
        return Claim(
            patients=len({film["patient"] for film in films}),
            positive=len({film["patient"] for film in films if 1 in film["labels"]}),
            undecided=0,
            sensitivity=None,
            specificity=None,
            hm=None,
            auc=found["auc"],
            distribution=group_means(_largest(found)),
        )


class ClassData(OneClassData):
    """Whole images of one class each.

    Raises:
        InputError: as of ``exclusive_classes`` and ``ClassBatches``.
    """

    loss, label_starts = CROSS_ENTROPY, CLASS_STARTS

    def __init__(self, films: WholeFilms, split: Split) -> None:
        self.cohort, self.films, self.split = films.cohort, films, split
        classes, self.numbers = exclusive_classes(self.cohort)
        self.batches: ClassBatches = ClassBatches(films, split.train, self.numbers, classes)
        self.size, self.fewest = self.batches.size, len(classes)
        self.input = InputSpec(films.side, classes, films.mean, films.std, self.cohort.channels, exclusive=True)

    def evaluator(self, delta: float | None = None) -> Evaluator:
        return ClassEvaluator(self.films, self.input.classes, self.numbers)

    def initial_labels(self, start: str, images: int, seed: int) -> torch.Tensor:
        return class_labels(start, images, len(self.input.classes))

    def claim(self, found: Mapping[str, Any]) -> Claim:
        specificities = [row["specificity"] for row in found["classes"] if row["specificity"] is not None]
        return Claim(
            patients=len({film["patient"] for film in found["films"]}),
            positive=0,
            undecided=0,
            sensitivity=found["balanced_accuracy"],
            specificity=sum(specificities) / len(specificities) if specificities else None,
            hm=None,
            auc=found["auc"],
            distribution=group_means(_largest(found)),
        )

    def image_classes(self, labels: torch.Tensor) -> list[int]:
        """The class that a label has most of; of evenly spread ones, each class in turn."""
        return classes_of(labels, [row % labels.shape[1] for row in range(len(labels))])


def _scores(found: Mapping[str, Any]) -> list[float]:
    """Scores of the patients that are not undecided, from ``PatientScores.describe``."""
    votes = np.array([patient["votes"] for patient in found["patients"]], np.float64).reshape(-1, len(CLASSES))
    known = votes[:, NEGATIVE] + votes[:, POSITIVE]
    return (votes[known > 0, POSITIVE] / known[known > 0]).tolist()


def _largest(found: Mapping[str, Any]) -> list[float]:
    """Each patient's mean, over the films, of a film's largest probability, from ``describe`` of whole films."""
    by_patient: dict[str, list[float]] = {}
    for film in found["films"]:
        by_patient.setdefault(film["patient"], []).append(max(film["probabilities"]))
    return [sum(largest) / len(largest) for largest in by_patient.values()]


def check_labels(task: TaskName, labels: Collection[str]) -> None:
    """Raise an InputError where soft labels of one of these kinds (``distill.labels``) do not go with a task."""
    if task == "multilabel" and set(labels) != {"sigmoid"}:
        raise InputError(
            "distill.labels: a film has several findings, each of which is there or not; the only choice is sigmoid"
        )
    if task == "classes" and "sigmoid" in labels:
        raise InputError("distill.labels: an image is of one class, so sigmoid is no choice; take raw or softmax")


def task_of(cohort: Cohort) -> TaskName:
    """The task of a cohort: films with one class each, other films with findings, or else patients by their patches."""
    if not cohort.classes:
        return "patches"
    return "classes" if cohort.one_class_each else "multilabel"


def task_data(
    cohort: Cohort,
    patches: PatchSettings,
    split: Split,
    *,
    task: TaskName | None = None,
    intensity: tuple[PerChannel, PerChannel] | None = None,
) -> TaskData:
    """The data of a cohort's task.

    Args:
        task: that of the cohort unless given.
        intensity: mean and deviation by which films are standardised; those of the training patients unless given.

    Raises:
        InputError: a class has no training image, or a training patient no mask.
    """
    task, intensity = task or task_of(cohort), intensity or cohort.intensity(split.train)
    if task == "patches":
        return PatchData(Patches(cohort, patches, *intensity), split)
    films = WholeFilms(cohort, patches.input_size, *intensity)
    return ClassData(films, split) if task == "classes" else FindingData(films, split)
