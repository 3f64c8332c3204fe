"""Real patches that stay as they are: a control of what distilled images add, with learned labels and without."""

from dataclasses import replace

from study.config.methods.distilling import Distilling

RANDOM_REAL = Distilling(
    name="random_real",
    label="random real patches",
    no_package="random_real leaves no package: its images are patients' own",
    learned=("labels", "rates"),
    image_init="real",
    control=True,
)
RANDOM_REAL_HARD = replace(
    RANDOM_REAL, name="random_real_hard", label="random real patches, hard labels", learned=("rates",)
)
