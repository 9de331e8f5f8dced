"""Training state on disk: whole or not at all, checked before use, two generations, never pickle."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from bmenet.runtime.files import atomic_path, read_json, sha256, write_json
from bmenet.runtime.progress import console

FORMAT_VERSION = 1
GENERATIONS = 2


@dataclass(frozen=True)
class Checkpoint:
    """A moment of a training: its tensors, and the scalars that belong to them."""

    tensors: dict[str, Tensor]
    scalars: dict[str, Any]


@dataclass(frozen=True)
class CheckpointFolder:
    """The checkpoints of one training.

    The signature is a fingerprint of everything that decides the result: under another one, none is resumed.
    """

    folder: Path
    signature: str

    def save(self, step: int, checkpoint: Checkpoint) -> None:
        """Write a checkpoint; its JSON comes last and seals it. Older ones than the last two are removed."""
        path = self.folder / f"step-{step:08d}.safetensors"
        with atomic_path(path) as temporary:
            save_file(checkpoint.tensors, temporary, {"scalars": json.dumps(checkpoint.scalars, allow_nan=False)})
            seal = {"format_version": FORMAT_VERSION, "signature": self.signature, "sha256": sha256(temporary)}
        write_json(path.with_suffix(".json"), seal)
        for old in self._sealed()[GENERATIONS:]:
            self._remove(old)

    def load(self, may_clear: bool = True) -> Checkpoint | None:
        """Return the newest good checkpoint of this training, or None; say why when one is passed over.

        Those of another training are cleared, but by one process of several only (`may_clear`).
        """
        for path in self._sealed():
            try:
                seal = read_json(path)
                weights = path.with_suffix(".safetensors")
                if (seal["format_version"], seal["signature"]) != (FORMAT_VERSION, self.signature):
                    console.print(f"{path}: made under another configuration or split; training starts afresh")
                    if may_clear:
                        self.clear()
                    return None
                if sha256(weights) == seal["sha256"]:
                    with safe_open(weights, "pt") as file:
                        return Checkpoint(load_file(weights), json.loads(file.metadata()["scalars"]))
                reason = "its SHA-256 differs"
            except (OSError, KeyError, TypeError, ValueError) as error:
                reason = f"{type(error).__name__}: {error}"
            console.print(f"[yellow]{path}: damaged ({reason}); trying the checkpoint before it[/yellow]")
        return None

    def clear(self) -> None:
        """Remove every checkpoint, and what a killed writer left behind."""
        for path in self._sealed():
            self._remove(path)
        for path in self.folder.glob("*step-*"):
            path.unlink(missing_ok=True)

    def _sealed(self) -> list[Path]:
        """Return the JSON files, newest first."""
        found = [path for path in self.folder.glob("step-*.json") if re.fullmatch(r"step-\d+", path.stem)]
        return sorted(found, reverse=True)

    @staticmethod
    def _remove(path: Path) -> None:
        """Remove a checkpoint, its seal first."""
        path.unlink(missing_ok=True)
        path.with_suffix(".safetensors").unlink(missing_ok=True)
