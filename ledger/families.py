"""Families of backbones: which networks are of one kind, so that what one needs says something of the others.

A family is timm's module of models (`resnet34` and `seresnet50` are of `resnet`), and torchvision's and the papers'
layouts go by the same names. It is told from the letters that a name begins with, so that old studies have families
too, and neither timm nor a network is asked. Where timm has names of the same letters in several modules (some `vit_`
are in `eva.py`) they go with most of them.
"""

from __future__ import annotations

import re

_MODULES = """
beit: beitv
byoanet: botnet halo halonet haloregnetz lambda lamhalobotnet sebotnet sehalonet
byobnet: bat gcresnet gcresnext gernet mobileone regnetz repvgg
convnext: convnextv
csatv2: csatv
cspnet: cs cspdarknet cspresnet cspresnext darknet darknetaa sedarknet
deepseek_vit: deepseek
densenet: densenetblur
efficientformer_v2: efficientformerv
efficientnet: efficientnetv fbnetc gc mixnet mnasnet mobilenet semnasnet spnasnet tf tinynet
efficientvit_mit: efficientvit
gemma4_vit: gemma
ghostnet: ghostnetv
hgnet: hgnetv
hieradet_sam2: hieradet sam
inception_next: inception
lcnetv2: lcnetv
maxxvit: coatnet coatnext maxvit maxxvitv
metaformer: caformer convformer poolformer poolformerv
mlp_mixer: gmixer gmlp mixer resmlp
mobilenetv3: fbnetv lcnet mobilenetv
mobilevit: mobilevitv
mvitv2: mvitv
nasnet: nasnetalarge
nfnet: dm eca nf
pvt_v2: pvt
qwen3_vit: qwen
regnet: regnetv regnetx regnety
repghost: repghostnet
res2net: res
resnet: ecaresnet ecaresnetlight ecaresnext resnetaa resnetblur resnetrs resnext
resnet: senet seresnet seresnetaa seresnext seresnextaa wide
resnetv2: resnetv
rexnet: rexnetr
senet: legacy
sknet: skresnet skresnext
swin_transformer: swin
swin_transformer_v2_cr: swinv
tiny_vit: tiny
vision_transformer: aimv flexivit vit
vision_transformer_sam: samvit
vovnet: ese
xception_aligned: xception
"""
_FAMILIES = {
    letters: module
    for module, names in (line.split(": ") for line in _MODULES.strip().splitlines())
    for letters in names.split()
}


def family(backbone: str) -> str:
    """The family of a backbone by its name: `paper/resnet18/8` and `timm/resnet50.a1_in1k` are of `resnet`.

    A name that is in no module of timm is of the family of its own letters: `convnet_w32` of `convnet`.
    """
    name = re.sub(r"^(.*[:/])?(?=[a-z])", "", re.sub(r"/\d+$", "", backbone.lower())).removeprefix("test_")
    found = re.match("[a-z]+", name)
    letters = found[0] if found else name
    return _FAMILIES.get(letters, letters)
