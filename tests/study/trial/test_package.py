"""What a trial's package claims, and which settings of packages a study means."""

from __future__ import annotations

from sldd.package import Stored
from study.config.loader import as_tree, differences, parse
from study.config.tasks.patches import PATCHES
from study.trial.package import claims

SPLIT = {
    "patients": [
        {"patient": "P-1", "label": 1, "votes": [0, 1, 2]},
        {"patient": "P-2", "label": 0, "votes": [3, 0, 0]},
    ],
    "undecided_patients": 1,
    "sensitivity": 1.0,
    "specificity": None,
    "hm": None,
    "auc": 0.5,
}


def test_claims_are_counts_and_scores_without_a_patient() -> None:
    found = claims({"validation": SPLIT, "test": None}, PATCHES, "paper", 2, Stored("float16", 0.1, 0.1))
    assert (found.protocol, found.fold, found.images, found.test) == ("paper", 2, "float16", None)
    assert (found.validation.patients, found.validation.positive, found.validation.undecided) == (2, 1, 1)
    assert "P-1" not in str(found)


def test_how_images_are_stored_is_what_a_study_means_and_the_rest_is_not() -> None:
    tree = {"name": "x", "grid": {"backbone": "lenet", "images": 3}}
    old = as_tree(parse(tree))
    del old["package"]  # a study of an earlier version
    assert differences(old, as_tree(parse(tree))) == []
    signed = as_tree(parse(tree | {"package": {"weights": True, "key": "k", "signer": "A"}}))
    assert differences(old, signed) == []
    smaller = as_tree(parse(tree | {"package": {"images": "uint8"}}))
    assert differences(old, smaller) == ["package.images was 'float32' and is now 'uint8'"]
