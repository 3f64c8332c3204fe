"""The published result tables, as printed, in the words this project's records use.

Of Li et al. (2022) `results.csv` holds Tables 1, 2, 3 and 5, `footprints.csv` Tables 4 and 6. What a table leaves to
its text or to another table is blank in the files and derived here. The published numbers were chosen on the papers'
test patients. `transfer.csv` holds the tables of "Multi-label deep learning classification of chest X-rays" (Institute
of Statistics, National Yang Ming Chiao Tung University, 2021), which do not say how their networks were chosen.
"""

from __future__ import annotations

from importlib.resources import files

import pandas as pd

CAPTIONS = {
    1: "Test results of dataset distillation (ResNet18) and ResNet18",
    2: "Test results of dataset distillation (VGG16) and CMs",
    3: "Test results of different models with (bn) and without batch normalization (no_bn)",
    4: "Memory footprints of different models",
    5: "The minimum number of compressed images of different models",
    6: "Parameters of different models, and the minimum number of compressed images",
}
TRANSFER = "Transfer learning for chest films with several findings (NYCU 2021)"
NAMES = {
    "googlenet": "GoogLeNet",
    "resnet18": "ResNet18",
    "resnet34": "ResNet34",
    "alexnet": "AlexNet",
    "vgg16": "VGG16",
    "vgg19": "VGG19",
}
# Table 5 does not say. Its three-image rows are Table 3's bn rows for GoogLeNet, ResNet18 and AlexNet, and its no_bn
# row for VGG16; ResNet34 and VGG19, which Table 3 leaves out, go with their family.
TABLE_5_NORMS = dict.fromkeys(NAMES, "bn") | {"vgg16": "no_bn", "vgg19": "no_bn"}
# Memory* of Table 4 has room for the statistics of the layers that GoogLeNet and the ResNets come with, and for no
# others: a single image is all of AlexNet's 201.29 kB.
TABLE_4_NORMS = TABLE_5_NORMS | {"alexnet": "no_bn"}

_INTEGERS = ["images", "train_images", "distill_epochs", "distill_steps"]


def results() -> pd.DataFrame:
    """Tables 1, 2, 3 and 5, one row a printed row, in printed order.

    Columns: table; row (its label as printed); method (`SLDD`, `DD`, `subset`, `CM1` to `CM5`); backbone (lower case);
    images; norm (`bn`, `no_bn`); train_images (of a `subset`, all classes together; missing for all patches);
    distill_epochs; distill_steps; sensitivity, specificity, hm (shares of one).
    """
    frame = _read("results.csv")
    frame["method"] = frame["method"].str.split().str[0]
    frame["train_images"] = frame["train_images"].where(frame["train_images"].ne("all"))
    frame[_INTEGERS] = frame[_INTEGERS].apply(pd.to_numeric).astype("Int64")
    # SLDD (2) of Table 2 is VGG16 (2) of Table 5, to the last digit; the CMs are said to train the same network.
    once = frame["method"].eq("SLDD") & frame["distill_steps"].isna()
    frame.loc[once, ["distill_epochs", "distill_steps"]] = 1
    frame["norm"] = frame["norm"].fillna(frame["backbone"].map(TABLE_5_NORMS))
    frame.insert(1, "row", [_label(row) for _, row in frame.iterrows()])
    return frame


def scored_points() -> pd.DataFrame:
    """Table 5 with Table 6's parameters, one row a network and image count: backbone, parameters, images,
    sensitivity, specificity, hm. They were chosen and scored on the same 615 patients, none of a reader's own."""
    table = results()
    shown = table.loc[table["table"].eq(5), ["backbone", "images", "sensitivity", "specificity", "hm"]]
    return shown.merge(footprints()[["backbone", "parameters"]], on="backbone", validate="m:1")


def footprints() -> pd.DataFrame:
    """Tables 4 and 6, one row a network, in printed order.

    Columns: row (the network's name as printed); backbone (lower case); parameters; minimum_images; memory_mib (all
    parameters), memory_star_kb (what is shared for `minimum_images`, in 1,000 bytes) and their quotient
    compression_rate.
    """
    frame = _read("footprints.csv").drop(columns="table")
    frame.insert(0, "row", frame["backbone"].map(NAMES))
    return frame


def transfers() -> pd.DataFrame:
    """The tables of 2021, one row a printed row, in printed order.

    Columns: backbone (lower case), transfer (`regular`, `mixed`, `co_trained`), pretraining (`imagenet` and names of
    collections, in order, joined by `+`), train_binary_accuracy, train_mae, test_ap, test_auc (shares of one).
    """
    frame = _read("transfer.csv").rename(columns={"method": "transfer"})
    return frame.assign(transfer=frame["transfer"].replace("cotrained", "co_trained"))


def _read(name: str) -> pd.DataFrame:
    with files(__package__).joinpath(name).open(encoding="utf-8") as file:
        return pd.read_csv(file).drop(columns="source")


def _label(row: pd.Series) -> str:
    name = NAMES[row["backbone"]]
    if row["table"] == 3:
        return f"{name} ({row['norm']})"
    if row["table"] == 5:
        return f"{name} ({row['images']})"
    if row["method"] == "subset":
        return f"{name} ({row['train_images']})"
    return f"{row['method']} ({row['images']})" if row["method"] in ("SLDD", "DD") else row["method"]
