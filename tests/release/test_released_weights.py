"""The weights in the package: there, whole, small, and the same in both runtimes."""

import tomllib
from functools import cache

import torch

from bmenet.networks.slab import input_channels
from bmenet.release.release import MAX_BYTES
from bmenet.release.released import CARD_FILE, LICENCE_FILE, default_model
from bmenet.restoration.bundle import Bundle, open_bundle
from bmenet.restoration.enhancer import Enhancer
from tests.conftest import REPOSITORY


@cache
def _bundle() -> Bundle:
    return open_bundle(default_model().folder)


def test_the_default_is_a_whole_bundle_with_card_and_licence():
    bundle = _bundle()
    assert {CARD_FILE, LICENCE_FILE} <= set(bundle.manifest.files)
    assert bundle.manifest.spacing_mm == 1
    assert bundle.total_bytes + (bundle.folder / "bundle.json").stat().st_size <= MAX_BYTES
    assert "PSNR" in default_model().card.summary
    assert "ds002748" in (bundle.folder / LICENCE_FILE).read_text(encoding="utf-8")


def test_a_wheel_takes_every_file_of_it():
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = settings["tool"]["setuptools"]["package-data"]["bmenet.release"]
    folder = default_model().folder
    packed = {path for pattern in patterns for path in folder.parents[1].glob(pattern) if path.is_file()}
    assert {path for path in folder.rglob("*") if path.is_file()} <= packed


def test_both_runtimes_restore_slices_alike():
    bundle = _bundle()
    channels = input_channels(bundle.manifest.coarse.context_slices)
    slab = torch.rand(2, channels, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch_result, onnx_result = (
            Enhancer.from_bundle(bundle, "coarse", runtime, "cpu").coarse.network(slab) for runtime in ("torch", "onnx")
        )
    assert (torch_result - onnx_result).abs().max() < 1e-4 * torch_result.abs().max()
