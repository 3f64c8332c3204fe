"""The network that a package stands for, for other programs: ONNX (``.onnx``) or ``torch.export`` (``.pt2``).

Standardisation and the softmax (findings: sigmoid) are inside. How to cut a radiograph, the threshold and the rule of
votes are JSON in the file's metadata, since a radiograph may have any size (docs/receiving.md). Stack traces, in which
exporters keep the paths of the machine, are removed.
"""

from __future__ import annotations

import importlib
import io
import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from sldd.errors import InputError
from sldd.ops.pixels import at_least
from sldd.ops.types import PerChannel
from sldd.package.format.package import Package
from sldd.package.rebuild.self_test import TOLERANCE, inputs
from sldd.training.losses import LOSSES

FORMAT = "sldd-model/1"
FACTS = "sldd.json"
"""The facts' name among an exported program's extra files; in ONNX they are the metadata ``sldd``."""
INPUT, OUTPUT = "patches", "probabilities"
ENDINGS = (".onnx", ".pt2")
_MOST_ONNX = 2**31 - 1
_TRACES = ("stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn", "from_node")


class Receiver(nn.Module):
    """A network from values as they are in a radiograph to probabilities.

    Args:
        network: as ``sldd.package.rebuild.rebuild.rebuild`` gives it.
        package: says how values are standardised.
    """

    def __init__(self, network: nn.Module, package: Package) -> None:
        super().__init__()
        self.network = network
        self._probabilities = LOSSES[package.task].probabilities
        self.mean: torch.Tensor
        self.deviation: torch.Tensor
        self.register_buffer("mean", _by_channel(package.mean))
        self.register_buffer("deviation", _by_channel(at_least(package.deviation)))

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """(batch, classes) probabilities of (batch, channels, side, side) float32 values."""
        return self._probabilities(self.network((patches - self.mean) / self.deviation))


def facts(package: Package, digest: str) -> dict[str, Any]:
    """What goes with the network: its input and output, how to cut a radiograph, and how votes call a patient.

    Args:
        digest: of the package's file.
    """
    settings, side = package.patches, package.patches.input_size
    whole = package.delta is None
    kept = package.film_size
    first = f"sides above {kept} to {kept}, with Pillow's bilinear filter, then " if kept is not None else ""
    cut = {} if whole else {"size": settings.size, "stride": settings.score_stride or settings.stride}
    return {
        "format": FORMAT,
        "package": digest,
        "input": {
            "name": INPUT,
            "shape": ["batch", package.channels, side, side],
            "values": f"float32, 0 to {2**package.depth - 1}, as in a radiograph of {package.depth} bit",
            "resized": f"{first}to {side} x {side}, bilinear with anti-aliasing (torch.nn.functional.interpolate)",
        },
        "output": {"name": OUTPUT, "classes": list(package.classes)},
        "patches": None if whole else cut | {"unit": "pixels; below 1, shares of the radiograph's shorter side"},
        "delta": package.delta,
        "rule": (
            "probabilities of a whole film"
            if whole
            else "each patch votes for its likeliest class; positive where #P / (#N + #P) is at least delta"
        ),
        "claims": None if package.claims is None else asdict(package.claims),
    }


def to_bytes(package: Package, network: nn.Module, digest: str, ending: str) -> bytes:
    """The content of a file, checked: it gives the package's self-test inputs what the network does.

    Args:
        ending: one of ``ENDINGS``.

    Raises:
        InputError: the network cannot be exported, a library is missing, or outputs differ.
    """
    libraries = _libraries() if ending == ".onnx" else None  # asked for before the work
    network = network.cpu().eval()
    model = Receiver(network, package)
    model.eval()
    seen = inputs(package.seed, package.images) * model.deviation + model.mean
    with torch.no_grad():
        expected = model(seen)
    program = _program(model, seen[:2], package.backbone)
    told = json.dumps(facts(package, digest), sort_keys=True)
    content = _pt2(program, told) if libraries is None else _onnx(program, told, package.backbone)
    found = torch.from_numpy(run(content, ending, seen.numpy()))
    difference = float((found - expected).abs().max())
    if not difference <= TOLERANCE:
        raise InputError(f"{package.backbone}: its {ending} file gives other probabilities (by {difference:.1e})")
    return content


def run(content: bytes, ending: str, values: np.ndarray) -> np.ndarray:
    """(batch, classes) probabilities of (batch, channels, side, side) values, by onnxruntime or PyTorch."""
    if ending == ".onnx":
        _, runtime = _libraries()
        session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
        return np.asarray(session.run([OUTPUT], {INPUT: values})[0])
    with torch.no_grad():
        return np.asarray(torch.export.load(io.BytesIO(content)).module()(torch.from_numpy(values)))


def check_ending(out: Path) -> str:
    """The ending of a file to export to.

    Raises:
        InputError: another one.
    """
    if out.suffix not in ENDINGS:
        raise InputError(f"{out}: name a file that ends with {' or '.join(ENDINGS)}")
    return out.suffix


def _program(model: nn.Module, example: torch.Tensor, backbone: str) -> ExportedProgram:
    try:
        program = torch.export.export(model, (example,), dynamic_shapes=({0: Dim("batch")},), strict=False)
    except Exception as error:  # whatever a network's own code and the exporter say
        raise InputError(f"{backbone} cannot be exported: {_line(error)}") from error
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ():
            for name in _TRACES:
                node.meta.pop(name, None)
    return program


def _pt2(program: ExportedProgram, told: str) -> bytes:
    file = io.BytesIO()
    torch.export.save(program, file, extra_files={FACTS: told})
    return file.getvalue()


def _onnx(program: ExportedProgram, told: str, backbone: str) -> bytes:
    logging.getLogger("onnxscript").setLevel(logging.ERROR)
    try:
        made = torch.onnx.export(
            program, dynamo=True, verbose=False, input_names=[INPUT], output_names=[OUTPUT], external_data=False
        )
    except Exception as error:
        raise InputError(f"{backbone} cannot be written as ONNX: {_line(error)}") from error
    assert made is not None
    model = made.model_proto
    if model.ByteSize() > _MOST_ONNX:
        raise InputError(f"{backbone} is larger than the 2 GiB of an ONNX file; export to .pt2")
    _forget_traces(model.graph)
    entry = model.metadata_props.add()
    entry.key, entry.value = "sldd", told
    return bytes(model.SerializeToString())


def _forget_traces(graph: Any) -> None:
    """Remove what the exporter's own passes say of where their code lies."""
    del graph.metadata_props[:]
    for node in graph.node:
        del node.metadata_props[:]
        for attribute in node.attribute:
            for inner in [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]:
                _forget_traces(inner)


def _libraries() -> tuple[Any, Any]:
    """onnx and onnxruntime; the exporter also needs onnxscript."""
    try:
        importlib.import_module("onnxscript")
        return importlib.import_module("onnx"), importlib.import_module("onnxruntime")
    except ImportError as error:
        raise InputError(f"ONNX needs {error.name}: pip install 'sldd-study[onnx]'") from None


def _by_channel(values: PerChannel) -> torch.Tensor:
    return torch.tensor(values if isinstance(values, tuple) else [values]).float()[:, None, None]


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
