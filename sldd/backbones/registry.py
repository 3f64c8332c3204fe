"""Model registry: build a network by name (timm, torchvision, the papers', ours), for gray images or such in colour."""

from __future__ import annotations

import difflib
import inspect

import timm
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from sldd.backbones.norms import set_norm
from sldd.backbones.paper_nets import DIVISORS, PAPER_NETWORKS, as_published, narrow
from sldd.backbones.small_nets import LAYOUTS
from sldd.data.patches import CLASSES
from sldd.errors import InputError

_HUBS = ("hf-hub:timm/", "hf_hub:timm/", "timm/")
"""What goes before a name of timm on a model's card, and where timm itself is asked for it."""
TORCHVISION, PAPER = "torchvision/", "paper/"
_PAPER_NAMES = [f"{PAPER}{name}{part}" for part in ("", *(f"/{by}" for by in DIVISORS)) for name in PAPER_NETWORKS]

_COLOUR_ONLY = ("csatv2",)
"""timm models whose first layer is a fixed colour transform: three channels, whatever ``in_chans`` says."""


class HardSigmoid(nn.Module):
    """``relu6(x + 3) / 6``: PyTorch's own hard sigmoid, whose second derivative is not implemented, in two steps."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Any shape, element by element."""
        return F.relu6(x + 3) / 6


def build(
    name: str, *, input_size: int, norm: str = "as_is", channels: int = 1, classes: int = len(CLASSES)
) -> nn.Module:
    """Build a backbone in training mode; ``sldd.backbones.init`` sets its weights.

    Args:
        name: one of ``sldd.backbones.small_nets``, a timm model name, ``torchvision/<name>``, or ``paper/<name>`` for
            one of the six of Li et al. (2022), ``paper/<name>/8`` for an eighth of its widths; a bare name that only
            torchvision knows is found there, and one of timm may have its card's ``timm/`` and the tag of its weights.
        input_size: side of the square input in pixels.
        norm: norm setting, see ``sldd.backbones.norms.set_norm``.
        channels, classes: of the input, and of the output.

    Raises:
        InputError: the name is unknown (nearest names are suggested), or the network cannot be built at this size.
    """
    library, bare = check_name(name)
    try:
        network = _BUILDERS[library](bare, input_size, channels, classes)
    except Exception as error:  # two libraries of builders, with every kind of complaint
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(f"backbone {name}: cannot be built for {input_size} x {input_size} input ({reason})") from None
    set_norm(network, norm)
    return distillable(network)


def distillable(network: nn.Module) -> nn.Module:
    """The network in training mode, changed in place so that it draws no random numbers and is differentiable twice."""
    for path, module in list(network.named_modules()):
        if isinstance(module, nn.Hardsigmoid):
            network.set_submodule(path, HardSigmoid())
    for module in network.modules():
        # The same start must always give the same network: what is random in training is off (method.md, section 2).
        if isinstance(module, (nn.modules.dropout._DropoutNd, torchvision.ops.StochasticDepth)):
            module.p = 0.0
        if isinstance(module, (nn.MultiheadAttention, nn.RNNBase)):  # dropout without a layer of its own
            module.dropout = 0.0
        for rate in ("drop_prob", "drop_rate"):  # timm's stochastic depth and dropout
            if hasattr(module, rate):
                setattr(module, rate, 0.0)
        if hasattr(module, "inplace"):  # an overwritten activation cannot be differentiated a second time
            module.inplace = False  # type: ignore[assignment]
    return network.train()


def parameter_count(network: nn.Module) -> int:
    """Number of trainable values."""
    return sum(parameter.numel() for parameter in network.parameters())


def check_name(name: str) -> tuple[str, str]:
    """The library (sldd, paper, timm or torchvision) and bare name of a backbone; InputError suggests the nearest."""
    if name in LAYOUTS:
        return "sldd", name
    if name in _PAPER_NAMES:
        return "paper", name.removeprefix(PAPER)
    if name.startswith(TORCHVISION):
        bare = name.removeprefix(TORCHVISION)
        if bare in torchvision.models.list_models(module=torchvision.models):
            return "torchvision", bare
    elif name in timm.list_models():
        return "timm", name
    elif (card := _of_timm(name)) is not None:
        return "timm", card
    elif name in torchvision.models.list_models(module=torchvision.models):
        return "torchvision", name
    known = [*LAYOUTS, *timm.list_models(), *_PAPER_NAMES] + [
        TORCHVISION + other for other in torchvision.models.list_models(torchvision.models)
    ]
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"did you mean {', '.join(near)}?" if near else "see timm.list_models() for the names"
    raise InputError(f"grid.backbone: there is no backbone {name!r}; {hint}")


def _of_timm(name: str) -> str | None:
    """The name in timm of a model card (``timm/resnet18.a1_in1k``), or of a model with the tag of its weights.

    Raises:
        InputError: timm has the model, and no such weights.
    """
    bare = next((name.removeprefix(hub) for hub in _HUBS if name.startswith(hub)), name)
    model, _, tag = bare.partition(".")
    if model not in timm.list_models():
        return None
    if bare != model and not (tag and timm.is_model_pretrained(bare)):
        tags = [known.partition(".")[2] for known in timm.list_pretrained(f"{model}.*")]
        near = difflib.get_close_matches(tag, tags, n=3, cutoff=0.5) or tags[:3]
        known = f"; there are {', '.join(f'{model}.{each}' for each in near)}" if near else ""
        raise InputError(f"grid.backbone: timm has no weights {bare!r}{known}; {model} alone is the default of timm")
    return bare


class RepeatedChannel(nn.Module):
    """Feeds a gray image to a network with an RGB stem, as three equal channels."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, 1, height, width) -> the network's output for three equal channels."""
        return self.network(x.expand(-1, 3, -1, -1))


def _layout(name: str, input_size: int, channels: int, classes: int) -> nn.Module:
    return LAYOUTS[name](input_size=input_size, channels=channels, classes=classes)


def _timm(name: str, input_size: int, channels: int, classes: int) -> nn.Module:
    if name.startswith(_COLOUR_ONLY) and channels == 1:
        return RepeatedChannel(_timm(name, input_size, 3, classes))
    options = {"img_size": input_size} if timm.get_pretrained_cfg_value(name, "fixed_input_size") else {}
    return timm.create_model(name, pretrained=False, in_chans=channels, num_classes=classes, **options)


def _torchvision(name: str, input_size: int, channels: int, classes: int) -> nn.Module:
    builder = torchvision.models.get_model_builder(name)
    options: dict[str, object] = {"weights": None, "num_classes": classes}
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
    raise InputError(f"backbone {TORCHVISION}{name}: no three-channel stem to replace with one of {channels}")


def _paper(name: str, input_size: int, channels: int, classes: int) -> nn.Module:
    name, _, divisor = name.partition("/")
    network = _torchvision(name, input_size, channels, classes)
    as_published(name, network)
    if divisor:
        narrow(network, int(divisor))
    return network


_BUILDERS = {"sldd": _layout, "paper": _paper, "timm": _timm, "torchvision": _torchvision}
