"""BrainLDM's published weights, taken into this project's networks and format.

The two state dicts were saved by an older library whose keys differ in two places: the output projection of
cross-attention, and the convolution after an upsampling. Pickle is read with torch's unpickler for tensors alone, which
runs no code, and never kept.
"""

import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bmenet.config import Config
from bmenet.networks.autoencoder import LatentAutoencoder
from bmenet.networks.covariate_encoder import COVARIATES
from bmenet.networks.denoiser import Denoiser
from bmenet.networks.fine_weights import AUTOENCODER, DENOISER
from bmenet.networks.weights import save_weights
from bmenet.runtime.errors import WeightsError
from bmenet.runtime.files import sha256

AUTOENCODER_FILE = "autoencoder.pth"
DENOISER_FILE = "diffusion_model.pth"
_SHOWN = 5
"""Number of keys in an error."""


def import_brainldm(source: Path, weights: Path, config: Config, scale_factor: float = 1.0) -> dict[str, int]:
    """Convert ``autoencoder.pth`` and ``diffusion_model.pth`` to the weights folders ``autoencoder`` and ``denoiser``.

    Both are checked, key by key and shape by shape, before anything is written. `config` has the sizes of the published
    weights: those of the profile `paper`. `scale_factor` is the factor of the latents in the training of the denoiser,
    above 0. Returns the number of tensors of each folder, by its name.

    Raises
    ------
    WeightsError
        If a file is missing, is no state dict of tensors, or a key or shape does not fit.

    References
    ----------
    Pinaya et al. (2022). Brain imaging generation with latent diffusion models. doi:10.1007/978-3-031-18576-2_12
    """
    if not scale_factor > 0:
        raise WeightsError(f"`scale_factor`: expected a number above 0; got {scale_factor:g}")
    channels = config.autoencoder.latent_channels
    parts: dict[str, tuple[str, LatentAutoencoder | Denoiser, dict[str, Any]]] = {
        AUTOENCODER: (
            AUTOENCODER_FILE,
            LatentAutoencoder(config.autoencoder),
            {
                "config": config.autoencoder.model_dump(mode="json"),
                "shift": [0.0] * channels,
                "scale": [scale_factor] * channels,
            },
        ),
        DENOISER: (
            DENOISER_FILE,
            Denoiser(config.denoiser, channels),
            {
                "config": config.denoiser.model_dump(mode="json"),
                "diffusion": config.diffusion.model_dump(mode="json"),
                "latent_channels": channels,
                "informed": [True] * len(COVARIATES),
            },
        ),
    }
    counts = {}
    for kind, (file, module, spec) in parts.items():
        state = _load_state(source / file)
        module.network.load_state_dict(_fitted(state, module.network.state_dict(), source / file))
        lineage = {"source": f"BrainLDM, {file}", "sha256": sha256(source / file)}
        spec |= {"spacing_mm": 1, "lineage": lineage}
        counts[kind] = len(state)
    for kind, (_, module, spec) in parts.items():
        save_weights(weights / kind, kind, module, spec)
    return counts


def old_key(key: str) -> str:
    """Return the older library's name of a key.

    Examples
    --------
    >>> old_key("decoder.blocks.5.postconv.conv.weight")
    'decoder.blocks.5.conv.conv.weight'
    >>> old_key("middle_block.attention.transformer_blocks.0.attn1.out_proj.bias")
    'middle_block.attention.transformer_blocks.0.attn1.to_out.0.bias'
    """
    if "transformer_blocks" in key:
        key = key.replace(".out_proj.", ".to_out.0.")
    return key.replace("postconv", "conv")


def _load_state(path: Path) -> dict[str, Tensor]:
    """Read a state dict without running code of the file."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise WeightsError(
            f"{path}: no such file; expected BrainLDM's {AUTOENCODER_FILE} and {DENOISER_FILE}"
        ) from None
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(f"{path}: expected a file of tensors; it cannot be read as one ({reason})") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{path}: expected a state dict, key to tensor; got {type(state).__name__}")
    return state


def _fitted(state: dict[str, Tensor], own: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Return the state under this project's keys, or raise an error with all that does not fit."""
    names = {key: key if key in state else old_key(key) for key in own}
    missing = [name for name in names.values() if name not in state]
    unknown = sorted(set(state) - set(names.values()))
    misshapen = [
        f"{name}: expected {tuple(own[key].shape)}, got {tuple(state[name].shape)}"
        for key, name in names.items()
        if name in state and state[name].shape != own[key].shape
    ]
    problems = [
        f"{len(items)} {what} ({'; '.join(items[:_SHOWN])}{'; ...' if len(items) > _SHOWN else ''})"
        for what, items in (("missing", missing), ("not known", unknown), ("of another shape", misshapen))
        if items
    ]
    if problems:
        raise WeightsError(f"{path}: expected {len(own)} tensors of BrainLDM's sizes; {', '.join(problems)}")
    return {key: state[name] for key, name in names.items()}
