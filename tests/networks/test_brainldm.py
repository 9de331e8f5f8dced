"""BrainLDM's state dicts, in the key layout they were published with, at small sizes."""

import shutil
from pathlib import Path

import pytest
import torch

from bmenet.config import Config
from bmenet.config.profiles import load_profile
from bmenet.networks.autoencoder import LatentAutoencoder
from bmenet.networks.brainldm import import_brainldm, old_key
from bmenet.networks.denoiser import Denoiser
from bmenet.networks.fine_weights import load_fine
from bmenet.runtime.errors import WeightsError
from bmenet.runtime.files import sha256


@pytest.fixture(scope="module")
def sizes() -> Config:
    config = load_profile("paper")
    autoencoder = config.autoencoder.model_copy(update={"channels": [8, 8, 16], "norm_groups": 8})
    denoiser = config.denoiser.model_copy(
        update={"channels": [16, 32, 32], "norm_groups": 8, "head_channels": 16, "res_blocks": 1}
    )
    return config.model_copy(update={"autoencoder": autoencoder, "denoiser": denoiser})


@pytest.fixture(scope="module")
def folder(tmp_path_factory, sizes) -> Path:
    """Two files in the older layout, as torch.save wrote them."""
    torch.manual_seed(0)
    networks = {
        "autoencoder.pth": LatentAutoencoder(sizes.autoencoder).network,
        "diffusion_model.pth": Denoiser(sizes.denoiser, 3).network,
    }
    folder = tmp_path_factory.mktemp("published")
    for name, network in networks.items():
        torch.save({old_key(key): tensor for key, tensor in network.state_dict().items()}, folder / name)
    return folder


@pytest.fixture
def published(folder, tmp_path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(folder, tmp_path / "published"))


def _resave(path: Path, change) -> None:
    state = torch.load(path, weights_only=True)
    change(state)
    torch.save(state, path)


def test_layout_is_the_one_that_monai_knows_as_old(published, sizes):
    # MONAI's own converter must take the same files, and come to the same weights as ours.
    assert import_brainldm(published, published.parent / "weights", sizes).keys() == {"autoencoder", "denoiser"}
    for kind, file in (("autoencoder", "autoencoder.pth"), ("denoiser", "diffusion_model.pth")):
        ours, spec = load_fine(published.parent / "weights" / kind, kind)
        fresh, _ = load_fine(published.parent / "weights" / kind, kind)
        for parameter in fresh.parameters():
            parameter.data.zero_()
        fresh.network.load_old_state_dict(torch.load(published / file, weights_only=True))
        for key, tensor in ours.state_dict().items():
            assert torch.equal(tensor, fresh.state_dict()[key]), key
        assert spec["lineage"] == {"source": f"BrainLDM, {file}", "sha256": sha256(published / file)}
    assert spec["diffusion"] == {"timesteps": 1000, "beta_start": 0.0015, "beta_end": 0.0205}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda state: state.pop("conv_in.conv.weight"), r"1 missing \(conv_in\.conv\.weight\)"),
        (lambda state: state.update({"teacher.weight": torch.zeros(1)}), r"1 not known \(teacher\.weight\)"),
        (
            lambda state: state.update({"conv_in.conv.bias": torch.zeros(3)}),
            r"1 of another shape \(conv_in\.conv\.bias: expected \(16,\), got \(3,\)\)",
        ),
    ],
    ids=["missing", "unknown", "shape"],
)
def test_import_names_what_does_not_fit_and_writes_nothing(published, sizes, change, named):
    _resave(published / "diffusion_model.pth", change)
    with pytest.raises(WeightsError, match=named):
        import_brainldm(published, published.parent / "weights", sizes)
    assert not (published.parent / "weights").exists()


def test_import_runs_no_code_of_the_file_and_names_one_that_is_missing(published, sizes, tmp_path):
    class Trap:
        def __reduce__(self):
            return Path.touch, (tmp_path / "ran",)

    torch.save({"conv_in.conv.weight": Trap()}, published / "autoencoder.pth")
    with pytest.raises(WeightsError, match="expected a file of tensors"):
        import_brainldm(published, tmp_path / "weights", sizes)
    assert not (tmp_path / "ran").exists()
    with pytest.raises(WeightsError, match=r"autoencoder\.pth: no such file"):
        import_brainldm(tmp_path, tmp_path / "weights", sizes)
