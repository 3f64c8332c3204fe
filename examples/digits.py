# %% [markdown]
# # Digits in five minutes
#
# 1,797 handwritten digits become ten images, one a class, from which a network learns to tell digits it never saw.
# Nothing is downloaded: scikit-learn brings the digits. One core takes half a minute.

# %%
import pandas as pd
import torch
from sklearn.datasets import load_digits

import sldd

torch.set_num_threads(1)
digits = load_digits()
digits.images.shape

# %% [markdown]
# A *cohort* is films with labels, whoever they are of. Images in memory are 8 or 16 bit, or floats from 0 to 1; ten
# labels say that each image is of one of ten classes. Training, validation and test images are told apart by
# `sldd.SplitSettings`.

# %%
cohort = sldd.open_cohort(digits.images.astype("uint8"), digits.target, cache="results/cache")
distilled = sldd.distill(
    "lenet",
    cohort,
    images=10,
    patches=sldd.PatchSettings(input_size=28),
    outer=sldd.OuterSettings(steps=400, evaluations=8),
)
distilled

# %% [markdown]
# The images are no pictures of digits, and need not be: a network with a known start takes one gradient step on them,
# with the soft label and the rates under them.

# %%
distilled.figure()

# %% [markdown]
# How the distillation went, on validation images, and what a network that learned from nothing but these ten images
# makes of the test images, which decided nothing.

# %%
history = pd.DataFrame(distilled.history)[["step", "loss", "val_balanced_accuracy", "val_auc"]]
history.round(3)

# %%
distilled.score()

# %% [markdown]
# One file holds all that another place needs. There it is loaded, and the network trained from it in a moment.

# %%
path = distilled.save("results/digits.safetensors")
received = sldd.load(path)
accuracy = received.score(cohort)["accuracy"]  # train_receiver() gives the network itself
print(f"{path.stat().st_size / 1000:.0f} kB; the network of these has {accuracy:.2f}")

# %% [markdown]
# Next: [your own films](own_films.md), or [which setting suits your data](../docs/choosing.md).
