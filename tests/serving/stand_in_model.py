"""The model file that is served, on networks that need no weights: what is left to test is MLflow and the guard."""

import runpy
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import bmenet
from tests.serving.stand_in import EnhancerStandIn

MODEL = Path(bmenet.__path__[0]).with_name("mlflow") / "enhance_model.py"

_bundle = SimpleNamespace(has_fine=True, digest="f" * 64)
_enhancer = SimpleNamespace(from_bundle=lambda bundle, stage, runtime, device: EnhancerStandIn())
# The file takes both names in when it is run; nobody else sees them.
with patch("bmenet.bundle.open_bundle", lambda folder: _bundle), patch("bmenet.inference.Enhancer", _enhancer):
    runpy.run_path(str(MODEL))
