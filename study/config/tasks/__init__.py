"""Tasks by name: what ``task`` chooses from. A new one is a file here and a line of ``TASKS``."""

from __future__ import annotations

from typing import Any

from study.config.tasks.base import Task
from study.config.tasks.classes import CLASSES
from study.config.tasks.multilabel import MULTILABEL
from study.config.tasks.patches import PATCHES

TASKS: dict[str, Task[Any]] = {task.name: task for task in (PATCHES, MULTILABEL, CLASSES)}
