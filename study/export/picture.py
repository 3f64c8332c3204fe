"""The picture of a trial's distilled images that other programs show."""

from __future__ import annotations

from PIL.Image import Image

from analysis.pictures import draw, heading
from analysis.records.packages import read_distilled
from analysis.records.records import Study
from study.export.cells import TrialMetadata


def picture(study: Study, trial: TrialMetadata) -> Image | None:
    """The distilled images under their labels in percent, as the papers print them; None where a trial left none."""
    distilled = read_distilled(study.trial_folder(trial.trial))
    if distilled is None:
        return None
    return draw(heading(study, str(trial.setting.get("backbone")), distilled.rates), distilled)
