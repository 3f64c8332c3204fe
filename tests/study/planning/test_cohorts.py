"""Where features are kept on a machine, and what is said where they cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from study.config.loader import load
from study.config.paths import feature_store
from study.planning.cohorts import announce_features


@pytest.mark.parametrize(
    ("asked", "used"),
    [
        (["distill.inner_weights=head"], True),
        (["search.options={inner_weights: [all, head]}"], True),
        ([], False),
        (["distill.inner_weights=head", "resources.feature_cache=0"], False),
    ],
)
def test_a_cache_that_cannot_be_written_is_said_where_it_would_be_used(
    tmp_path: Path, asked: list[str], used: bool
) -> None:
    (tmp_path / "file").touch()
    config = load("demo", [f"data.cache={tmp_path}/file", *asked])
    said = [
        f"demo: features are not kept in {tmp_path}/file/features (Not a directory) but worked out each time"
    ] * used
    assert list(announce_features(config)) == said
    assert list(announce_features(load("demo", [f"data.cache={tmp_path}", *asked]))) == []


def test_the_size_of_the_cache_is_a_setting(tmp_path: Path) -> None:
    for share, kept in ((1, True), (1e-6, False)):  # of a GiB
        store = feature_store(load("demo", [f"data.cache={tmp_path}", f"resources.feature_cache={share}"]))
        assert store is not None
        with store.writing("one") as draft:
            draft.finish()
            draft._write(bytes(2000))
        assert (tmp_path / "features" / "one.features").exists() == kept
        (tmp_path / "features" / "one.features").unlink(missing_ok=True)
