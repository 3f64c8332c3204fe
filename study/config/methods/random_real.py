"""Real patches that stay as they are, with learned labels and rates: a control of what distilled images add."""

from study.config.methods.distilling import Distilling

RANDOM_REAL = Distilling(
    name="random_real",
    label="random real patches",
    no_package="random_real leaves no package: its images are patients' own",
    learned=("labels", "rates"),
    image_init="real",
)
