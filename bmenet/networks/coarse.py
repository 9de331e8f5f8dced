"""Slice networks for the first stage, built and loaded. `COARSE_ARCHS` lists those that `coarse.arch` can name."""

from pathlib import Path

from torch import nn

from bmenet.config import CoarseConfig
from bmenet.networks.field import FIELD
from bmenet.networks.swinir import SwinIR
from bmenet.networks.unet import ResidualUnet
from bmenet.networks.weights import SPEC_FILE, Spec, config_of, load_weights, weights_digest
from bmenet.runtime.cache import join_key

COARSE = "coarse"
"""The Coarse-net on disk: its spec has ``config`` (the section `coarse`), ``spacing_mm`` and ``lineage``."""

COARSE_ARCHS: dict[str, type[nn.Module]] = {"unet": ResidualUnet, "swinir": SwinIR}
"""Name to network; it gets the configuration section of the same name."""


def build_coarse(config: CoarseConfig) -> nn.Module:
    """Return an untrained Coarse-net: slabs (B, context_slices + 3, H, W) to restored slices (B, 1, H, W)."""
    return COARSE_ARCHS[config.arch](config.context_slices, getattr(config, config.arch))


def load_coarse(folder: Path | str) -> tuple[nn.Module, Spec]:
    """Load a Coarse-net: see `load_weights`."""
    return load_weights(folder, COARSE, _build)


def field_folder(folder: Path | str) -> Path | None:
    """Return the folder of the field network beside a Coarse-net's folder; None where the first stage has none."""
    found = Path(folder).with_name(FIELD)
    return found if (found / SPEC_FILE).exists() else None


def first_stage_folders(folder: Path | str) -> list[Path]:
    """Return the folders of the first stage's networks: the field network's, where it has one, the Coarse-net's."""
    field = field_folder(folder)
    return [*([] if field is None else [field]), Path(folder)]


def first_stage_digest(folder: Path | str) -> str:
    """Return one digest of the networks of the first stage, whose Coarse-net is in a folder: see `weights_digest`."""
    digests = [weights_digest(network) for network in first_stage_folders(folder)]
    return digests[0] if len(digests) == 1 else join_key(digests)


def _build(spec: Spec) -> nn.Module:
    """Build the network that a weights folder's ``model.json`` describes."""
    if (spacing_mm := spec["spacing_mm"]) not in (1, 2, 4) or type(spacing_mm) is not int:
        raise ValueError(f"spacing_mm: expected 1, 2 or 4; got {spacing_mm!r}")
    return build_coarse(config_of(spec, CoarseConfig))
