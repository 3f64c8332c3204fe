"""Soft-label dataset distillation (Sucholutsky & Schonlau 2019): images, soft labels and inner rates are learned."""

from study.config.methods.distilling import Distilling

SLDD = Distilling(name="sldd", label="SLDD", learned=("images", "labels", "rates"), private=True)
