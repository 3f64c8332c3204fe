"""Distribution matching (Zhao & Bilen 2023): class means of features of freshly drawn networks."""

from sldd.distillation.alternatives.distribution import DistributionMatching
from study.config.methods.matching import Matched

DM = Matched(name="dm", label="DM", learned=("images",), learns=DistributionMatching, match_settings=("augment",))
