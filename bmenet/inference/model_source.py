"""Which weights a model's name stands for: a folder, or an entry of the model registry."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bmenet.errors import WeightsError
from bmenet.models.weights import SPEC_FILE

REGISTRY_PREFIX = "models:/"
_PLACES = ("", "coarse", "artifacts/*", "artifacts/*/coarse")


@contextmanager
def find_weights(model: str) -> Iterator[Path]:
    """Yield the folder of a Coarse-net's weights; what was fetched is gone when the block ends.

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
    if not model.startswith(REGISTRY_PREFIX):
        yield _search(Path(model), model)
        return
    from bmenet.tracking.registry import fetch_model

    with tempfile.TemporaryDirectory(prefix="bmenet-model-") as folder:
        yield _search(fetch_model(model, Path(folder)), model)


def _search(folder: Path, model: str) -> Path:
    """Return the first place in a bundle that holds weights."""
    for place in _PLACES:
        try:
            found = sorted(folder.glob(f"{place}/{SPEC_FILE}".removeprefix("/")))
        except OSError as error:
            raise WeightsError(f"{model}: cannot be read ({error.strerror})") from error
        if found:
            return found[0].parent
    raise WeightsError(
        f"{model}: expected a folder with {SPEC_FILE} and its weights; got none; train first "
        f"(`dvc repro train_coarse`), or name another one (--model, BMENET_MODEL)"
    )
