"""One sampler, two runtimes: what comes out does not depend on who runs the networks."""

import shutil
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch

from bmenet.networks.autoencoder import LatentAutoencoder
from bmenet.networks.slab import input_channels
from bmenet.release.export.graphs import GraphPlan
from bmenet.release.export.onnx_file import write_graph
from bmenet.release.export.rewrite import use_axis_norms
from bmenet.restoration import Enhancer
from bmenet.restoration.bundle import open_bundle
from bmenet.restoration.fine_net import FineNet
from bmenet.restoration.onnx_runtime import Sessions
from bmenet.restoration.providers import gpu_names
from bmenet.runtime.errors import BMENetError, ConfigError, WeightsError
from bmenet.runtime.files import read_json, write_json
from tests.bundled import SAMPLING, smoke_bundle
from tests.fine_networks import smoke_config


@pytest.fixture(scope="module")
def bundle():
    return open_bundle(smoke_bundle())


@pytest.fixture(scope="module")
def onnx(bundle) -> Enhancer:
    return Enhancer.from_bundle(bundle, "fine", "onnx", "cpu")


@pytest.fixture(scope="module")
def exact(bundle) -> Enhancer:
    """Torch, float32 throughout."""
    enhancer = Enhancer.from_bundle(bundle, "fine", "torch", "cpu")
    fine = FineNet.from_folder(bundle.weights, dtype=torch.float32)
    return replace(enhancer, coarse=replace(enhancer.coarse, dtype=torch.float32), fine=fine)


def test_both_stages_agree(onnx, exact, phantom):
    assert onnx.sampling == exact.sampling == SAMPLING
    scan = phantom.with_data(800 * phantom.data)
    for one, other in ((replace(onnx, fine=None), replace(exact, fine=None)), (onnx, exact)):
        got, expected = one.restore(scan).data, other.restore(scan).data
        assert np.abs(expected - scan.data).max() > 1
        np.testing.assert_allclose(got, expected, atol=1e-3 * expected.max())


def test_both_find_the_same_field(onnx, exact, phantom):
    got, expected = (enhancer.coarse.field(phantom.data, 4) for enhancer in (onnx, exact))
    assert np.ptp(expected) > 0.05
    np.testing.assert_allclose(got, expected, rtol=1e-4)


def test_an_older_bundle_without_a_field_network_is_run_without_one(bundle, exact, phantom, tmp_path):
    folder = tmp_path / "bundle"
    shutil.copytree(bundle.folder, folder)
    manifest = read_json(folder / "bundle.json")
    del manifest["field"]
    paths = [graphs.pop("field")["path"] for graphs in manifest["graphs"].values()]
    paths += [f"weights/field/{name}" for name in ("model.json", "model.safetensors")]
    for path in paths:
        del manifest["files"][path]
        (folder / path).unlink()
    write_json(folder / "bundle.json", manifest)
    older = open_bundle(folder)
    assert (bundle.has_field, older.has_field) == (True, False)
    scan = phantom.with_data(phantom.data + 0.02)
    got, expected = (
        replace(enhancer, coarse=replace(enhancer.coarse, dtype=torch.float32)).restore(scan).data
        for enhancer in (Enhancer.from_bundle(older, "coarse", name, "cpu") for name in ("onnx", "torch"))
    )
    np.testing.assert_allclose(got, expected, atol=1e-3 * expected.max())
    assert np.abs(replace(exact, fine=None).restore(scan).data - expected).max() > 1e-2 * expected.max()


