"""The six networks of Li et al. (2022), to the parameter: torchvision's, but for what the published counts tell.

With one channel and three classes they have (Table 4, Table 6) GoogLeNet 5,984,915, ResNet18 11,176,963, ResNet34
21,285,123, AlexNet 57,000,643, VGG16 134,271,683 and VGG19 139,581,379 parameters. Batch norm of those that have none,
and none of those that have it (Table 3), is the norm setting (``sldd.norms``).
"""

from __future__ import annotations

from torch import nn

PAPER_NETWORKS = ("googlenet", "resnet18", "resnet34", "alexnet", "vgg16", "vgg19")


def as_published(name: str, network: nn.Module) -> None:
    """Change one of torchvision's ``PAPER_NETWORKS``, without auxiliary heads, to the published layout in place.

    GoogLeNet gets true 5 x 5 kernels in the third branch, where torchvision has 3 x 3, and a bias on every convolution.
    The ResNets project the shortcut of the first stage too, and their shortcut convolutions have a bias. AlexNet and
    the VGGs are as published.
    """
    if name == "googlenet":
        for path, layer in list(network.named_modules()):
            if isinstance(layer, nn.Conv2d):
                _with_bias(network, path, layer, side=5 if path.endswith("branch3.1.conv") else None)
    if name.startswith("resnet"):
        network.get_submodule("layer1.0").downsample = nn.Sequential(nn.Conv2d(64, 64, 1), nn.BatchNorm2d(64))
        for stage in ("layer2", "layer3", "layer4"):
            path = f"{stage}.0.downsample.0"
            layer = network.get_submodule(path)
            assert isinstance(layer, nn.Conv2d)
            _with_bias(network, path, layer)


def _with_bias(network: nn.Module, path: str, layer: nn.Conv2d, side: int | None = None) -> None:
    """Put a convolution with a bias in a layer's place; a larger kernel is padded so that the map keeps its size."""
    size, padding = ((side, side), (side // 2, side // 2)) if side else (layer.kernel_size, layer.padding)
    channels = layer.in_channels, layer.out_channels
    network.set_submodule(path, nn.Conv2d(*channels, size, layer.stride, padding))  # type: ignore[arg-type]
