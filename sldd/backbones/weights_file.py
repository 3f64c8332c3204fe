"""Weights files: read state dictionaries and checkpoints, and strip prefixes from parameter names."""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from sldd.errors import InputError

StateDict = dict[str, torch.Tensor]
"""Weights by parameter name; ``sldd.ops.types.Weights`` are a list without names."""
_WRAPPERS = ("model", "model_state_dict", "model_state", "net", "network", "weights", "params", "module")
"""What checkpoints call a state dictionary that they do not call ``state_dict``, which goes before all of them."""
_DEEPEST = 3
"""Levels of a checkpoint, one inside the other, in which a state dictionary is looked for."""
_LFS = b"version https://git-lfs"
_HTML = (b"<!doctype", b"<html")


def read_file(path: Path) -> StateDict:
    """Weights by parameter name, from a state dictionary or a checkpoint that holds one.

    Raises:
        InputError: there is no such file, it cannot be read, or holds no weights by name or several sets of them.
    """
    try:
        content = load_file(path) if path.suffix == ".safetensors" else _load(path)
    except FileNotFoundError:
        raise InputError(f"grid.start: {path}: there is no such file") from None
    except Exception as error:  # each format has errors of its own, and pickle those of what it is asked to make
        raise InputError(f"grid.start: {path}: {_unreadable(path, error)}") from None
    return _unwrapped(content, path)


def _load(path: Path) -> Any:
    # From memory: of a length that a file says, Python would make room for all of it before reading.
    return torch.load(io.BytesIO(path.read_bytes()), "cpu", weights_only=True)


def _unreadable(path: Path, error: Exception) -> str:
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except OSError:
        start = b""
    if start.startswith(_LFS):
        return "a pointer of Git LFS in place of the file; get the file itself (git lfs pull)"
    if start.lstrip().lower().startswith(_HTML):
        return "a page of the web in place of the file; get the file itself"
    if "weights_only" in str(error) or "Unsupported" in str(error):
        return (
            f"not readable as weights ({type(error).__name__}): it holds more than tensors by name, which is not read; "
            "save network.state_dict()"
        )
    return f"not readable as weights ({type(error).__name__})"


def _unwrapped(content: Any, path: Path) -> StateDict:
    """The state dictionary inside a checkpoint, or the content itself where it is one."""
    for _ in range(_DEEPEST):
        if not isinstance(content, Mapping) or ("state_dict" not in content and _are_weights(content)):
            break
        groups = [name for name in _WRAPPERS if isinstance(content.get(name), Mapping)]
        if isinstance(content.get("state_dict"), Mapping):
            groups = ["state_dict"]
        if len(groups) > 1:
            raise InputError(f"grid.start: {path}: holds weights as {' and as '.join(groups)}; save one of them alone")
        if not groups:
            break
        content = content[groups[0]]
    if not isinstance(content, Mapping) or not content or not _are_weights(content):
        there = (
            [str(name) for name in content if isinstance(content[name], Mapping)]
            if isinstance(content, Mapping)
            else []
        )
        hint = f"; it has {', '.join(there[:3])}: save one of them alone" if there else ""
        raise InputError(f"grid.start: {path}: holds no weights by name (a state dictionary){hint}")
    return dict(content)


def _are_weights(content: Mapping[Any, Any]) -> bool:
    return all(isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in content.items())


def named_as(weights: StateDict, names: Collection[str], where: str) -> StateDict:
    """The weights under the names of a network, where theirs have a prefix (``module.``, ``backbone.``) before these.

    Args:
        names: of parameters that the network must get.

    Raises:
        InputError: there are several prefixes under which all of them are.
    """
    if not names or any(name in weights for name in names):
        return weights
    first = next(iter(names))
    prefixes = [name.removesuffix(first) for name in weights if name.endswith(f".{first}")]
    fitting = [prefix for prefix in prefixes if all(prefix + name in weights for name in names)]
    if len(fitting) > 1:
        raise InputError(
            f"grid.start: the weights of {where} hold this network under {' and under '.join(fitting)}; save one of "
            "them alone, without that prefix"
        )
    renamed = {name.removeprefix(prefix): name for prefix in fitting for name in weights if name.startswith(prefix)}
    return weights | {short: weights[name] for short, name in renamed.items()}


def common_prefix(weights: StateDict) -> str | None:
    """The first part, up to a dot, that all names share; None where there is none."""
    starts = {name.partition(".")[0] for name in weights}
    return f"{starts.pop()}." if len(starts) == 1 and len(weights) > 2 else None


def check_values(name: str, value: torch.Tensor, where: str) -> None:
    """Raise an InputError where a layer's weights are no finite float32 numbers."""
    if not value.is_floating_point() or value.layout != torch.strided:
        raise InputError(f"grid.start: layer {name} is {value.dtype} in the weights of {where}; save it as float32")
    if value.is_meta:
        raise InputError(f"grid.start: layer {name} has a shape and no values in the weights of {where}; save it anew")
    if value.numel() and not all(bool(torch.isfinite(end.float())) for end in value.aminmax()):
        raise InputError(
            f"grid.start: layer {name} is not finite in the weights of {where}; they are of a training that diverged"
        )
