"""Restore a volume slice by slice, in one to three planes; make them agree, average them, bring back fine detail."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bmenet.config import CoarseConfig
from bmenet.imaging.brain import background_mask
from bmenet.imaging.grid import FIELD_OF_VIEW_MM
from bmenet.imaging.intensity import blind_scale
from bmenet.networks.slab import PLANE_AXES, coordinate_channels
from bmenet.restoration.agreement import agree, keep_brightness
from bmenet.restoration.detail import bring_back_detail

_BATCH = 8


@torch.inference_mode()
def restore_volume(
    network: nn.Module,
    data: np.ndarray,
    *,
    config: CoarseConfig,
    autocast_dtype: torch.dtype | None = None,
    planes: Sequence[str] | None = None,
    harmonise: bool = True,
    progress: Callable[[float], None] | None = None,
) -> np.ndarray:
    """Restore a degraded volume with a Coarse-net.

    Parameters
    ----------
    network : Module
        From `build_coarse`, trained; its device is used.
    data : ndarray, shape (X, Y, Z)
        On the standard grid, of any intensity scale: it is estimated blindly and given back.
    config : CoarseConfig
        What the network was trained with.
    autocast_dtype : torch.dtype, optional
        ``torch.bfloat16`` for half precision; by default float32.
    planes : sequence of str, optional
        Planes to restore in and average, keys of `PLANE_AXES`; by default those of `config`.
    harmonise : bool
        Whether the planes are made to agree, see `agree`, the brightness is kept, and detail that went with the noise
        comes back, see `bring_back_detail`; False: the plain mean of the planes.
    progress : callable, optional
        Called after every plane with the fraction done, in (0, 1].

    Returns
    -------
    ndarray, shape (X, Y, Z), float32
        Non-negative, in the scale of `data` and as bright on the mean; exactly zero in the background of the brain.

    Raises
    ------
    VolumeError
        If `data` has no bright tissue.
    """
    chosen = list(planes or config.planes)
    spacing_mm = FIELD_OF_VIEW_MM[0] / data.shape[0]
    scale = blind_scale(data, spacing_mm)
    device = next(network.parameters()).device
    unit_data = np.asarray(data / np.float32(scale), dtype=np.float32, order="C")
    volume = torch.from_numpy(unit_data).to(device)
    restored_planes = []
    with torch.autocast(device.type, dtype=autocast_dtype, enabled=autocast_dtype not in (None, torch.float32)):
        for done, plane in enumerate(chosen):
            restored_planes.append(_restore_plane(volume, network, plane, config.context_slices).cpu().numpy())
            if progress is not None:
                progress((done + 1) / len(chosen))
    if harmonise:
        agreed = agree(restored_planes, [PLANE_AXES[plane] for plane in chosen], spacing_mm)
        restored = keep_brightness(np.maximum(agreed, 0), unit_data)
    else:
        restored = np.maximum(np.mean(restored_planes, axis=0, dtype=np.float32), 0)
    restored[background_mask(restored)] = 0
    if harmonise:
        restored = bring_back_detail(restored, unit_data, spacing_mm)
    return restored * np.float32(scale)


def _restore_plane(volume: Tensor, network: nn.Module, plane: str, context_slices: int) -> Tensor:
    """Return a volume of the restored slices of one plane."""
    normal = PLANE_AXES[plane]
    result = torch.empty_like(volume)
    slices, restored = volume.movedim(normal, 0), result.movedim(normal, 0)
    count, height, width = slices.shape
    beyond = context_slices // 2
    # (N, H, W, context): a view in which neighbours are repeated without being copied.
    slabs = functional.pad(slices, (0, 0, 0, 0, beyond, beyond)).unfold(0, context_slices, 1)
    for start in range(0, count, _BATCH):
        stop = min(start + _BATCH, count)
        position = coordinate_channels(plane, (start, 0, 0), (stop - start, height, width), tuple(volume.shape))
        slab = torch.cat([slabs[start:stop].movedim(-1, 1), position.to(volume.device)], dim=1)
        restored[start:stop] = network(slab.contiguous(memory_format=torch.channels_last))[:, 0].float()
    return result
