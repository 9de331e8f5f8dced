"""A bundle is opened only if every file is what its description says: nothing else is read, nothing runs."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest

from bmenet.restoration.bundle import find_bundle, open_bundle
from bmenet.runtime.errors import WeightsError
from bmenet.runtime.files import read_json, sha256, write_json

GRAPH = "onnx/fp32/coarse.onnx"


def _change(folder: Path, change) -> None:
    """Rewrite the description."""
    path = folder / "bundle.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def _name(folder: Path, name: str, source: Path) -> None:
    """Let the description name a file with the size and checksum that it really has."""
    content = source.read_bytes()
    entry = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    _change(folder, lambda manifest: manifest["files"].update({name: entry}))


def test_a_whole_bundle_tells_what_it_holds_and_its_digest_changes_with_any_file(folder):
    opened = open_bundle(folder)
    assert (opened.has_fine, opened.manifest.spacing_mm, opened.manifest.grid_shape) == (True, 4, (40, 56, 40))
    assert set(opened.manifest.graphs["fp32"]) > {"encoder", "denoiser", "guidance"}
    assert opened.total_bytes == sum(
        p.stat().st_size for p in folder.rglob("*") if p.is_file() and p.name != "bundle.json"
    )
    graph = folder / GRAPH
    graph.write_bytes(graph.read_bytes() + b"\0")
    _name(folder, GRAPH, graph)
    assert open_bundle(folder).digest != opened.digest


@pytest.mark.parametrize("name", [GRAPH, "weights/coarse/model.safetensors", "weights/fine/model.json"])
def test_a_changed_truncated_or_missing_file_is_refused(folder, name):
    path = folder / name
    whole = path.read_bytes()
    middle = len(whole) // 2
    for content, reason in (
        (whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :], "expected SHA-256"),
        (whole[:-10], r"expected \d+ bytes; got \d+ bytes"),
    ):
        path.write_bytes(content)
        with pytest.raises(WeightsError, match=reason):
            open_bundle(folder)
    path.unlink()
    with pytest.raises(WeightsError, match=f"got '{name}', which is no file"):
        open_bundle(folder)


@pytest.mark.parametrize(
    "name", ["../outside.bin", "onnx/../../outside.bin", "{folder}/outside.bin", "./onnx/x", "a\\b", "onnx//x", ""]
)
def test_a_path_out_of_the_bundle_is_refused_before_it_is_opened(folder, tmp_path, name):
    outside = tmp_path / "outside.bin"
    outside.write_bytes(b"not yours")
    _name(folder, name.format(folder=tmp_path), outside)
    with pytest.raises(WeightsError, match="expected names of files inside the bundle"):
        open_bundle(folder)


@pytest.mark.parametrize("name", [GRAPH, "onnx", "bundle.json"])
def test_a_link_is_refused_even_to_the_right_content_and_a_pipe(folder, tmp_path, name):
    shutil.move(folder / name, tmp_path / "moved")
    (folder / name).symlink_to(tmp_path / "moved")
    with pytest.raises(WeightsError, match="got a link, a pipe or a device"):
        open_bundle(folder)
    (folder / name).unlink()
    os.mkfifo(folder / name)  # does not hang the reader
    with pytest.raises(WeightsError, match="got a link, a pipe or a device"):
        open_bundle(folder)


@pytest.mark.parametrize("name", ["weights/coarse/model.pt", "onnx/fp32/coarse.onnx.data", "payload.pkl"])
def test_a_file_that_nobody_named_is_refused(folder, name):
    (folder / name).write_bytes(b"\x80\x04.")
    with pytest.raises(WeightsError, match=r"expected only the files that bundle\.json names"):
        open_bundle(folder)


def test_another_format_says_which_side_is_old(folder):
    for version, advice in ((0, "export it again"), (2, "update bmenet"), (None, "export it again")):
        _change(folder, lambda manifest, version=version: manifest.update(format_version=version))
        with pytest.raises(WeightsError, match=f"expected format_version 1; got {version!r}; {advice}"):
            open_bundle(folder)


def test_what_is_no_description_is_refused_and_an_endless_one_not_read(folder):
    for content in (b"", b"{", b"[1]", b"null", b'{"format_version": 1}', b"\xff\xfe", b"[" * 100_000):
        (folder / "bundle.json").write_bytes(content)
        with pytest.raises(WeightsError, match=r"bundle\.json: "):
            open_bundle(folder)
    (folder / "bundle.json").write_bytes(b" " * (1 << 23))
    with pytest.raises(WeightsError, match="expected at most"):
        open_bundle(folder)


def test_a_read_only_bundle_is_no_hindrance(folder):
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        assert open_bundle(folder).has_fine
    finally:
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o755)


def test_a_file_that_is_replaced_after_the_check_is_not_used(folder, tmp_path):
    opened = open_bundle(folder)
    shutil.copy(folder / "onnx/fp32/encoder.onnx", tmp_path / "other.onnx")
    (folder / GRAPH).unlink()
    with pytest.raises(WeightsError, match="expected a readable file of the bundle; No such file"):
        opened.read(GRAPH)
    (folder / GRAPH).symlink_to(tmp_path / "other.onnx")
    for use in (opened.read, opened.check, opened.read_graph):
        with pytest.raises(WeightsError, match=r"coarse\.onnx: expected \d+ bytes"):
            use(GRAPH)


@pytest.mark.parametrize("place", [".", "artifacts/bundle", "artifacts/other"])
def test_find_bundle_looks_in_the_folder_and_its_artifacts(tmp_path, place):
    assert find_bundle(tmp_path) is find_bundle(tmp_path / "nothing") is None
    with pytest.raises(WeightsError, match=r"bundle\.json.*bmenet export"):
        open_bundle(tmp_path)
    folder = tmp_path / place
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bundle.json").touch()
    assert find_bundle(tmp_path) == folder


def _first_graph(manifest: dict, name: str) -> dict:
    return manifest["graphs"]["fp32"][name]


ODD = {
    "a graph without a checksum": (lambda m: m["files"].pop(GRAPH), "expected a checksum of every graph"),
    "no fp32": (lambda m: m["graphs"].pop("fp32"), "expected fp32"),
    "a graph less": (lambda m: m["graphs"]["fp32"].pop("denoiser"), "expected coarse and"),
    "a graph more": (lambda m: m["graphs"]["fp32"].update(x=_first_graph(m, "encoder")), "expected coarse and"),
    "one for another": (lambda m: m["graphs"]["fp32"].update(decoder=_first_graph(m, "encoder")), "decoder: expected"),
    "other slabs": (lambda m: m["coarse"].update(context_slices=5), "expected slabs of coarse.context_slices"),
    "other grid": (lambda m: m.update(grid_shape=[1, 1, 1]), "grid_shape: expected"),
    "another field network": (lambda m: m["field"].update(res_units=3), "expected config as in weights/field"),
    "no settings of the field network": (
        lambda m: (m.update(field=None), [graphs.pop("field") for graphs in m["graphs"].values()]),
        "expected settings of the network in weights/field",
    ),
    "no graph of the field network": (lambda m: m["graphs"]["fp32"].pop("field"), "expected coarse and"),
    "few timesteps": (lambda m: m["fine"]["diffusion"].update(timesteps=10), "max_timestep: expected below"),
    "not anchored": (lambda m: m["fine"].update(reference_variance=None), "denoiser: expected"),
    "other schedule": (
        lambda m: m["fine"]["diffusion"].update(beta_end=0.02),
        "expected diffusion as in weights/denoiser",
    ),
    "other scale": (lambda m: m["fine"].update(latent_scale=[2.0] * 3), "expected scale as in weights/autoencoder"),
    "other planes": (lambda m: m["coarse"].update(planes=["axial"]), "expected config as in weights/coarse"),
    "unknown key": (lambda m: m.update(extra=1), "extra"),
}


@pytest.mark.parametrize("name", ODD)
def test_a_description_that_contradicts_itself_or_the_weights_is_refused(folder, name):
    change, message = ODD[name]
    _change(folder, change)
    with pytest.raises(WeightsError, match=message):
        open_bundle(folder)


def test_a_bundle_from_before_a_setting_came_is_read_with_its_default(folder):
    spec_path = folder / "weights" / "coarse" / "model.json"
    spec = read_json(spec_path)
    assert spec["config"].pop("phase_encode_first") is False
    write_json(spec_path, spec)

    def before(manifest):
        manifest["coarse"].pop("phase_encode_first")
        manifest["files"]["weights/coarse/model.json"] = {
            "bytes": spec_path.stat().st_size,
            "sha256": sha256(spec_path),
        }

    _change(folder, before)
    assert open_bundle(folder).manifest.coarse.phase_encode_first is False
