"""A model's name leads to a folder with weights, wherever the bundle keeps it."""

import shutil
import zipfile

import pytest

from bmenet.release import registry
from bmenet.release.models import find_model
from bmenet.release.released import DEFAULT_NAME
from bmenet.runtime.errors import WeightsError
from tests.bundled import install_release, smoke_bundle


@pytest.mark.parametrize("place", [".", "coarse", "artifacts/bundle", "artifacts/bundle/coarse"])
def test_find_model_looks_where_a_bundle_keeps_them(tmp_path, place):
    folder = tmp_path / place
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.json").write_text("{}")
    with find_model(str(tmp_path)) as found:
        assert found.coarse == folder.resolve()


def test_what_is_no_model_is_told_with_what_to_do_and_an_archive_is_not_unpacked(tmp_path, monkeypatch):
    install_release(tmp_path / "released", monkeypatch)
    folder = tmp_path / "folder"
    folder.mkdir()
    with zipfile.ZipFile(folder / "bundle.zip", "w") as archive:
        archive.writestr("../escaped", "x")
        archive.writestr("bundle.json", "{}")
    for name, word in {
        str(folder / "nothing"): r"model\.json.*got none.*dvc repro train_coarse",
        "n" * 300: r"cannot be read \(File name too long\)",
        str(folder / "bundle.zip"): "expected a folder",
        "t2w": rf"or the name of released weights \({DEFAULT_NAME}\)",
    }.items():
        with pytest.raises(WeightsError, match=word), find_model(name):
            pass
    assert {path.name for path in tmp_path.iterdir()} == {"folder", "released"}
    assert [path.name for path in folder.iterdir()] == ["bundle.zip"]


def test_find_model_keeps_a_registered_model_only_while_it_is_used(monkeypatch):
    def fetch_model(uri, folder):
        assert uri == "models:/bmenet@champion"
        (folder / "model.json").write_text("{}")
        return folder

    monkeypatch.setattr(registry, "fetch_model", fetch_model)
    with find_model("models:/bmenet@champion") as found:
        assert (found.coarse / "model.json").exists()
    assert not found.coarse.exists()


@pytest.mark.parametrize("place", [".", "artifacts/bundle"])
def test_a_bundle_is_found_before_bare_weights_and_checked(tmp_path, place):
    shutil.copytree(smoke_bundle(), tmp_path / place, dirs_exist_ok=True)
    with find_model(str(tmp_path)) as found:
        assert found.bundle is not None
        assert found.coarse == (tmp_path / place).resolve() / "weights" / "coarse"
        assert found.enhancer(device="cpu").runtime == "onnx"
        assert found.enhancer(runtime="torch", device="cpu").runtime == "torch"
    (tmp_path / place / "weights" / "coarse" / "model.json").write_text("{}")
    with pytest.raises(WeightsError, match=r"model\.json: expected"), find_model(str(tmp_path)):
        pass


def test_released_weights_are_found_by_name_by_path_and_by_default(tmp_path, monkeypatch):
    folder = install_release(tmp_path, monkeypatch)
    for asked in (None, DEFAULT_NAME, str(folder)):
        with find_model(asked) as found:
            assert (found.name, found.is_released) == (DEFAULT_NAME, True)
            assert found.coarse == folder / "weights" / "coarse"
            assert found.enhancer(device="cpu").runtime == "torch"
            assert found.enhancer(runtime="onnx", device="cpu").runtime == "onnx"
    (folder / "weights" / "coarse" / "model.json").write_text("{}")
    with pytest.raises(WeightsError, match=r"model\.json: expected"), find_model(None):
        pass
    own = tmp_path / "workspace" / DEFAULT_NAME
    own.mkdir(parents=True)
    (own / "model.json").write_text("{}")
    monkeypatch.chdir(own.parent)
    with find_model(DEFAULT_NAME) as found:  # a folder comes before released weights of its name
        assert (found.bundle, found.is_released) == (None, False)
