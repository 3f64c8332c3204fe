"""Membership inference by loss: does a package's network do better on patients who trained?

A patient's score is how much lower the loss on the patient's patches is than under reference networks that never saw
the patient (difficulty calibration: Watson et al. 2022, Sablayrolles et al. 2019), since some patients are easy for
every network. With the few references that distillations can afford this is what stronger attacks come to: RMIA
(Zarifzadeh et al. 2024) with one population for all patients orders them by the same ratio, and LiRA (Carlini et al.
2022) does once its deviation is shared by all patients, as it advises where there are few references to estimate it.
"""

from __future__ import annotations

import numpy as np


def calibrated(losses: np.ndarray, references: np.ndarray, unseen: np.ndarray) -> np.ndarray:
    """(patients,) scores, higher for those who may have trained; NaN where every reference saw the patient.

    Each network's losses are taken from their mean over the patients compared: how good it is says nothing about who
    made it.

    Args:
        losses: (patients,) of the network attacked.
        references: (references, patients) losses of the others.
        unseen: (references, patients) bool, where the reference never saw the patient.
    """
    largest = float(max(np.abs(losses).max(initial=0), np.abs(references).max(initial=0))) or 1.0
    losses = losses - losses.mean()
    references = references - references.mean(1, keepdims=True)
    count = unseen.sum(0)
    expected = (references * unseen).sum(0) / np.where(count, count, 1)
    # To twelve digits of the losses: networks to which all patients are alike leave nothing else but rounding errors.
    scores = ((expected - losses) / largest).round(12) * largest
    return np.where(count > 0, scores, np.nan)
