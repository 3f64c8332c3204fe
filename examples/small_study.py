# %% [markdown]
# # A study and its answer
#
# How few images suffice, for which network? A study tries: here one network, one and three images, and ordinary
# training beside them. It is as small as can be, on phantom patients: a minute on two cores, and too short for a firm
# answer, as it says itself.

# %%
import study

found = study.run(
    "demo",
    name="small",
    data={"phantom": {"patients": 60, "size": 128, "difficulty": 0.0}, "split": {"validation": 0.2, "test": 0.5}},
    patches={"size": 24, "stride": 8, "score_stride": 24, "input_size": 32},
    grid={"backbone": "convnet_w32", "images": [1, 3], "method": ["sldd", "train"]},
    outer={"steps": 80, "batch_size": 24, "evaluations": 2, "statistics_batches": 2},
    train={"steps": 80},
    confirm={"repeats": 2},
    resources={"concurrent": 2},
    address="local",
)
found

# %% [markdown]
# The same call goes on where an earlier one ended, and runs nothing twice. A row a network:

# %%
found.networks

# %% [markdown]
# Every trial, as a table:

# %%
columns = ["backbone", "images", "method", "phase", "status", "val_hm", "test_hm", "seconds"]
found.records[columns].round(2)

# %% [markdown]
# The figures of the page, by name:

# %%
list(found.figures)

# %%
found.figures["hm-by-images"]

# %% [markdown]
# The page itself is one file. It can be sent, and opened years later: `results/small/dashboard.html`. The command
# that would have done the same stands in it ([settings](../docs/settings.md), [what to choose](../docs/study.md)).

# %%
found.folder
