"""Does rounding weights to float16 change what they restore? Measured on a head, from end to end, in float32."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import torch

from bmenet.evaluation.metrics.fidelity import psnr
from bmenet.imaging.grid import standard_grid
from bmenet.imaging.template import load_template
from bmenet.imaging.volume import Volume
from bmenet.restoration.bundle import Bundle
from bmenet.restoration.enhancer import Enhancer
from bmenet.restoration.torch_networks import TorchNetworks
from bmenet.runtime.seeding import generator

_NOISE = 0.04
_FIELD = 0.5

MIN_PSNR_DB = 60.0
"""A thousandth of the brightest voxel: thirty times less than the results differ from the truth."""


def measure_rounding(trained: Path, bundle: Bundle, tell: Callable[[str], None] = lambda _: None) -> dict[str, float]:
    """Return stage to the PSNR in dB, at most 100, of the stored weights' result about that of the trained weights.

    Parameters
    ----------
    trained : Path
        The folder of the networks' folders as they were trained.
    bundle : Bundle
        With the same networks as they are stored.
    tell : callable, optional
        Told which weights restore it now.
    """
    head = _degraded_head(bundle)
    tell("with trained weights")
    exact = _restore(trained, bundle, head)
    tell("with stored weights")
    stored = _restore(bundle.weights, bundle, head)
    peaks = {stage: exact[stage].max() for stage in exact}
    return {stage: psnr(stored[stage] / peaks[stage], exact[stage] / peaks[stage]) for stage in exact}


def _degraded_head(bundle: Bundle) -> Volume:
    """Return the template under a coil field, with noise everywhere: something to restore, which shows the weights.

    Of a head with a clean background and no field a trained network may leave all as it is.
    """
    head = load_template(standard_grid(bundle.manifest.spacing_mm))
    field = np.exp(_FIELD * np.linspace(-1, 1, head.data.shape[0]))[:, None, None]
    noise = generator(0, "rounding").normal(scale=_NOISE, size=head.data.shape)
    return head.with_data(np.abs(head.data * field + noise).astype(np.float32))


def _restore(weights: Path, bundle: Bundle, head: Volume) -> dict[str, np.ndarray]:
    """Return stage to the restored head, in float32; the second stage draws one sample, always of the same noise."""
    enhancer = Enhancer.from_folder(weights / "coarse")
    enhancer = replace(enhancer, config=enhancer.config.model_copy(update={"precision": "fp32"}))
    coarse = enhancer.restore(head).data
    if bundle.manifest.fine is None:
        return {"coarse": coarse}
    sampling = bundle.manifest.fine.sampling.model_copy(update={"samples": 1})
    fine = enhancer.with_fine(weights).fine
    assert fine is not None
    fine = replace(fine, networks=replace(cast(TorchNetworks, fine.networks), dtype=torch.float32))
    return {"coarse": coarse, "fine": fine.restore(coarse, sampling, 0).data}
