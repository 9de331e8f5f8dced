"""How a bundle stores weights: as they were trained, or their kernels and matrices rounded to float16."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from bmenet.config.deploy import Storage
from bmenet.networks.coarse_weights import load_coarse
from bmenet.networks.fine_weights import KINDS, load_fine
from bmenet.networks.weights import SPEC_FILE, save_weights
from bmenet.runtime.errors import WeightsError
from bmenet.runtime.files import sha256


def trained_kinds(weights: Path) -> list[str]:
    """Return the networks that a weights folder holds: the Coarse-net, and the second stage's where it was trained."""
    return ["coarse", *(KINDS if (weights / "fine" / SPEC_FILE).exists() else ())]


@contextmanager
def stored_weights(weights: Path, storage: Storage) -> Iterator[Path]:
    """Yield a weights folder as a bundle is to store it; in float32 it is the one that was given.

    Raises
    ------
    WeightsError
        See `round_networks`.
    """
    if storage == "fp32":
        yield weights
        return
    with tempfile.TemporaryDirectory(prefix="bmenet-export-") as temporary:
        round_networks(weights, trained_kinds(weights), Path(temporary))
        yield Path(temporary)


def round_networks(weights: Path, kinds: Sequence[str], folder: Path) -> None:
    """Write networks again with kernels and matrices in float16; loaded, they compute in float32 on rounded values.

    Vectors (biases, norms, latent scales) stay float32: they take less than a hundredth of the space. ``model.json``
    keeps the checksum of the weights that were trained, and names its parents by what they are called now.

    Parameters
    ----------
    weights : Path
        The folder of the networks' folders.
    kinds : sequence of str
        Networks to write; parents come before those that were trained with them.
    folder : Path
        Gets a folder a network.

    Raises
    ------
    WeightsError
        If a network is missing or damaged, has a weight that float16 cannot hold, or was trained with another parent.
    """
    renamed: dict[str, str] = {}
    for kind in kinds:
        network, spec = load_coarse(weights / kind) if kind == "coarse" else load_fine(weights / kind, kind)
        _round(network, weights / kind)
        parents = spec.get("parents", {})
        if strange := [parent for parent, digest in parents.items() if digest not in renamed]:
            raise WeightsError(
                f"{weights / kind}: expected the {', '.join(strange)} it was trained with; got another one; train again"
                " (`dvc repro train_fine`)"
            )
        changed = {"parents": {parent: renamed[digest] for parent, digest in parents.items()}} if parents else {}
        rounded = {"storage": "fp16", "trained_sha256": spec["sha256"]}
        save_weights(folder / kind, kind, network, spec | changed | rounded)
        renamed[sha256(weights / kind / SPEC_FILE)] = sha256(folder / kind / SPEC_FILE)


@torch.no_grad()
def _round(network: nn.Module, folder: Path) -> None:
    """Round what has two or more axes, in place."""
    for name, parameter in network.named_parameters():
        if parameter.ndim < 2:
            continue
        half = parameter.half()
        if not torch.equal(half.isfinite(), parameter.isfinite()):
            raise WeightsError(
                f"{folder}: expected weights that float16 can hold, at most 65504; got {parameter.abs().max():.3g} in"
                f" {name}; set export.storage to fp32"
            )
        parameter.data = half
