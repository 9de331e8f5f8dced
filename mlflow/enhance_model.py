"""The served model (MLflow's models from code): `bmenet.serving` behind ``mlflow models serve``.

MLflow's scoring server reads the request and calls `predict`, which has the checks, the time limit and the queue of
`bmenet.serving`. The server itself takes bodies of any size from anybody, so this model loads in one that listens on
loopback alone; `bmenet serve` answers beyond.
"""

import sys
from pathlib import Path

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR, INVALID_PARAMETER_VALUE, TEMPORARILY_UNAVAILABLE
from mlflow.pyfunc import PythonModel

from bmenet.restoration.bundle import open_bundle
from bmenet.runtime.errors import ConfigError
from bmenet.serving import Refusal, Service, Settings
from bmenet.serving.settings import is_loopback

_CODES = {500: INTERNAL_ERROR, 503: TEMPORARILY_UNAVAILABLE, 504: TEMPORARILY_UNAVAILABLE}


class EnhanceModel(PythonModel):
    """A column `nifti` of base64 in, the same column with the enhanced volumes out; `stage`, `steps`, `seed` optional.

    Without type hints: MLflow would narrow the input to what they say.
    """

    def load_context(self, context):
        """Open the bundle; see `Settings` for the variables that say what runs it, where and how."""
        _refuse_beyond_loopback(sys.argv)
        self._service = Service.of_bundle(open_bundle(context.artifacts["bundle"]), Settings.from_environment())

    def predict(self, context, model_input, params=None):
        """Enhance the volumes of a DataFrame, within the server's time limit (``mlflow models serve -t``)."""
        try:
            return pd.DataFrame(self._service.answer(model_input.to_dict("records")))
        except Refusal as refusal:
            raise MlflowException(str(refusal), _CODES.get(refusal.status, INVALID_PARAMETER_VALUE)) from None


def _refuse_beyond_loopback(command):
    """Do not load in a server that others can reach: MLflow's asks nobody for a token."""
    if Path(command[0]).name == "uvicorn" and "--host" in command[:-1]:
        host = command[command.index("--host") + 1]
        if not is_loopback(host):
            raise ConfigError(
                f"mlflow models serve: expected --host 127.0.0.1, for MLflow's server asks for no token; got {host};"
                " serve beyond this machine with `bmenet serve --host` and BMENET_TOKEN"
            )


set_model(EnhanceModel())
