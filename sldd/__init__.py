"""Soft-label dataset distillation of radiographs: one distillation, start to end."""
