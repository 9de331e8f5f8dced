"""`bmenet models`: released and registered models by name, and their cards."""

import json
import subprocess
import sys

import pytest

from bmenet.release import registry
from bmenet.release.registry import Version
from bmenet.release.released import CARD_FILE, DEFAULT_NAME
from bmenet.restoration.bundle import open_bundle
from bmenet.runtime.errors import TrackingError
from tests.bundled import install_release

CARD = "# Card\n\n| a |\n|---|\n| b |\n"


@pytest.fixture(autouse=True)
def here(workspace, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return workspace


@pytest.fixture
def released(tmp_path, monkeypatch):
    folder = install_release(tmp_path / "released", monkeypatch)
    (folder / CARD_FILE).write_text(f"---\nsummary: 'code 111: 17 to 24 dB'\n---\n\n{CARD}")
    return folder


@pytest.fixture
def registered(monkeypatch):
    """A registry with one version, the champion."""
    tags = {
        "bundle.digest": "ab" * 32,
        "bundle.spacing_mm": "2",
        "bundle.has_fine": "false",
        "bundle.has_field": "false",
        "bundle.bytes": "12345678",
        "gate.metric": "psnr_brain",
        "validation.psnr_brain": "27.125",
    }

    class Registry:
        def __init__(self, _place):
            pass

        def versions(self):
            return [Version(3, ("champion",), "2026-11-25T10:00:00", None, tags)]

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://server")
    monkeypatch.setattr(registry, "Registry", Registry)
    return Registry


def test_models_lists_released_and_registered_ones(released, registered, bmenet, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    table = bmenet("models").stdout
    digest = open_bundle_digest(released)
    told = (DEFAULT_NAME, "coarse, fine", digest[:8], "code 111: 17 to 24 dB", "models:/bmenet/3", "@champion", "12.3")
    for text in (*told, "abababab", "validation psnr_brain 27.12"):
        assert text in table
    listed = json.loads(bmenet("models", "--json").stdout)
    assert [(entry["name"], entry["source"]) for entry in listed] == [
        (DEFAULT_NAME, "released"),
        ("models:/bmenet/3", "registry"),
    ]
    assert (listed[0]["digest"], listed[0]["spacing_mm"], listed[0]["stages"]) == (digest, 4, ["coarse", "fine"])
    assert (listed[1]["bytes"], listed[1]["stages"]) == (12345678, ["coarse"])
    for name in ("models:/bmenet/3", "models:/bmenet@champion"):
        assert "| `validation.psnr_brain` | 27.125 |" in bmenet("models", name).stdout


def open_bundle_digest(folder) -> str:
    (folder / CARD_FILE).rename(folder.parent / "card")
    digest = open_bundle(folder).digest
    (folder.parent / "card").rename(folder / CARD_FILE)
    return digest


def test_a_card_goes_to_a_pipe_as_it_is(released, bmenet):
    assert bmenet("models", DEFAULT_NAME).stdout == CARD
    assert json.loads(bmenet("models", DEFAULT_NAME, "--json").stdout)["card"] == CARD
    unknown = bmenet("models", "bmenet-t2w")
    assert unknown.exit_code == 1
    assert f"there is {DEFAULT_NAME}" in unknown.stderr


def test_a_registry_that_does_not_answer_hides_nothing_else(released, registered, bmenet, monkeypatch):
    def fail(_self):
        raise TrackingError("expected a model registry that answers; got: refused")

    monkeypatch.setattr(registered, "versions", fail)
    result = bmenet("models")
    assert result.exit_code == 0
    assert DEFAULT_NAME[:10] in result.stdout
    assert "warning: registry: expected a model registry that answers" in result.stderr


def test_without_any_model_nothing_is_listed(here, bmenet, monkeypatch):
    monkeypatch.setattr("bmenet.release.released.RELEASED_FOLDER", here)
    assert json.loads(bmenet("models", "--json").stdout) == []
    result = bmenet("models")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no released weights" in result.stderr


def test_where_there_is_no_registry_no_heavy_library_is_loaded(here):
    code = "import sys; from bmenet.cli.models import models; models(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=here)
    assert not {"torch", "mlflow", "onnx"} & set(done.stdout.split())
    assert not (here / "mlflow").exists()
