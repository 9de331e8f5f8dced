"""How the second stage is run, from params.yaml and the command line."""

from typing import Any

from bmenet.config import PARAMS_FILE, SamplingConfig, load_config


def sampling_with(
    changes: dict[str, Any], guidance_scale: float | None, base: SamplingConfig | None = None
) -> SamplingConfig:
    """Return the section `sampling` of params.yaml, or the default where there is none, with changes.

    Parameters
    ----------
    changes : dict
        Key of the section to value; None leaves the key as it is. A `start_timestep` implies ``start: reference``.
    guidance_scale : float or None
    base : SamplingConfig, optional
        Taken instead of params.yaml: a bundle has its own.

    Raises
    ------
    ConfigError
        If params.yaml is not valid.
    """
    from bmenet.restoration.fine_net import DEFAULT_SAMPLING

    sampling = base or (load_config().sampling if PARAMS_FILE.exists() else DEFAULT_SAMPLING)
    given = {key: value for key, value in changes.items() if value is not None}
    if "start_timestep" in given:
        given["start"] = "reference"
    if guidance_scale is not None:
        given["guidance"] = sampling.guidance.model_copy(update={"scale": guidance_scale})
    return sampling.model_copy(update=given)
