# %% [markdown]
# # Your own films
#
# From a folder of PNG files and masks to the one file that another hospital gets. The films here are phantoms, drawn
# on the spot: put your own folder in their place, and the rest stays as it is. One core takes half a minute.

# %%
from pathlib import Path

import torch

import sldd
from sldd.sources.phantom import PhantomSettings, write_phantoms

torch.set_num_threads(1)
folder = Path("results/films")
if not folder.exists():
    write_phantoms(PhantomSettings(patients=80, size=128, difficulty=0.0), folder)
print(*(folder / "manifest.csv").read_text().splitlines()[:4], sep="\n")

# %% [markdown]
# A folder has a table with `patient_id,image,mask,label`: the mask says where the organ is, the label is 0 or 1. What
# cannot be read is refused in one line that says where and why, and names no patient ([how files are
# read](../docs/reading.md)).

# %%
cohort = sldd.open_cohort(folder, cache="results/cache")
cohort.patients, cohort.depth

# %%
try:
    sldd.open_cohort("results/films-elsewhere", cache="results/cache")
except sldd.InputError as error:
    print(error)

# %% [markdown]
# Networks see patches: inside the organ of a negative patient (N), of a positive one (P), and outside (I). Sizes are
# in pixels, or shares of a film's side. Patients, never patches, are split into those that train, validate and test.

# %%
distilled = sldd.distill(
    "convnet_w32",
    cohort,
    images=3,
    patches=sldd.PatchSettings(size=24, stride=8, score_stride=20, input_size=32),
    outer=sldd.OuterSettings(steps=300, batch_size=48, evaluations=5, statistics_batches=4),
    split=sldd.SplitSettings(validation=0.2, test=0.4),
)
distilled.figure()

# %%
scores = distilled.score()
print(f"test patients: HM {scores['hm']:.2f}, AUC {scores['auc']:.2f}, of {round(0.4 * cohort.patients)} patients")

# %% [markdown]
# HM is the harmonic mean of sensitivity and specificity. State and threshold were chosen on validation patients.
#
# The other hospital needs the file and its own films. What it gives away of yours is a question of its own
# ([measured](../docs/anonymity.md)).

# %%
path = distilled.save("results/package.safetensors")
elsewhere = sldd.open_cohort(
    source="phantom", phantom={"patients": 40, "size": 128, "difficulty": 0.0, "seed": 1}, cache="results/cache"
)
received = sldd.load(path).score(elsewhere)
print(f"{path.stat().st_size / 1000:.0f} kB; other patients, the same threshold: HM {received['hm']:.2f}")

# %% [markdown]
# How many images would do, for which network, is a [study](small_study.md).
