"""The first stage: a volume restored slice by slice, in one to three planes, which are then made to agree."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bmenet.config import CoarseConfig
from bmenet.imaging.brain import background_mask, holds_head
from bmenet.imaging.intensity import blind_scale
from bmenet.networks.coarse import COARSE, field_folder, first_stage_digest, load_coarse
from bmenet.networks.compute import autocast, fastest_dtype
from bmenet.networks.slab import Axes, coordinate_channels, slice_axes
from bmenet.networks.weights import config_of, require_parents
from bmenet.restoration.agreement import agree, keep_brightness
from bmenet.restoration.detail import bring_back_detail
from bmenet.restoration.field import FieldFinder
from bmenet.restoration.phase_encoding import find_phase_encoding

_BATCH = 8


@dataclass(frozen=True)
class CoarseNet:
    """The first stage: its network, whoever runs it, and what it was trained with.

    Parameters
    ----------
    network : Module
        Slabs (B, context_slices + 3, H, W) to restored slices (B, 1, H, W); in evaluation mode.
    spacing_mm : int
        Of the standard grid that it was trained on.
    dtype : torch.dtype, optional
        Number format that it computes in, and the field network too; by default float32 where ``config.precision`` is
        ``fp32``, else the fastest of its device.
    field : FieldFinder, optional
        Takes the coil's field out before slices are restored; without it they have to.
    """

    network: nn.Module
    config: CoarseConfig
    spacing_mm: int
    dtype: torch.dtype | None = None
    field: FieldFinder | None = None

    @classmethod
    def from_folder(
        cls, folder: Path | str, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
    ) -> "CoarseNet":
        """Load the network from its folder (``model.safetensors``, ``model.json``), for torch: see `load_weights`.

        A folder ``field`` beside it holds the field network; a WeightsError if it is not the one that this was trained
        with.
        """
        network, spec = load_coarse(folder)
        require_parents(folder, spec, f"train_{COARSE}")
        found = field_folder(folder)
        field = None if found is None else FieldFinder.from_folder(found, device)
        return cls(network.to(device), config_of(spec, CoarseConfig), spec["spacing_mm"], dtype, field)

    @classmethod
    def load_once(cls, folder: Path | str) -> "CoarseNet":
        """Load as `from_folder` does, onto the CPU: once a process, and once for each state of the weights."""
        return _load_once(Path(folder), first_stage_digest(folder))

    @property
    def device(self) -> torch.device:
        """Where slabs are expected, and restored slices returned."""
        return next(self.network.parameters()).device

    @torch.inference_mode()
    def restore(
        self,
        degraded: np.ndarray,
        progress: Callable[[float], None] | None = None,
        *,
        phase_encode_axis: int | None = None,
        harmonise: bool = True,
    ) -> np.ndarray:
        """Restore a degraded volume.

        Parameters
        ----------
        degraded : ndarray, shape (X, Y, Z)
            On the standard grid, of any intensity scale: it is estimated blindly and given back.
        progress : callable, optional
            Told the fraction done, in (0, 1], after every plane.
        phase_encode_axis : int, optional
            Along which motion spread, 0, 1 or 2; found in the volume where it is not known. A network that does not
            ask for it (`phase_encode_first`) sees all planes.
        harmonise : bool
            Whether the planes are made to agree, see `agree`, the brightness is kept, and detail that went with the
            noise comes back, see `bring_back_detail`; False: the plain mean of the planes.

        Returns
        -------
        ndarray, shape (X, Y, Z), float32
            Non-negative, in the scale of `degraded` and as bright on the mean; exactly zero in the background of a
            brain that stands alone.

        Raises
        ------
        VolumeError
            If `degraded` has no bright tissue.
        """
        scale = blind_scale(degraded, self.spacing_mm)
        unit_data = np.asarray(degraded / np.float32(scale), dtype=np.float32, order="C")
        if not self.config.phase_encode_first:
            phase_encode_axis = None
        elif phase_encode_axis is None:  # before the field is out: noise is as strong everywhere only in the scan
            phase_encode_axis = find_phase_encoding(unit_data, self.spacing_mm).axis
        if self.field is not None:
            unit_data = unit_data / self.field(unit_data, self.spacing_mm, self._dtype)
        volume = torch.from_numpy(unit_data).to(self.device)
        orders = slice_axes(self.config.planes, phase_encode_axis)
        planes = []
        with autocast(self.device, self._dtype):
            for axes in orders:
                planes.append(self._restore_slices(volume, axes).cpu().numpy())
                if progress is not None:
                    progress(len(planes) / len(orders))
        if harmonise:
            agreed = agree(planes, [normal for normal, *_ in orders], self.spacing_mm)
            restored = keep_brightness(np.maximum(agreed, 0), unit_data)
        else:
            restored = np.maximum(np.mean(planes, axis=0, dtype=np.float32), 0)
        empty = background_mask(restored)
        if not holds_head(restored):
            restored[empty] = 0
        if harmonise:
            restored = bring_back_detail(restored, unit_data, ~empty, self.spacing_mm)
        return restored * np.float32(scale)

    def _restore_slices(self, volume: Tensor, axes: Axes) -> Tensor:
        """Return a volume of restored slices."""
        context = self.config.context_slices
        result = torch.empty_like(volume)
        slices, restored = volume.permute(axes), result.permute(axes)
        count, height, width = slices.shape
        beyond = context // 2
        # (N, H, W, context): a view in which neighbours are repeated without being copied.
        slabs = functional.pad(slices, (0, 0, 0, 0, beyond, beyond)).unfold(0, context, 1)
        for start in range(0, count, _BATCH):
            stop = min(start + _BATCH, count)
            position = coordinate_channels(axes, (start, 0, 0), (stop - start, height, width), tuple(volume.shape))
            slab = torch.cat([slabs[start:stop].movedim(-1, 1), position.to(volume.device)], dim=1)
            restored[start:stop] = self.network(slab.contiguous(memory_format=torch.channels_last))[:, 0].float()
        return result

    @property
    def _dtype(self) -> torch.dtype:
        if self.dtype is None and self.config.precision != "fp32":
            return fastest_dtype(self.device)
        return self.dtype or torch.float32


@lru_cache(maxsize=1)
def _load_once(folder: Path, _digest: str) -> CoarseNet:
    return CoarseNet.from_folder(folder)
