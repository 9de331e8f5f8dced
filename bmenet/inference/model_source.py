"""Which weights a model's name stands for: a folder, or an entry of the model registry."""

from pathlib import Path

from bmenet.errors import WeightsError
from bmenet.models.weights import SPEC_FILE

REGISTRY_PREFIX = "models:/"
_PLACES = ("", "coarse", "artifacts/*", "artifacts/*/coarse")


def find_weights(model: str) -> Path:
    """Return the folder of a Coarse-net's weights.

    Parameters
    ----------
    model : str
        A weights folder, a bundle that holds one, or ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION``, which is
        fetched from the MLflow registry.

    Raises
    ------
    WeightsError
        If there is no such model or it holds no weights.
    """
    if model.startswith(REGISTRY_PREFIX):
        from bmenet.tracking.registry import fetch_model

        folder = fetch_model(model)
    else:
        folder = Path(model)
    for place in _PLACES:
        found = sorted(folder.glob(f"{place}/{SPEC_FILE}" if place else SPEC_FILE))
        if found:
            return found[0].parent
    raise WeightsError(
        f"{model}: expected a folder with {SPEC_FILE} and its weights; got none; train first (`dvc repro train_coarse`), "
        f"or name another one (--model, BMENET_MODEL)"
    )
