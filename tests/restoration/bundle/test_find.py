"""A bundle is found as `bmenet export` writes it and as a registered model keeps it."""

import pytest

from bmenet.restoration.bundle.find import find_bundle, first_with


@pytest.mark.parametrize("place", [".", "artifacts/bundle", "artifacts/other"])
def test_find_bundle_looks_in_the_folder_and_its_artifacts(tmp_path, place):
    assert find_bundle(tmp_path) is None
    folder = tmp_path / place
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bundle.json").touch()
    assert find_bundle(tmp_path) == folder.resolve()


def test_the_first_place_counts_then_the_first_name(tmp_path):
    for name in ("b", "a", "c"):
        (tmp_path / "deep" / name).mkdir(parents=True)
        (tmp_path / "deep" / name / "x").touch()
    assert first_with("x", tmp_path, ["", "deep/*"]) == tmp_path / "deep" / "a"
    (tmp_path / "x").touch()
    assert first_with("x", tmp_path, ["", "deep/*"]) == tmp_path
    assert first_with("x", tmp_path / "nothing", ["", "deep/*"]) is None
