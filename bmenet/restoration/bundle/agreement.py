"""What a bundle's description says and what the weights in it say of themselves must be one thing."""

import json
from collections.abc import Mapping

from bmenet.networks.weights import SPEC_FILE
from bmenet.restoration.bundle.manifest import Manifest
from bmenet.runtime.errors import WeightsError


def check_agreement(manifest: Manifest, specs: Mapping[str, bytes]) -> None:
    """Check that both runtimes will run the same: torch reads the weights' own description, ONNX Runtime the bundle's.

    Parameters
    ----------
    manifest : Manifest
    specs : mapping
        Path of each network's ``model.json`` to what it holds.

    Raises
    ------
    WeightsError
    """
    own = {path.split("/")[-2]: json.loads(content) for path, content in specs.items()}
    told: dict[str, dict[str, object]] = {
        "coarse": {"config": manifest.coarse.model_dump(mode="json"), "spacing_mm": manifest.spacing_mm}
    }
    if (fine := manifest.fine) is not None:
        told |= {
            "fine": {"reference_variance": fine.reference_variance, "max_timestep": fine.max_timestep},
            "prior": {"diffusion": fine.diffusion.model_dump(mode="json")},
            "autoencoder": {"scale": fine.latent_scale, "shift": fine.latent_shift},
        }
    for kind, values in told.items():
        if kind not in own:
            raise WeightsError(f"bundle: expected weights/{kind}/{SPEC_FILE}; got none; export it again")
        for key, value in values.items():
            if own[kind].get(key) != value:
                raise WeightsError(
                    f"bundle: expected {key} as weights/{kind}/{SPEC_FILE} has it; got another one; export it again"
                )
