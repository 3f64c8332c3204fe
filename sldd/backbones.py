"""A name -> a network: timm or torchvision, one gray channel in, three classes out, twice differentiable."""

from __future__ import annotations

import difflib
import inspect

import timm
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from sldd.errors import InputError
from sldd.norms import set_norm
from sldd.patches import CLASSES

TORCHVISION = "torchvision/"


class HardSigmoid(nn.Module):
    """``relu6(x + 3) / 6``: PyTorch's own hard sigmoid, whose second derivative is not implemented, in two steps."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Any shape, element by element."""
        return F.relu6(x + 3) / 6


def build(name: str, *, input_size: int, norm: str = "as_is", channels: int = 1) -> nn.Module:
    """Build a backbone without weights worth keeping (``sldd.initialise`` sets them), in training mode.

    Args:
        name: a timm model name, or ``torchvision/<name>``; a bare name that only torchvision knows is found there.
        input_size: side of the square input in pixels.
        norm: norm setting, see ``sldd.norms.set_norm``.

    Raises:
        InputError: the name is unknown (nearest names are suggested), or the network cannot be built at this size.
    """
    library, bare = check_name(name)
    try:
        network = (
            _torchvision(bare, input_size, channels) if library == "torchvision" else _timm(bare, input_size, channels)
        )
    except Exception as error:  # two libraries of builders, with every kind of complaint
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(f"backbone {name}: cannot be built for {input_size} x {input_size} input ({reason})") from None
    set_norm(network, norm)
    for path, module in list(network.named_modules()):
        if isinstance(module, nn.Hardsigmoid):
            network.set_submodule(path, HardSigmoid())
    for module in network.modules():
        # The same start must always give the same network: what is random in training is off (method.md, section 2).
        if isinstance(module, (nn.modules.dropout._DropoutNd, torchvision.ops.StochasticDepth)):
            module.p = 0.0
        if hasattr(module, "drop_prob"):  # timm's stochastic depth
            module.drop_prob = 0.0  # type: ignore[assignment]
        if hasattr(module, "inplace"):  # an overwritten activation cannot be differentiated a second time
            module.inplace = False  # type: ignore[assignment]
    return network.train()


def parameter_count(network: nn.Module) -> int:
    """Number of trainable values."""
    return sum(parameter.numel() for parameter in network.parameters())


def check_name(name: str) -> tuple[str, str]:
    """The library ("timm" or "torchvision") and bare name of a backbone; InputError suggests the nearest names."""
    if name.startswith(TORCHVISION):
        bare = name.removeprefix(TORCHVISION)
        if bare in torchvision.models.list_models(module=torchvision.models):
            return "torchvision", bare
    elif name in timm.list_models():
        return "timm", name
    elif name in torchvision.models.list_models(module=torchvision.models):
        return "torchvision", name
    known = timm.list_models() + [TORCHVISION + other for other in torchvision.models.list_models(torchvision.models)]
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"did you mean {', '.join(near)}?" if near else "see timm.list_models() for the names"
    raise InputError(f"grid.backbone: there is no backbone {name!r}; {hint}")


def _timm(name: str, input_size: int, channels: int) -> nn.Module:
    options = {"img_size": input_size} if timm.get_pretrained_cfg_value(name, "fixed_input_size") else {}
    return timm.create_model(name, pretrained=False, in_chans=channels, num_classes=len(CLASSES), **options)


def _torchvision(name: str, input_size: int, channels: int) -> nn.Module:
    builder = torchvision.models.get_model_builder(name)
    options: dict[str, object] = {"weights": None, "num_classes": len(CLASSES)}
    accepted = inspect.signature(builder).parameters
    if name in ("googlenet", "inception_v3"):
        options |= {"aux_logits": False, "init_weights": False}
    elif "init_weights" in accepted:
        options["init_weights"] = False
    if name.startswith("vit_"):  # its builders take the size through **kwargs
        options["image_size"] = input_size
    network: nn.Module = builder(**options)
    for path, module in network.named_modules():
        if isinstance(module, nn.Conv2d) and module.in_channels == 3:
            stem = nn.Conv2d(
                channels,
                module.out_channels,
                module.kernel_size,  # type: ignore[arg-type]
                module.stride,  # type: ignore[arg-type]
                module.padding,  # type: ignore[arg-type]
                bias=module.bias is not None,
            )
            network.set_submodule(path, stem)
            return network
    raise InputError(f"backbone {TORCHVISION}{name}: no three-channel stem to replace with a gray one")
