"""Matches measured cells to published rows, with remarks on what is not as published.

A cell matches where its method, norm, image count and distill steps are the row's. Its network may be the papers' own
(`paper/resnet18`), the same layout with narrower layers (`paper/resnet18/8`), or a library's of that name; its start
may be another one if no cell has the published start. Where a cell is not as published, `remarks` says so.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis.published import results
from analysis.records.cell_means import cell_means, confirm_rows, training_means
from analysis.records.records import Study, compared, score_word
from analysis.records.runs import folds_of
from ledger.schema import SETTING

BY = [*SETTING, "backbone", "images"]
CLASSES = 3
SEEDED = ("xavier", "near_linear")
"""Starts that know nothing, the published one first."""
# Whether a network comes with batch normalisation when its norm is left as it is.
_AS_IS = dict.fromkeys(("googlenet", "resnet18", "resnet34"), "bn")
_AS_IS |= dict.fromkeys(("alexnet", "vgg16", "vgg19"), "no_bn")
_NORM_WORDS = {"bn": "with batch norm", "no_bn": "without batch norm"}
_DISTILLED = ("SLDD", "DD")
# Method -> whether it is fine-tuned, the classes and the view it is trained on (Li et al. 2022, 4.2).
_TRAINED = {
    "subset": (False, "INP", "patches"),
    "CM1": (False, "INP", "patches"),
    "CM2": (True, "NP", "patches"),
    "CM3": (False, "NP", "patches"),
    "CM4": (True, None, "whole"),
    "CM5": (True, "INP", "patches"),
}


def measured_cells(studies: Sequence[Study]) -> pd.DataFrame:
    """One row a cell that the ledgers of `studies` know, confirmed or not, in the order of `studies`; the cells of one
    setting on several folds are one row. Cells that are not `compared` are none.

    Columns: study (its place in `studies`), cell (name, of the first fold), folds and confirmed_folds (0 where none
    rotate), status (empty where confirmed, else `running`, `refused: why`, ...), protocol, stands_for (images in all of
    the published training set that a cell with `train_patches` stands for), and those of `cell_means`: missing where
    nothing is confirmed.
    """
    found = [_cells(study).assign(study=place) for place, study in enumerate(studies)]
    return pd.concat([cells for cells in found if len(cells)] or found[:1], ignore_index=True)


def _cells(study: Study) -> pd.DataFrame:
    groups = compared(study.records).groupby(BY, sort=False, dropna=False)
    known = groups.agg(cell=("cell", "first"), known_parameters=("parameters", "max")).reset_index()
    known["folds"] = folds_of(study) or 0
    known["status"] = pd.Series([_status(rows) for _, rows in groups], dtype="string")
    confirmed = confirm_rows(study.records).groupby(BY, sort=False, dropna=False)
    shared = confirmed.agg(
        confirmed_folds=("fold", "nunique"),
    ).reset_index()
    cells = known.merge(shared, on=BY, how="left").merge(_means(study), on=BY, how="left")
    cells["parameters"] = cells.pop("known_parameters")
    cells["protocol"] = cells["protocol"].fillna("")
    cells["confirmed_folds"] = cells["confirmed_folds"].astype("Int64")
    partly = cells["status"].eq("") & cells["hm"].isna()
    for place in cells.index[partly]:
        some, folds = cells.loc[place, ["confirmed_folds", "folds"]]
        cells.loc[place, "status"] = f"confirmed on {some} of {folds} folds"
    return cells.assign(stands_for=_stands_for(cells))


def _means(study: Study) -> pd.DataFrame:
    parts = [cell_means(study), training_means(study)]
    return pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)


def _status(rows: pd.DataFrame) -> str:
    """Empty for a confirmed cell, else how far the cell's trials `rows` have come."""
    if len(confirm_rows(rows)):
        return ""
    statuses = set(rows["status"])
    for status in ("refused", "running"):
        if status in statuses:
            return _because(rows[rows["status"].eq(status)])
    done = rows[rows["status"].eq("done")]
    if done["phase"].eq("confirm").any():
        return f"confirmed, but its {score_word(rows)} is undefined"
    lost = rows[rows["status"].isin(["failed", "diverged"])]
    if len(lost) and (done.empty or lost["phase"].eq("confirm").any()):
        return _because(lost)
    return "searched, not confirmed yet"


def _because(rows: pd.DataFrame) -> str:
    """The status of the last of `rows`, and why."""
    last = rows.iloc[-1]
    return str(last["status"]) if pd.isna(last["error"]) else f"{last['status']}: {last['error']}"


def _stands_for(cells: pd.DataFrame) -> pd.Series:
    """The published training set a cell with `train_patches` stands for: that of its size; where a network has none
    of the published sizes, its largest stands for the largest published one, and so on down."""
    published = results()["train_images"].dropna().sort_values(ascending=False).tolist()
    stands_for = pd.Series(pd.NA, index=cells.index, dtype="Int64")
    subsets = cells[cells["train_patches"].notna()]
    for _, group in subsets.groupby(["backbone", "norm", "start", "train_classes"], sort=False):
        sizes = group["train_patches"] * CLASSES
        ordered = sizes.drop_duplicates().sort_values(ascending=False).tolist()
        exact = {size: size for size in ordered if size in published}
        stands_for[group.index] = sizes.map(exact or dict(zip(ordered, published, strict=False))).astype("Int64")
    return stands_for


