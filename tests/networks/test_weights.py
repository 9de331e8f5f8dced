import hashlib
import json
import pickle
from pathlib import Path

import pytest
import torch

from bmenet.config.profiles import load_profile
from bmenet.networks.coarse import build_coarse, load_coarse
from bmenet.networks.weights import load_weights, save_weights, weights_digest
from bmenet.runtime.errors import WeightsError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    config = load_profile("smoke").coarse
    network = build_coarse(config)
    torch.nn.init.normal_(network.tail.weight)
    spec = {"config": config.model_dump(mode="json"), "spacing_mm": 4, "lineage": {"seed": 1}}
    save_weights(tmp_path / "coarse", "coarse", network, spec)
    return tmp_path / "coarse"


def edit_spec(folder: Path, **changes: object) -> None:
    spec = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(spec | changes))


def test_weights_come_back_as_saved(folder: Path) -> None:
    network, spec = load_coarse(folder)
    assert not network.training
    assert (spec["kind"], spec["spacing_mm"], spec["lineage"]) == ("coarse", 4, {"seed": 1})
    save_weights(folder.parent / "again", "coarse", network, {"config": spec["config"], "spacing_mm": 4, "lineage": {}})
    again, _ = load_coarse(folder.parent / "again")
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])


def test_weights_under_the_name_of_version_0_1_are_read(tmp_path: Path) -> None:
    save_weights(tmp_path / "prior", "prior", torch.nn.Linear(1, 1), {})
    _, spec = load_weights(tmp_path / "denoiser", "denoiser", lambda spec: torch.nn.Linear(1, 1))
    assert spec["kind"] == "prior"
    assert weights_digest(tmp_path / "denoiser") == weights_digest(tmp_path / "prior")
    with pytest.raises(WeightsError, match="dvc repro train_fine"):
        load_weights(tmp_path / "fine", "fine", lambda spec: torch.nn.Linear(1, 1))


def test_weights_with_a_flipped_byte_are_refused(folder: Path) -> None:
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="expected SHA-256"):
        load_coarse(folder)


@pytest.mark.parametrize("kept", [0.9, 0.01, 0.0])
def test_cut_weights_with_the_right_checksum_are_refused(folder: Path, kept: float) -> None:
    path = folder / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    edit_spec(folder, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    with pytest.raises(WeightsError, match="the weights do not fit"):
        load_coarse(folder)


def test_pickle_named_safetensors_is_never_unpickled(folder: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple:
            return (Path.touch, (folder / "trapped",))

    path = folder / "model.safetensors"
    path.write_bytes(pickle.dumps(Trap()))
    edit_spec(folder, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    with pytest.raises(WeightsError, match="do not fit"):
        load_coarse(folder)
    assert not (folder / "trapped").exists()


@pytest.mark.parametrize("name", ["model.safetensors", "model.json"])
def test_file_that_is_missing_or_a_folder_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(WeightsError, match=name):
        load_coarse(folder)
    (folder / name).mkdir()
    with pytest.raises(WeightsError, match=rf"{name}: cannot be read"):
        load_coarse(folder)


WIDER = load_profile("smoke").coarse.model_dump(mode="json")
WIDER["unet"]["channels"] *= 2


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"format_version": 99}, "expected kind 'coarse', format_version 1"),
        ({"format_version": 0}, "expected kind 'coarse', format_version 1"),
        ({"kind": "fine"}, "expected kind 'coarse', format_version 1"),
        ({"config": WIDER}, "do not fit"),
        *(({"spacing_mm": spacing_mm}, "spacing_mm: expected 1, 2 or 4") for spacing_mm in (3, 2.0, True, "1", None)),
    ],
)
def test_description_of_something_else_is_refused(folder: Path, changes: dict, reason: str) -> None:
    edit_spec(folder, **changes)
    with pytest.raises(WeightsError, match=reason) as error:
        load_coarse(folder)
    assert "\n" not in str(error.value)


def test_broken_json_and_a_missing_key_are_named(folder: Path) -> None:
    path = folder / "model.json"
    spec = json.loads(path.read_text())
    for key in ("spacing_mm", "config"):
        path.write_text(json.dumps({name: value for name, value in spec.items() if name != key}))
        with pytest.raises(WeightsError, match=f"'{key}' is missing"):
            load_coarse(folder)
    path.write_text("{")
    with pytest.raises(WeightsError, match="not valid JSON"):
        load_coarse(folder)
