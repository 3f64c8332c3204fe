"""One configuration, composed of the settings that each room declares; ``study.config.loader`` reads one."""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, MinLen
from pydantic import AfterValidator, BeforeValidator
from pydantic_core import PydanticCustomError

from analysis.records.rule import Rule
from sldd.backbones.start import FILE_ENDINGS, PRETRAINED
from sldd.data.augment import AugmentSettings
from sldd.data.patches import PatchSettings
from sldd.data.settings import DataSettings
from sldd.distillation.alternatives.settings import MatchSettings
from sldd.distillation.image_learner import DistillSettings
from sldd.package import PackageSettings
from sldd.training.compute import ComputeSettings
from sldd.training.dp_sgd import PrivacySettings
from sldd.training.fresh_start import FreshSettings
from sldd.training.outer_settings import OuterSettings
from sldd.training.supervised import TrainSettings
from study.config.resource_settings import BudgetSettings, ResourceSettings
from study.config.search_settings import ConfirmSettings, SearchSettings
from study.grid.axes import GridSettings
from study.grid.protocol import Protocol


def _plain_name(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9_]+", name) or name == PRETRAINED:
        raise PydanticCustomError("name", "a collection is called by small letters, digits and '_'")
    return name


def _files_below(given: Any) -> Any:
    """Weights by backbone, of a folder with a file each: ``resnet18.safetensors``, ``paper/vgg16.safetensors``."""
    if not isinstance(given, str):
        return given
    folder = Path(given).expanduser()
    paths = sorted(path for path in folder.rglob("*") if path.suffix in FILE_ENDINGS and path.is_file())
    files = {path.relative_to(folder).with_suffix("").as_posix(): str(path) for path in paths}
    if not files:
        raise PydanticCustomError(
            "weights", "should be {BACKBONE: FILE, ...}, or a folder of such files named by backbone"
        )
    if len(files) < len(paths):
        raise PydanticCustomError("weights", "the folder has two files of weights of one backbone")
    return files


# One block of axes is a list of one.
Grid = Annotated[
    list[GridSettings], BeforeValidator(lambda tree: tree if isinstance(tree, list) else [tree]), MinLen(1)
]


@dataclass(frozen=True)
class StudyConfig:
    """A whole study."""

    name: str
    grid: Grid
    task: str = "patches"
    """What networks predict: positive or negative patients, by votes of patches; the findings of whole films; or the
    class of whole images, of which each is of one (``classes``)."""
    data: DataSettings = field(default_factory=DataSettings)
    sources: dict[Annotated[str, AfterValidator(_plain_name)], DataSettings] = field(default_factory=dict)
    """Other collections of films with findings, by their names in ``grid.chain``. Where one is missing, its cells do
    not run, and all others do."""
    pseudonyms: Literal["study", "cohort"] = "study"
    """Whose key makes them: ``study``, a random one in the study's folder; or ``cohort``, one made of all films and
    identifiers, for public data: studies of a cohort then name a patient alike, and whoever has the cohort can go on
    with a study's packed records."""
    patches: PatchSettings = field(default_factory=PatchSettings)
    distill: DistillSettings = field(default_factory=DistillSettings)
    match: MatchSettings = field(default_factory=MatchSettings)
    outer: OuterSettings = field(default_factory=OuterSettings)
    train: TrainSettings = field(default_factory=TrainSettings)
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    """Whole films only, with findings or of one class each."""
    evaluate: FreshSettings = field(default_factory=FreshSettings)
    package: PackageSettings = field(default_factory=PackageSettings)
    compute: ComputeSettings = field(default_factory=ComputeSettings)
    privacy: PrivacySettings = field(default_factory=PrivacySettings)
    search: SearchSettings = field(default_factory=SearchSettings)
    confirm: ConfirmSettings = field(default_factory=ConfirmSettings)
    protocol: Protocol = "validation"
    """``paper``: states are chosen on the test patients, at a threshold of 0.4, as the source papers did."""
    pretrained: Annotated[dict[str, str], BeforeValidator(_files_below)] = field(default_factory=dict)
    """Files of weights by backbone, for ``grid.start: pretrained`` where there is no network or nobody publishes any;
    or a folder with a file each (``resnet18.safetensors``)."""
    minimum: Rule = field(default_factory=Rule)
    resources: ResourceSettings = field(default_factory=ResourceSettings)
    budget: BudgetSettings = field(default_factory=BudgetSettings)
    track: Literal["none", "tensorboard", "mlflow", "wandb"] = "none"
    """Where trials are followed while they run, as runs with parameters, curves, pictures and packages; the driver
    alone sends them. Each needs its extra: ``pip install 'sldd-study[wandb]'``."""
    track_to: str | None = None
    """A folder for TensorBoard (default: ``tensorboard`` in the study's), a store's or server's URI for MLflow, a
    project for Weights & Biases; else what their own variables say (``MLFLOW_TRACKING_URI``, ``WANDB_PROJECT``)."""
    seed: Annotated[int, Ge(0)] = 0
    """Names every random stream of the study but the patient split (``data.split.seed``)."""


def declared(kind: type = StudyConfig, prefix: str = "") -> Iterator[tuple[str, type, str]]:
    """Every setting, in the order of declaration: its key, and the dataclass and field that declare it."""
    for field_name, hint in typing.get_type_hints(kind).items():
        group = GridSettings if (kind, field_name) == (StudyConfig, "grid") else hint  # a block, or a list of blocks
        if dataclasses.is_dataclass(group):
            yield from declared(typing.cast(type, group), f"{prefix}{field_name}.")
        else:
            yield prefix + field_name, kind, field_name
