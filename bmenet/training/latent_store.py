"""Tensors that are encoded once and kept on disk with the key of what they were made from."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from bmenet.runtime.files import atomic_path


@dataclass(frozen=True)
class LatentStore:
    """A folder of encoded volumes.

    Parameters
    ----------
    folder : Path
    """

    folder: Path

    def get(self, name: str, key: list[str], make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """Return the tensors kept under `name` if they were made from what `key` says; make and keep them otherwise.

        Parameters
        ----------
        name : str
            Of the file.
        key : list of str
            Checksums of all that decides the tensors.
        make : callable
        """
        path = self.folder / f"{name}.safetensors"
        digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()
        try:
            with safe_open(path, "pt") as file:
                if (file.metadata() or {}).get("key") == digest:
                    return load_file(path)
        except (FileNotFoundError, SafetensorError):
            pass
        tensors = {entry: tensor.contiguous() for entry, tensor in make().items()}
        with atomic_path(path) as temporary:
            save_file(tensors, temporary, {"key": digest})
        return tensors
