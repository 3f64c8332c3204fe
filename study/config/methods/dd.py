"""Dataset distillation (Wang et al. 2018): images and inner rates are learned under labels that stay as they start."""

from study.config.methods.distilling import Distilling

DD = Distilling(name="dd", label="DD", learned=("images", "rates"), private=True)
