from __future__ import annotations

import re
from collections import Counter

import pytest

from ledger.families import family


@pytest.mark.parametrize(
    ("backbone", "expected"),
    [
        ("paper/resnet18/8", "resnet"),
        ("paper/vgg16", "vgg"),
        ("vgg19", "vgg"),
        ("torchvision/wide_resnet50_2", "resnet"),
        ("timm/resnet50.a1_in1k", "resnet"),
        ("hf-hub:timm/vit_base_patch16_224.augreg_in21k", "vision_transformer"),
        ("test_efficientnet", "efficientnet"),
        ("resnet10t", "resnet"),
        ("convnet_w32", "convnet"),
        ("paper/googlenet", "googlenet"),
        ("", ""),
        ("123", "123"),
    ],
)
def test_a_family_is_told_from_the_name(backbone, expected):
    assert family(backbone) == expected


def test_families_are_timms_modules_as_far_as_names_tell():
    timm = pytest.importorskip("timm")
    from sldd.distillation.audit import families

    modules = {name: module for module in families() for name in timm.list_models(module=module)}
    letters = {name: re.match("[a-z]+", name.removeprefix("test_"))[0] for name in modules}
    for begins in set(letters.values()):
        own = Counter(module for name, module in modules.items() if letters[name] == begins)
        found = {family(name) for name in modules if letters[name] == begins}
        assert len(found) == 1
        assert own[found.pop()] == max(own.values()), begins
