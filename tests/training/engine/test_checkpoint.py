from pathlib import Path

import pytest
import torch

from bmenet.training.engine.checkpoint import Checkpoint, CheckpointFolder


def checkpoint(value: float) -> Checkpoint:
    return Checkpoint({"network.weight": torch.full((3,), value)}, {"step": value, "note": [0.1, None]})


@pytest.fixture
def checkpoints(tmp_path: Path) -> CheckpointFolder:
    folder = CheckpointFolder(tmp_path / "checkpoints", "signature")
    for step in (1, 2, 3):
        folder.save(step, checkpoint(step))
    return folder


def loaded_step(checkpoints: CheckpointFolder) -> float | None:
    found = checkpoints.load()
    return None if found is None else found.scalars["step"]


def test_newest_checkpoint_comes_back_as_saved_and_two_generations_are_kept(checkpoints: CheckpointFolder) -> None:
    found = checkpoints.load()
    assert found is not None
    assert found.scalars == {"step": 3, "note": [0.1, None]}
    assert torch.equal(found.tensors["network.weight"], torch.full((3,), 3.0))
    names = {path.name for path in checkpoints.folder.iterdir()}
    assert names == {f"step-0000000{step}.{kind}" for step in (2, 3) for kind in ("json", "safetensors")}


def test_what_another_training_in_the_folder_has_removed_by_then_is_no_reason_to_stop(
    checkpoints: CheckpointFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = [*checkpoints._sealed(), checkpoints.folder / "step-00000001.json"]
    assert not seen[-1].exists()
    monkeypatch.setattr(CheckpointFolder, "_sealed", lambda self: seen)
    checkpoints.save(4, checkpoint(4))
    checkpoints.clear()


@pytest.mark.parametrize("kind", ["json", "safetensors"])
@pytest.mark.parametrize("damage", ["cut", "flipped", "missing", "empty"])
def test_damaged_checkpoint_falls_back_to_the_one_before(
    checkpoints: CheckpointFolder, kind: str, damage: str, capsys: pytest.CaptureFixture
) -> None:
    path = checkpoints.folder / f"step-00000003.{kind}"
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        flipped = content[:-3] + bytes([content[-3] ^ 0xFF]) + content[-2:]
        path.write_bytes({"cut": content[:-5], "flipped": flipped, "empty": b""}[damage])
    assert loaded_step(checkpoints) == 2
    if (kind, damage) != ("json", "missing"):
        assert "damaged" in capsys.readouterr().err


def test_unsealed_weights_are_not_a_checkpoint(checkpoints: CheckpointFolder) -> None:
    (checkpoints.folder / "step-00000004.safetensors").write_bytes(b"half")
    (checkpoints.folder / ".partial-1-step-00000004.json").write_text("{")
    assert loaded_step(checkpoints) == 3


def test_checkpoint_of_another_training_is_not_resumed_and_cleared_by_one_process(
    checkpoints: CheckpointFolder, capsys: pytest.CaptureFixture
) -> None:
    before = sorted(checkpoints.folder.iterdir())
    other = CheckpointFolder(checkpoints.folder, "other")
    assert other.load(may_clear=False) is None
    assert sorted(checkpoints.folder.iterdir()) == before
    assert loaded_step(other) is None
    assert "starts afresh" in " ".join(capsys.readouterr().err.split())
    assert not list(checkpoints.folder.iterdir())


def test_clear_removes_what_a_killed_writer_left(checkpoints: CheckpointFolder) -> None:
    (checkpoints.folder / ".partial-1-step-00000004.safetensors").write_bytes(b"half")
    checkpoints.clear()
    assert not list(checkpoints.folder.iterdir())
