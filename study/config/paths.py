"""Absolute paths for everything that a configuration names: workers run in other folders."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ledger.storage import is_url
from sldd.backbones.features.feature_store import FeatureStore
from sldd.backbones.start import FILE_ENDINGS
from sldd.data.cohort import default_cache
from sldd.data.settings import DataSettings
from sldd.errors import InputError
from sldd.package.format.signature import check_signer, read_private
from study.config.schema import StudyConfig


def with_absolute_paths(config: StudyConfig) -> StudyConfig:
    """The configuration with its folders of films, weights and key as absolute paths.

    Raises:
        InputError: a file of weights or a key is not there, or the key is none.
    """
    grid = [
        replace(block, start=[_file("grid.start", start) if _is_file(start) else start for start in block.start])
        for block in config.grid
    ]
    pretrained = {name: _file(f"pretrained.{name}", file) for name, file in config.pretrained.items()}
    package = config.package
    if package.key is None and package.signer:
        raise InputError("package.signer: packages are signed with a key; give package.key, a file of your private key")
    if package.key is not None:
        package = replace(package, key=_file("package.key", package.key))
        read_private(Path(str(package.key)))
        check_signer(package.signer)
    sources = {name: _with_absolute_root(data) for name, data in config.sources.items()}
    data = _with_absolute_root(config.data)
    search = config.search
    if search.prior is not None and not is_url(search.prior):
        search = replace(search, prior=str(Path(search.prior).expanduser().resolve()))
    return replace(config, grid=grid, search=search, pretrained=pretrained, package=package, data=data, sources=sources)


def cache_folder(data: DataSettings) -> Path:
    """The folder on this machine for decoded films, and what is made of them."""
    return (Path(data.cache).expanduser() if data.cache else default_cache()).resolve()


def feature_store(config: StudyConfig) -> FeatureStore | None:
    """Where trials keep features of real patches on this machine; None where they are to keep none."""
    limit = round(config.resources.feature_cache * 2**30)
    return FeatureStore(cache_folder(config.data) / "features", limit) if limit else None


def weights_files(config: StudyConfig) -> list[str]:
    """All files of weights that trials may start from."""
    named = [start for block in config.grid for start in block.start if _is_file(start)]
    return [*dict.fromkeys([*named, *config.pretrained.values()])]


def _is_file(start: str) -> bool:
    return start.endswith(FILE_ENDINGS)


def _file(setting: str, path: str) -> str:
    file = Path(path).expanduser().resolve()
    if not file.is_file():
        raise InputError(f"{setting}: {path}: there is no such file")
    return str(file)


def _with_absolute_root(data: DataSettings) -> DataSettings:
    return data if data.root is None else replace(data, root=str(Path(data.root).expanduser().resolve()))
