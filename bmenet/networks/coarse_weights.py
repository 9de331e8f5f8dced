"""The Coarse-net on disk: its spec has ``config`` (the section `coarse`), ``spacing_mm`` and ``lineage``."""

import json
from pathlib import Path

from torch import nn

from bmenet.config import CoarseConfig
from bmenet.networks.coarse import build_coarse
from bmenet.networks.weights import Spec, load_weights


def load_coarse(folder: Path | str) -> tuple[nn.Module, Spec]:
    """Load a Coarse-net: see `load_weights`."""
    return load_weights(folder, "coarse", _build)


def _build(spec: Spec) -> nn.Module:
    """Build the network that a weights folder's ``model.json`` describes."""
    if (spacing_mm := spec["spacing_mm"]) not in (1, 2, 4) or type(spacing_mm) is not int:
        raise ValueError(f"spacing_mm: expected 1, 2 or 4; got {spacing_mm!r}")
    return build_coarse(CoarseConfig.model_validate_json(json.dumps(spec["config"])))
