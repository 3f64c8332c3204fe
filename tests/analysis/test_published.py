from __future__ import annotations

import pytest

from analysis.published import CAPTIONS, TABLE_4_NORMS, footprints, results, transfers


def test_the_rows_are_labelled_as_printed():
    rows = {table: list(frame["row"]) for table, frame in results().groupby("table")}
    assert rows == {
        1: ["SLDD (3)", "DD (3)", "ResNet18 (9000)", "ResNet18 (6000)", "ResNet18 (3000)", "SLDD (1)"],
        2: ["SLDD (2)", "CM1", "CM2", "CM3", "CM4", "CM5"],
        3: [f"{name} ({norm})" for name in ("GoogLeNet", "ResNet18", "AlexNet", "VGG16") for norm in ("bn", "no_bn")],
        5: [
            *(f"{name} ({count})" for name in ("GoogLeNet", "ResNet18", "ResNet34", "AlexNet") for count in (1, 3)),
            *(f"{name} ({count})" for name in ("VGG16", "VGG19") for count in (1, 2, 3)),
        ],
    }
    assert list(CAPTIONS) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("place", range(34))
def test_every_hm_is_that_of_its_sensitivity_and_specificity(place):
    row = results().iloc[place]
    harmonic = 2 * row["sensitivity"] * row["specificity"] / (row["sensitivity"] + row["specificity"])
    assert row["hm"] == pytest.approx(harmonic, abs=0.001)


def test_nothing_a_run_needs_is_left_blank():
    frame = results()
    distilled = frame["method"].isin(["SLDD", "DD"])
    assert set(frame["norm"]) == {"bn", "no_bn"}
    assert frame.loc[distilled, ["images", "distill_steps", "distill_epochs"]].notna().all(axis=None)
    assert frame.loc[~distilled, ["images", "distill_steps", "distill_epochs"]].isna().all(axis=None)
    assert frame.loc[frame["method"].eq("subset"), "train_images"].tolist() == [9000, 6000, 3000]
    assert frame.loc[frame["method"].str.startswith("CM"), "train_images"].isna().all()


def test_what_table_5_leaves_out_agrees_with_table_3_and_table_2():
    frame = results()
    scores = ["sensitivity", "specificity", "hm"]
    key = ["backbone", "norm", "images", "distill_steps", "distill_epochs"]
    fifth = frame[frame["table"].eq(5)]
    for table, shared in ((3, 4), (2, 1)):
        both = fifth.merge(frame[frame["table"].eq(table)], on=key, suffixes=("", "_other"))
        assert len(both) == shared
        assert (both[scores].to_numpy() == both[[f"{name}_other" for name in scores]].to_numpy()).all()


def test_footprints_are_those_of_the_parameters_and_the_images():
    frame = footprints()
    assert frame["row"].tolist() == ["GoogLeNet", "ResNet18", "ResNet34", "AlexNet", "VGG16", "VGG19"]
    assert frame["memory_mib"].to_numpy() == pytest.approx(frame["parameters"] * 4 / 2**20, abs=0.011)
    rate = frame["memory_star_kb"] / (frame["memory_mib"] * 1000)
    assert frame["compression_rate"].to_numpy() == pytest.approx(rate, rel=0.01)
    images_only = frame["minimum_images"] * 224 * 224 * 4 / 1000
    for (_, row), images in zip(frame.iterrows(), images_only, strict=True):
        # What is left over is the statistics of the batch norm layers, and about 250 B a tensor.
        assert (row["memory_star_kb"] - images < 1) == (TABLE_4_NORMS[row["backbone"]] == "no_bn")


def test_the_transfer_rows_are_those_of_three_ways_and_two_networks():
    frame = transfers()
    ways = frame.groupby(["backbone", "transfer"], sort=False)["pretraining"].agg(list)
    for backbone in ("resnet50", "densenet121"):
        regular = ["imagenet", "chexpert", "nih", "imagenet+chexpert", "imagenet+nih"]
        assert ways[backbone, "regular"] == regular
        assert ways[backbone, "mixed"] == ["imagenet+chexpert", "imagenet+nih"]
        assert ways[backbone, "co_trained"] == ["chexpert+nih"]
    shares = frame[["train_binary_accuracy", "train_mae", "test_ap", "test_auc"]]
    assert shares.ge(0).all(axis=None)
    assert shares.le(1).all(axis=None)
    # What the slides say of them: the best of each network in the one, tied in the other.
    best = frame.loc[frame.groupby("backbone")["test_auc"].transform("max").eq(frame["test_auc"])]
    assert set(best["backbone"] + " " + best["transfer"]) == {
        "resnet50 regular",
        "densenet121 regular",
        "densenet121 co_trained",
    }
