"""One class behind the command line, the evaluation and the served model."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bmenet.errors import GridMismatchError
from bmenet.grid import Grid, standard_grid
from bmenet.inference.slices import restore_volume
from bmenet.models.weights import load_coarse
from bmenet.volume import Volume


@dataclass(frozen=True)
class Enhancer:
    """A trained Coarse-net, ready to restore volumes.

    Parameters
    ----------
    network : torch.nn.Module
        On `device`, in evaluation mode.
    spec : object
        What `bmenet.models.weights.load_coarse` read beside the weights: ``config`` and ``spacing_mm``.
    device : torch.device
    """

    network: torch.nn.Module
    spec: Any
    device: torch.device

    @classmethod
    def from_folder(cls, folder: Path | str, device: str = "cpu") -> "Enhancer":
        """Load a weights folder (``model.safetensors`` and ``model.json``)."""
        network, spec = load_coarse(folder)
        return cls(network.to(device).eval(), spec, torch.device(device))

    @property
    def grid(self) -> Grid:
        """The standard grid at the spacing the network was trained on."""
        return standard_grid(self.spec.spacing_mm)

    def restore(self, volume: Volume, progress: Callable[[float], None] | None = None) -> Volume:
        """Restore a volume on the standard grid, of any intensity scale; the scale is kept."""
        if not volume.grid.same_as(self.grid):
            raise GridMismatchError(
                f"expected the standard grid at {self.spec.spacing_mm} mm, shape {self.grid.shape}; got shape "
                f"{volume.grid.shape} with voxels of {volume.grid.spacing_mm} mm; register the volume first, or enhance it"
            )
        restored = restore_volume(self.network, volume.data, config=self.spec.config, progress=progress)
        return volume.with_data(restored)
