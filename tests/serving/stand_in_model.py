"""The model file that is served, on networks that need no weights: what is left to test is MLflow and the guard."""

import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import bmenet
from tests.serving.stand_in import EnhancerStandIn

MODEL = Path(bmenet.__path__[0]).with_name("mlflow") / "enhance_model.py"

_bundle = SimpleNamespace(has_fine=True, digest="f" * 64)


def _from_bundle(bundle: Any, stage: str, **options: Any) -> EnhancerStandIn:
    return EnhancerStandIn(place=(options.get("providers") or ["cpu"])[0], options=options)


_enhancer = SimpleNamespace(from_bundle=_from_bundle)
# The file takes both names in when it is run; nobody else sees them.
with (
    patch("bmenet.restoration.bundle.open_bundle", lambda folder: _bundle),
    patch("bmenet.restoration.Enhancer", _enhancer),
):
    runpy.run_path(str(MODEL))