def match(published: pd.Series, cells: pd.DataFrame, norms: Sequence[str]) -> pd.Series | None:
    """The row of `cells` (of `measured_cells`) that stands beside the row `published` (of `results`), or None.

    A confirmed cell goes before one that is not, then the published start, then the papers' own network before a
    narrower one before a library's; what is still equal goes by the order of the studies. `norms` are the norms to
    accept, the best first.
    """
    ranked = [
        ((cell["status"] != "", *rank, place), cell)
        for place, (_, cell) in enumerate(cells.iterrows())
        if _same_work(published, cell) and (rank := closeness(published, cell, norms)) is not None
    ]
    return min(ranked, key=lambda pair: pair[0])[1] if ranked else None


def _same_work(published: pd.Series, cell: pd.Series) -> bool:
    """Whether the cell distils the same images, or trains on the same kind of patches."""
    if published["method"] in _DISTILLED:
        same = ("images", "distill_steps", "distill_epochs")
        if any(pd.isna(cell[name]) or cell[name] != published[name] for name in same):
            return False
        # The published labels start at their image's class, a single one at N: here two spellings of the same start.
        starts = ("one_hot", "constant:N") if published["images"] == 1 else ("one_hot",)
        return cell["label_init"] in starts
    _, classes, view = _TRAINED[published["method"]]
    if pd.notna(cell["images"]) or cell["train_view"] != view or (classes and cell["train_classes"] != classes):
        return False
    if published["method"] == "subset":
        return pd.notna(cell["stands_for"]) and cell["stands_for"] == published["train_images"]
    return pd.isna(cell["train_patches"])


def closeness(published: pd.Series, cell: pd.Series, norms: Sequence[str]) -> tuple[int, ...] | None:
    """How near a cell's method, start, network and norm are to the published ones, smaller is nearer; None where they
    are something else."""
    network = kinship(str(cell["backbone"]), published["backbone"])
    norm = _norm(published, cell)
    start = _start(published["method"], cell)
    return (start, *network, norms.index(norm)) if network and norm in norms and start is not None else None


def _norm(published: pd.Series, cell: pd.Series) -> str | None:
    """The cell's norm in the papers' words."""
    return {"batch": "bn", "none": "no_bn", "as_is": _AS_IS[published["backbone"]]}.get(cell["norm"])


def _start(method: str, cell: pd.Series) -> int | None:
    """0 for the published start, more for one that may stand in for it."""
    if method in _DISTILLED:
        if cell["method"] != method.lower():
            return None
        order = [*SEEDED, "pretrained"]
        return order.index(cell["start"]) if cell["start"] in order else len(order)
    if not _TRAINED[method][0]:
        return SEEDED.index(cell["start"]) if cell["start"] in SEEDED else None
    return None if cell["start"] in SEEDED else int(cell["start"] != "pretrained")


def kinship(backbone: str, published: str) -> tuple[int, int] | None:
    """(0, 1) for the papers' own network, (1, divisor) for one with narrower layers, (2, 1) for a library's."""
    if backbone == f"paper/{published}":
        return 0, 1
    stem, _, divisor = backbone.rpartition("/")
    if stem == f"paper/{published}" and divisor.isdecimal():
        return 1, int(divisor)
    return (2, 1) if backbone in (published, f"torchvision/{published}") else None


def remarks(published: pd.Series, cell: pd.Series) -> list[str]:
    """What about a matched cell is not as published, or has to be known to compare it, in words."""
    notes = []
    kind, divisor = kinship(str(cell["backbone"]), published["backbone"]) or (0, 1)
    if kind:
        notes.append(f"stand-in: widths / {divisor}" if kind == 1 else "stand-in: a library's network of that name")
    if (norm := _norm(published, cell)) and norm != published["norm"]:
        notes.append(_NORM_WORDS[norm])
    fine_tuned = published["method"] in _TRAINED and _TRAINED[published["method"]][0]
    if cell["start"] != ("pretrained" if fine_tuned else "xavier"):
        notes.append(f"start {cell['start']}")
    if published["method"] == "subset" and cell["train_patches"] * CLASSES != published["train_images"]:
        notes.append(f"trained on {cell['train_patches'] * CLASSES:,} patches")
    return notes + protocol_remarks(cell)


def protocol_remarks(cell: pd.Series) -> list[str]:
    """Which patients a confirmed cell's numbers rest on, where that is not one fold's test patients, scored once."""
    notes = []
    if cell["status"] == "" and cell["folds"] > 1:
        notes.append(f"pooled over {cell['folds']} folds")
    if cell["protocol"] == "paper":
        notes.append("papers' protocol")
    return notes
