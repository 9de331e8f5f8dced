"""`bmenet release`: a small bundle with a filled card, of evaluated networks of public data, or nothing."""

import json
import os
import shutil
import time
from pathlib import Path

import pytest

from bmenet.config import load_config
from bmenet.release.released import CARD_FILE, LICENCE_FILE, read_card
from bmenet.restoration.bundle import open_bundle
from bmenet.runtime.files import write_json
from tests.bundled import save_networks

NAME = "bmenet-t1w-4mm"


@pytest.fixture
def trained(workspace: Path) -> Path:
    """A workspace whose first stage was trained on public data and evaluated."""
    save_networks(workspace / "weights")
    for network in (workspace / "weights").iterdir():
        if network.name not in ("coarse", "field"):
            shutil.rmtree(network)
    _set(workspace, "- {source: sample}", "- {source: openneuro, dataset: ds000011}")
    _set(workspace, "storage: fp32 ", "storage: fp16 ")
    write_json(workspace / "data" / "split.json", {"train": ["a", "b"], "validation": ["c"], "test": ["d", "e", "f"]})
    figures = {
        "degraded": {"000": _figures(100), "111": _figures(17.04), "100": _figures(19)},
        "coarse": {"000": _figures(44.4), "111": _figures(24.06), "100": _figures(26.5)},
        "n4": {"111": _figures(20)},
    }
    write_json(workspace / "reports" / "evaluate" / "summary.json", figures)
    return workspace


def _figures(psnr_brain: float) -> dict:
    values = {"psnr": 30.25, "ssim": 0.875, "psnr_brain": psnr_brain, "ssim_brain": 0.8, "hfen_brain": 0.4}
    return {name: {"mean": value, "low": value - 1, "high": value + 1} for name, value in values.items()}


def _set(workspace: Path, old: str, new: str) -> None:
    text = (workspace / "params.yaml").read_text()
    assert old in text
    (workspace / "params.yaml").write_text(text.replace(old, new))


def test_release_writes_a_bundle_with_a_card_and_a_licence(trained, bmenet):
    _set(trained, "start_from: null ", "start_from: weights/base/coarse ")
    result = bmenet("release", "--out", "there")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.strip() == str(trained / "there" / NAME)
    bundle = open_bundle(trained / "there" / NAME)
    assert {CARD_FILE, LICENCE_FILE} <= set(bundle.manifest.files)
    content = (bundle.folder / CARD_FILE).read_text(encoding="utf-8")
    card = read_card(content)
    assert card.summary.startswith("code 111: brain PSNR 17.0 to 24.1 dB")
    assert "| `field`: tells the coil's field" in card.text
    assert "First a small 3D network tells the coil's field" in card.text
    for text in ("| `111` | BMENet, coarse | 30.25 [29.25, 31.25]", "2 subjects to train on", f"--model {NAME}"):
        assert text in card.text
    assert "| `000` | degraded input" not in card.text
    assert "goes on from `weights/base/coarse`" in card.text
    assert "| N4" not in card.text
    assert "$" not in content
    assert "PDDL" in (bundle.folder / LICENCE_FILE).read_text(encoding="utf-8")
    assert str(load_config().seed) in card.text
    assert str(trained) not in content
    assert "rounded weights: coarse" in result.stderr


def test_the_licence_names_a_data_set_that_brings_its_credit(trained, bmenet):
    _set(
        trained,
        "- {source: openneuro",
        '- {source: sample, credit: "Heads of ours, CC BY-SA 3.0"}\n    - {source: openneuro',
    )
    assert bmenet("release", "--out", "there").exit_code == 0
    for name in (CARD_FILE, LICENCE_FILE):
        text = (trained / "there" / NAME / name).read_text(encoding="utf-8")
        assert "Heads of ours, CC BY-SA 3.0" in text
        assert "Foerde" in text


def _forget_figures(trained: Path) -> None:
    (trained / "reports" / "evaluate" / "summary.json").unlink()


def _train_again(trained: Path) -> None:
    later = time.time() + 60
    os.utime(trained / "weights" / "coarse" / "model.json", (later, later))


def _keep_figures_of_motion(trained: Path) -> None:
    path = trained / "reports" / "evaluate" / "summary.json"
    write_json(path, {method: {"100": codes.get("100", {})} for method, codes in json.loads(path.read_text()).items()})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda trained: _set(trained, "- {source: openneuro", "- {source: sample}\n    - {source: openneuro"),
            "expected the licence of every data set",
        ),
        (lambda trained: _set(trained, "  weights: weights ", "  weights: elsewhere "), "evaluate.weights: expected"),
        (_forget_figures, "run `dvc repro evaluate`"),
        (_train_again, "got older ones than weights/coarse"),
        (_keep_figures_of_motion, "expected code 111; got none"),
        (lambda trained: shutil.rmtree(trained / "weights"), "dvc repro train_coarse"),
        (lambda trained: None, "expected at most 0 MB; got 0.1 MB"),
    ],
    ids=[
        "private data",
        "figures of others",
        "not evaluated",
        "older",
        "no figures of 111",
        "no networks",
        "too large",
    ],
)
def test_only_evaluated_networks_of_public_data_that_are_small_are_released(
    trained, bmenet, monkeypatch, change, reason
):
    monkeypatch.setattr("bmenet.release.release.MAX_BYTES", 20_000)
    change(trained)
    result = bmenet("release", "--out", "there")
    assert result.exit_code == 1
    assert reason in result.stderr
    assert not (trained / "there" / NAME).exists()