def test_the_same_seed_gives_the_same_volume_and_another_another(onnx, phantom):
    one, again, other = (replace(onnx, seed=seed).restore(phantom).data for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 0


def test_constraint_is_a_graph_of_one_window_and_does_something(onnx, phantom):
    def restore(scale: float) -> np.ndarray:
        guidance = SAMPLING.guidance.model_copy(update={"scale": scale})
        return replace(onnx, sampling=SAMPLING.model_copy(update={"guidance": guidance})).restore(phantom).data

    assert np.abs(restore(0.5) - restore(0.0)).max() > 1e-3
    guidance = SAMPLING.guidance.model_copy(update={"window": 5})
    with pytest.raises(ConfigError, match="window: expected 9"):
        replace(onnx, sampling=SAMPLING.model_copy(update={"guidance": guidance})).restore(phantom)


def test_a_stage_or_a_number_format_that_was_not_exported_is_refused(bundle):
    alone = replace(bundle, manifest=bundle.manifest.model_copy(update={"fine": None}))
    with pytest.raises(WeightsError, match="expected a bundle with both stages"):
        Enhancer.from_bundle(alone, "fine")
    graphs = {"fp32": bundle.manifest.graphs["fp32"]}
    alone = replace(bundle, manifest=bundle.manifest.model_copy(update={"graphs": graphs}))
    with pytest.raises(WeightsError, match="expected graphs in fp16; got fp32"):
        Enhancer.from_bundle(alone, "coarse", "onnx", "cpu", precision="fp16")


def test_batches_of_any_size_and_slices_of_every_plane_go_through_one_graph(onnx, exact):
    channels = input_channels(onnx.coarse.config.context_slices)
    for shape in ((1, 40, 56), (2, 40, 40), (5, 56, 40)):
        count, *plane = shape
        slab = torch.rand(count, channels, *plane, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            torch.testing.assert_close(onnx.coarse.network(slab), exact.coarse.network(slab), atol=1e-5, rtol=1e-4)


def test_a_graph_that_was_replaced_meanwhile_is_not_run(tmp_path):
    opened = open_bundle(shutil.copytree(smoke_bundle(), tmp_path / "bundle"))
    other = tmp_path / "bundle" / "onnx" / "fp16" / "encoder.onnx"
    shutil.copy(other, tmp_path / "bundle" / "onnx" / "fp32" / "encoder.onnx")
    with pytest.raises(WeightsError, match=r"encoder\.onnx: expected"):
        Sessions(opened).run("encoder", {"volume": torch.zeros(1, 1, 40, 56, 40)})


@pytest.mark.skipif(bool(gpu_names()), reason="has a GPU")
def test_a_provider_that_does_not_start_is_an_error_and_no_silent_fallback(bundle):
    # Past the question whether it works here: as where its libraries do not fit.
    with pytest.raises((BMENetError, WeightsError), match=r"ONNX Runtime could not start cuda|cannot load it"):
        Sessions(bundle, providers=("cuda", "cpu")).run("encoder", {"volume": torch.zeros(1, 1, 40, 56, 40)})


def test_a_graph_that_is_not_there_or_fails_says_so_in_a_line(bundle):
    with pytest.raises(WeightsError, match="expected a graph 'nothing'"):
        Sessions(bundle).run("nothing", {})
    with pytest.raises(BMENetError, match="encoder: ONNX Runtime failed"):
        Sessions(bundle).run("encoder", {"volume": torch.zeros(1, 1, 8, 8, 8)})


def test_an_enhancer_tells_what_its_networks_run_on(bundle, monkeypatch):
    assert Enhancer.from_bundle(bundle, "coarse", "onnx", "cpu").place == "cpu"
    monkeypatch.setattr("bmenet.restoration.onnx_runtime.choose_providers", lambda _: ["tensorrt", "cuda", "cpu"])
    assert Enhancer.from_bundle(bundle, "coarse", "onnx").place == "tensorrt"
    assert Enhancer.from_bundle(bundle, "coarse", "torch", "cpu").place == "cpu"


def test_networks_with_group_norms_agree_as_well(tmp_path):
    # As the profile `paper` has them; a large mean is what ONNX Runtime's own kernels lose digits on.
    config = smoke_config().autoencoder.model_copy(update={"norm": "group"})
    torch.manual_seed(0)
    autoencoder = LatentAutoencoder(config).eval().requires_grad_(False)
    use_axis_norms(autoencoder)
    volume = 5 + torch.rand(1, 1, 40, 56, 40, generator=torch.Generator().manual_seed(0))
    expected = autoencoder.encode(volume)
    autoencoder.forward = autoencoder.encode
    write_graph(GraphPlan(autoencoder, {"volume": volume}, ["latent"]), tmp_path / "encoder.onnx", 20)
    session = onnxruntime.InferenceSession(tmp_path / "encoder.onnx", providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {"volume": volume.numpy()})
    np.testing.assert_allclose(got, expected, atol=1e-4 * float(expected.abs().max()))


def test_graphs_that_have_no_float16_are_taken_in_float32(bundle):
    latent = torch.zeros([int(n) for n in bundle.manifest.graphs["fp32"]["guidance"].inputs[0].shape])
    volume = torch.rand(1, 1, *bundle.manifest.grid_shape)
    feed = {"latent": latent, "base": volume, "gain": torch.tensor(1.0), "reference": volume}
    half, full = (Sessions(bundle, precision).run("guidance", feed)[0] for precision in ("fp16", "fp32"))
    assert torch.equal(half, full)
