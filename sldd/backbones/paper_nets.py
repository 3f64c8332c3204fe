"""The six networks of Li et al. (2022): torchvision's, changed to match the published parameter counts.

With one channel and three classes they have (Table 4, Table 6) GoogLeNet 5,984,915, ResNet18 11,176,963, ResNet34
21,285,123, AlexNet 57,000,643, VGG16 134,271,683 and VGG19 139,581,379 parameters. Batch norm of those that have none,
and none of those that have it (Table 3), is the norm setting (``sldd.backbones.norms``).

``paper/<name>/<divisor>`` is the same layout with every width divided: a ladder of small networks in the papers' order.
"""

from __future__ import annotations

from torch import nn

DIVISORS = (2, 4, 8)
"""By which every width of all six networks can be divided."""
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
                _put_convolution(network, path, layer, side=5 if path.endswith("branch3.1.conv") else None)
    if name.startswith("resnet"):
        network.get_submodule("layer1.0").downsample = nn.Sequential(nn.Conv2d(64, 64, 1), nn.BatchNorm2d(64))
        for stage in ("layer2", "layer3", "layer4"):
            path = f"{stage}.0.downsample.0"
            layer = network.get_submodule(path)
            assert isinstance(layer, nn.Conv2d)
            _put_convolution(network, path, layer)


def narrow(network: nn.Module, divisor: int) -> None:
    """Divide the width of every layer in place; what comes in (the channels) and goes out (the classes) stays.

    All but a small rest of a network's parameters lie between two such layers: they shrink by ``divisor`` squared.
    """
    first, *_, last = [path for path, layer in network.named_modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    for path, layer in list(network.named_modules()):
        if isinstance(layer, nn.Conv2d):
            channels = layer.in_channels // (1 if path == first else divisor), layer.out_channels // divisor
            _put_convolution(network, path, layer, channels=channels, bias=layer.bias is not None)
        elif isinstance(layer, nn.BatchNorm2d):
            network.set_submodule(path, nn.BatchNorm2d(layer.num_features // divisor, layer.eps))
        elif isinstance(layer, nn.Linear):
            features = layer.out_features // (1 if path == last else divisor)
            network.set_submodule(path, nn.Linear(layer.in_features // divisor, features))


def _put_convolution(
    network: nn.Module,
    path: str,
    layer: nn.Conv2d,
    *,
    channels: tuple[int, int] | None = None,
    side: int | None = None,
    bias: bool = True,
) -> None:
    """Put another convolution in a layer's place; a larger kernel is padded so that the map keeps its size."""
    size, padding = ((side, side), (side // 2, side // 2)) if side else (layer.kernel_size, layer.padding)
    channels = channels or (layer.in_channels, layer.out_channels)
    convolution = nn.Conv2d(*channels, size, layer.stride, padding, bias=bias)  # type: ignore[arg-type]
    network.set_submodule(path, convolution)
