"""Volumes to latents and back, and the edge map G(x) that the second autoencoder sees."""

import torch
from torch import Tensor

from bmenet.losses.edge import gradient_magnitude
from bmenet.networks.autocast import autocast
from bmenet.networks.autoencoder import LatentAutoencoder

EDGE_GAIN = 4.0
"""Brings edge maps to about the range of intensities: the gradient at the border of a brain is near 0.25 a voxel."""


def edge_map(volume: Tensor) -> Tensor:
    """Return ``4 G(x)``, the magnitude of the 3D gradient, of volumes of shape (B, 1, X, Y, Z)."""
    return EDGE_GAIN * gradient_magnitude(volume, 3)


@torch.no_grad()
def encode_volume(
    autoencoder: LatentAutoencoder, volume: Tensor, autocast_dtype: torch.dtype = torch.float32
) -> Tensor:
    """Return E(x), float32, shape (B, C, X/d, Y/d, Z/d)."""
    with autocast(volume.device, autocast_dtype):
        return autoencoder.encode(volume.contiguous(memory_format=torch.channels_last_3d)).float()


@torch.no_grad()
def decode_volume(
    autoencoder: LatentAutoencoder, latent: Tensor, autocast_dtype: torch.dtype = torch.float32
) -> Tensor:
    """Return D(z), float32, shape (B, 1, X, Y, Z)."""
    return decode_with_gradient(autoencoder, latent, autocast_dtype)


def decode_with_gradient(autoencoder: LatentAutoencoder, latent: Tensor, autocast_dtype: torch.dtype) -> Tensor:
    """Return D(z) so that a gradient can flow back to z."""
    with autocast(latent.device, autocast_dtype):
        return autoencoder.decode(latent.contiguous(memory_format=torch.channels_last_3d)).float()


_PROBE_STD = 0.1
"""Of the noise that probes a channel, in standard deviations of the latent."""


@torch.no_grad()
def channel_sensitivity(autoencoder: LatentAutoencoder, latent: Tensor, seed: int = 0) -> list[float]:
    """Return how much each channel changes the image: the mean square change of D(z) for one of z, largest 1.

    Parameters
    ----------
    autoencoder : LatentAutoencoder
    latent : Tensor, shape (C, X, Y, Z)
        E(x): the middle half of it, along each axis, is probed with noise, a channel at a time.
    seed : int
        Of the noise.
    """
    middle = tuple(slice(extent // 4, extent - extent // 4) for extent in latent.shape[1:])
    z = latent[(slice(None), *middle)][None]
    image = decode_volume(autoencoder, z)
    noise = _PROBE_STD * torch.randn(z[0, 0].shape, generator=torch.Generator().manual_seed(seed))
    changes = []
    for channel in range(z.shape[1]):
        probed = z.clone()
        probed[0, channel] += noise
        changes.append(float((decode_volume(autoencoder, probed) - image).square().mean()))
    return [change / max(changes) for change in changes]
