"""What one hospital sends another: distilled images, soft labels, inner rates, ``theta_bn``, and how to use them.

One safetensors file. The network itself is not in it: backbone, norm setting, start and seed give its first weights bit
for bit, and the inner steps do the rest (Algorithm 2).
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from sldd.backbones import build
from sldd.compute import Precision, autocast_type
from sldd.distill import InnerWeights
from sldd.errors import InputError
from sldd.head import Head
from sldd.norms import keep_no_statistics, load_statistics
from sldd.patches import CLASSES, PatchSettings
from sldd.start import FILE_ENDINGS, check_start, set_start
from sldd.unroll import Unroll

FORMAT = "sldd-package/4"
_BN = "theta_bn/"


@dataclass(frozen=True)
class Package:
    """The content of the file.

    Attributes:
        images: (S, M, 1, h, w) float32, standardised gray values.
        labels: (S, M, 3) float32 over I, N, P.
        rates: (E, S) float32 inner rates as used, or (E, S, T) with one for each parameter tensor.
        theta_bn: batch-norm mean and variance by buffer name.
        inner_weights, momentum, inner_precision: of the inner steps.
        backbone, norm, start, seed: rebuild the start; start_fingerprints, by parameter, check it. A start from a file
            is given as the file's name.
        mean, deviation: standardise a radiograph's gray values.
        patches: how to cut a radiograph.
        delta: threshold on the patient's score, chosen on validation patients.
    """

    images: torch.Tensor
    labels: torch.Tensor
    rates: torch.Tensor
    theta_bn: dict[str, torch.Tensor]
    inner_weights: InnerWeights
    momentum: float
    inner_precision: Precision
    backbone: str
    norm: str
    start: str
    seed: int
    start_fingerprints: dict[str, str]
    mean: float
    deviation: float
    patches: PatchSettings
    delta: float

    def to_bytes(self) -> bytes:
        """The file's content."""
        tensors = {"images": self.images, "labels": self.labels, "rates": self.rates}
        tensors |= {_BN + name: value for name, value in self.theta_bn.items()}
        facts = {key: value for key, value in asdict(self).items() if key not in (*tensors, "theta_bn")}
        metadata = {"format": FORMAT, "classes": json.dumps(CLASSES)}
        metadata |= {key: json.dumps(value) for key, value in facts.items()}
        return save({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, metadata)

    def save(self, path: Path) -> None:
        """Write the file; it appears whole or not at all."""
        scratch = path.with_name(f".{path.name}.{os.getpid()}")
        scratch.write_bytes(self.to_bytes())
        scratch.replace(path)

    @classmethod
    def load(cls, path: Path) -> Package:
        """Read a file.

        Raises:
            InputError: not a package, or one of a later format.
        """
        try:
            with safe_open(path, framework="pt") as file:
                metadata: dict[str, str] = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise InputError(f"{path}: not a readable package ({error}); copy the file again") from None
        if metadata.get("format") != FORMAT:
            raise InputError(f"{path}: format {metadata.get('format')!r}, this version reads {FORMAT!r}")
        facts: dict[str, Any] = {k: json.loads(v) for k, v in metadata.items() if k not in ("format", "classes")}
        facts["patches"] = PatchSettings(**facts["patches"])
        theta_bn = {name.removeprefix(_BN): value for name, value in tensors.items() if name.startswith(_BN)}
        shared = {name: tensors[name] for name in ("images", "labels", "rates")}
        return cls(**shared, theta_bn=theta_bn, **facts)

    def rebuild(self, start: Path | None = None) -> nn.Module:
        """The trained network in evaluation mode: start, inner steps, ``theta_bn``.

        Args:
            start: the file of weights that the sender started from, where it was one.

        Raises:
            InputError: the start is not the sender's, bit for bit; the message names the layer.
        """
        network = build(self.backbone, input_size=self.patches.input_size, norm=self.norm)
        if self.start.endswith(FILE_ENDINGS) and start is None:
            raise InputError(f"this package starts from the file {self.start}; say where it is")
        set_start(network, backbone=self.backbone, start=str(start or self.start), seed=self.seed)
        check_start(network, self.start_fingerprints, f"package for {self.backbone}")
        keep_no_statistics(network)
        load_statistics(network, self.theta_bn)
        seen, changed = self.images, network
        if self.inner_weights == "head":
            head = Head(network)
            with torch.no_grad():
                seen = head.features(seen)
            changed = head.layer
        unroll = Unroll(changed, momentum=self.momentum, autocast=autocast_type(self.inner_precision))
        weights = unroll.steps(seen, self.labels, self.rates, differentiable=False)
        for parameter, weight in zip(changed.parameters(), weights, strict=True):
            parameter.copy_(weight)
        return network.requires_grad_(True).eval()
