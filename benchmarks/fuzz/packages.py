"""Fuzz the readers of packages, keys and start weights from another hospital, from generated seeds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save

from benchmarks.fuzz.guard import Inputs, Prepared, Reader
from benchmarks.fuzz.mutations import Random, deep_json, pick, spoil, spoil_tree, to_json
from sldd.backbones.init import initialise, layer_fingerprints
from sldd.backbones.registry import build
from sldd.backbones.start import copy_weights, read_weights
from sldd.data.patches import PatchSettings
from sldd.errors import InputError
from sldd.package.cli.info import info
from sldd.package.format.container import Container, digest, parse, to_bytes
from sldd.package.format.header import Claims, Scores
from sldd.package.format.image_encoding import stored
from sldd.package.format.package import Package
from sldd.package.format.signature import check, generate, read_private, read_public, sign
from sldd.package.rebuild.compare import differences
from sldd.rng import stream

_SIDE = 32


def _package() -> Package:
    random = stream(0, "fuzz", "package")
    network = build("lenet", input_size=_SIDE, norm="batch")
    initialise(network, 0)
    scores = Scores(10, 5, 1, 0.8, 0.6, 0.6857, 0.7)
    bn = [name for name, _ in network.named_buffers() if name.endswith(("running_mean", "running_var"))]
    return Package(
        backbone="lenet",
        norm="batch",
        start="xavier",
        seed=0,
        start_fingerprints=layer_fingerprints(network),
        inner_weights="all",
        momentum=0.0,
        inner_precision="float32",
        mean=120.0,
        deviation=45.0,
        delta=0.45,
        claims=Claims("validation", scores, scores),
        patches=PatchSettings(size=_SIDE, stride=16, score_stride=24, input_size=_SIDE),
        images=torch.from_numpy(random.standard_normal((2, 3, 1, _SIDE, _SIDE), np.float32)),
        labels=torch.eye(3).expand(2, -1, -1),
        rates=torch.full((1, 2), 0.02),
        theta_bn={name: torch.ones_like(network.get_buffer(name)) for name in bn},
    )


def _containers(folder: Path) -> list[Container]:
    """Plain, signed, and with images in 8 bit."""
    package = _package()
    images, told = stored(package.images.numpy(), "uint8")
    small = replace(package, images=torch.from_numpy(images), stored=told)
    generate(folder / "our.key")
    plain = package.to_container()
    return [plain, sign(plain, read_private(folder / "our.key"), "Hospital"), small.to_container()]


def _raw_package(folder: Path) -> Prepared:
    seeds = [to_bytes(container) for container in _containers(folder)]
    (folder / "package.safetensors").write_bytes(seeds[0])

    def make(random: Random) -> Inputs:
        content = pick(random, seeds)
        size = int.from_bytes(content[:8], "little")
        what = random.random()
        if what < 0.4:
            changed = spoil(content, random)
        elif what < 0.5:  # all of the changes in the header
            changed = content[:8] + spoil(content[8 : 8 + size], random) + content[8 + size :]
        elif what < 0.9:
            header = to_json(spoil_tree(json.loads(content[8 : 8 + size]), random))
            changed = len(header).to_bytes(8, "little") + header + content[8 + size :]
        elif what < 0.95:
            header = deep_json(random)
            changed = len(header).to_bytes(8, "little") + header + content[8 + size :]
        else:
            changed = int(random.integers(2**63)).to_bytes(8, "little") + content[8:]
        return {"package.safetensors": changed}

    return make, lambda: Package.load(folder / "package.safetensors")


def _whole_package(folder: Path) -> Prepared:
    """Packages whose digest holds: what is wrong is what they say."""
    seeds = _containers(folder)
    path = folder / "package.safetensors"
    path.write_bytes(to_bytes(seeds[1]))
    other = Package.load(path)

    def make(random: Random) -> Inputs:
        seed = pick(random, seeds)
        metadata, tensors = dict(seed.metadata), dict(seed.tensors)
        what = random.random()
        if what < 0.6:
            facts = spoil_tree(json.loads(metadata["facts"]), random)
            text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
            metadata["facts"] = text.encode("utf-8", "replace").decode()
        elif what < 0.65:
            metadata["facts"] = deep_json(random).decode()
        elif what < 0.75 and "signature" in metadata:
            metadata["signature"] = to_json(spoil_tree(json.loads(metadata["signature"]), random)).decode()
        else:
            for _ in range(int(random.integers(1, 4))):
                name = pick(random, sorted(tensors))
                tensors[name] = _spoil_tensor(tensors[name], random)
        if random.random() < 0.9:
            metadata["digest"] = digest(metadata["format"], metadata["facts"], tensors)
        return {path.name: to_bytes(Container(metadata, tensors))}

    def read() -> object:
        package = Package.load(path)
        check(parse(path.read_bytes()))
        return info(path), differences(package, other)

    return make, read


def _spoil_tensor(value: np.ndarray, random: Random) -> np.ndarray:
    what = int(random.integers(6))
    changed = value.copy()
    if what == 0:
        flat = changed.reshape(-1)
        strange = (0, 255, 1) if value.dtype == np.uint8 else (np.nan, np.inf, -np.inf, -1.0, 3e38, 1e-40, 0.0)
        with np.errstate(all="ignore"):
            flat[int(random.integers(flat.size))] = pick(random, strange)
    elif what == 1:
        return changed.reshape(-1)
    elif what == 2:
        return changed[None]
    elif what == 3 and len(changed) > 1:
        return changed[:-1]
    elif what == 4:
        return changed.astype(pick(random, (np.float32, np.float16, np.uint8)), casting="unsafe")
    elif what == 5:
        return np.repeat(changed, int(pick(random, (2, 20))), axis=0) if changed.size < 10**6 else changed
    return changed


def _keys(folder: Path) -> Prepared:
    generate(folder / "k")
    private, public = (folder / "k").read_bytes(), (folder / "k.pub").read_bytes()

    def make(random: Random) -> Inputs:
        return {"k": spoil(private, random), "k.pub": spoil(pick(random, (public, private)), random)}

    def read() -> None:
        refused = 0
        for reads, name in ((read_private, "k"), (read_public, "k.pub")):
            try:
                reads(folder / name)
            except InputError:
                refused += 1
        if refused:
            raise InputError("a key was refused")

    return make, read


def _weights(folder: Path) -> Prepared:
    network = build("lenet", input_size=_SIDE, norm="as_is")
    state = {name: value.detach() for name, value in network.named_parameters()}
    torch.save(state, folder / "start.pt")
    torch.save({"state_dict": state, "model": network}, folder / "model.pt")  # asks to make objects: never read
    torch.save(state, folder / "old.pt", _use_new_zipfile_serialization=False)
    torch.save({"model": {f"module.{name}": value for name, value in state.items()}}, folder / "wrapped.pt")
    torch.save({"net": state, "model": state, "epoch": 1}, folder / "twice.pt")
    (folder / "start.safetensors").write_bytes(save(state))
    seeds = {
        "start.pt": [
            (folder / name).read_bytes() for name in ("start.pt", "old.pt", "model.pt", "wrapped.pt", "twice.pt")
        ],
        "start.safetensors": [(folder / "start.safetensors").read_bytes()],
    }
    (folder / "model.pt").unlink()

    def make(random: Random) -> Inputs:
        name = pick(random, sorted(seeds))
        return {name: spoil(pick(random, seeds[name]), random)}

    def read() -> None:
        for name in seeds:
            copy_weights(network, read_weights("lenet", str(folder / name)), where=name)

    return make, read


READERS = [
    Reader("package", _raw_package, (InputError,), share=20, enclosed=True),
    Reader("package-facts", _whole_package, (InputError,), share=12, enclosed=True),
    Reader("key", _keys, (InputError,), share=4, enclosed=True),
    Reader("weights", _weights, (InputError,), share=6, enclosed=True),
]
