"""The served model (MLflow's models from code): `bmenet.serving` behind ``mlflow models serve``.

MLflow's scoring server takes bodies of any size, asks nobody who they are, goes on with work that nobody waits for,
and repeats the payload in its errors. It has no hook for another application: ``uvicorn`` is started with
``mlflow.pyfunc.scoring_server.app:app``, and that module calls ``app = init(load_model(...))``. But `load_context` runs
inside that call, while the module is being imported. There it gives the module a class whose property `app` answers
with MLflow's application behind our guard; a property comes before what the module itself holds under that name. The
tests start the real server, so that a change in MLflow would be seen.
"""

import base64
import logging
import os
import sys
from types import ModuleType

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR, INVALID_PARAMETER_VALUE, TEMPORARILY_UNAVAILABLE
from mlflow.pyfunc import PythonModel
from mlflow.version import VERSION

from bmenet import __version__
from bmenet.restoration import Enhancer
from bmenet.restoration.bundle import open_bundle
from bmenet.restoration.onnx.providers import PROVIDERS
from bmenet.runtime.errors import ConfigError
from bmenet.serving import Cancel, Guard, Limits, Refusal, Service, parse_records

_SERVER_MODULE = "mlflow.pyfunc.scoring_server.app"


class EnhanceModel(PythonModel):
    """A column `nifti` of base64 in, the same column with the enhanced volumes out; `stage`, `steps`, `seed` optional.

    Without type hints: MLflow would narrow the input to what they say.
    """

    def load_context(self, context):
        """Open the bundle; variables of the environment say what runs it, where and how.

        BMENET_RUNTIME and BMENET_DEVICE; of ONNX Runtime also BMENET_PROVIDERS, which then stands for the device, and
        BMENET_PRECISION.
        """
        bundle = open_bundle(context.artifacts["bundle"])
        runtime = _choice("BMENET_RUNTIME", "onnx", "torch")
        device = _choice("BMENET_DEVICE", "auto", "cpu", "cuda")
        options = _onnx_options(runtime)
        stage = "fine" if bundle.has_fine else "coarse"
        enhancer = Enhancer.from_bundle(bundle, stage, runtime=runtime, device=device, **options)
        info = {"bmenet": __version__, "mlflow": VERSION, "model": bundle.digest, "runtime": runtime, **options}
        self._service = Service(enhancer, Limits.from_environment(), info)
        self._is_guarded = _put_guard_before_server(self._service)

    def predict(self, context, model_input, params=None):
        """Enhance the volumes of a DataFrame, with the checks and limits of the server."""
        if self._is_guarded:
            raise MlflowException("expected the guard to answer; got past it; stop this server and report it")
        if not isinstance(model_input, pd.DataFrame):
            raise MlflowException("expected a DataFrame; send one with a column nifti", INVALID_PARAMETER_VALUE)
        service = self._service
        try:
            requests = parse_records(model_input.to_dict("records"), service.limits)
            with service.jobs.place():
                volumes = service.run(requests, Cancel()).volumes
        except Refusal as refusal:
            codes = {500: INTERNAL_ERROR, 503: TEMPORARILY_UNAVAILABLE}
            raise MlflowException(str(refusal), codes.get(refusal.status, INVALID_PARAMETER_VALUE)) from None
        return pd.DataFrame({"nifti": [base64.b64encode(volume).decode() for volume in volumes]})


def _choice(name, *choices):
    """Return what the environment chooses, by default the first."""
    value = os.environ.get(name) or choices[0]
    if value not in choices:
        raise ConfigError(f"{name}: expected one of {', '.join(choices)}; got {value[:20]!r}; change or unset it")
    return value


def _onnx_options(runtime):
    """Return the options that ONNX Runtime alone has; for torch, see that none is set."""
    if runtime != "onnx":
        if given := [name for name in ("BMENET_PROVIDERS", "BMENET_PRECISION") if os.environ.get(name)]:
            raise ConfigError(
                f"{', '.join(given)}: expected BMENET_RUNTIME onnx with it; got {runtime}, which chooses its number"
                " format by the device (BMENET_DEVICE); unset one of them"
            )
        return {}
    text = os.environ.get("BMENET_PROVIDERS") or ""
    providers = [name.strip() for name in text.split(",")] if text.strip() else None
    if providers is not None and (set(providers) - set(PROVIDERS) or len(set(providers)) < len(providers)):
        raise ConfigError(
            f"BMENET_PROVIDERS: expected some of {', '.join(PROVIDERS)}, with commas between, in the order wanted; got"
            f" {text[:40]!r}; change or unset it"
        )
    return {"providers": providers, "precision": _choice("BMENET_PRECISION", "fp32", "fp16")}


def _put_guard_before_server(service):
    """Return whether this process is a scoring server, which is guarded from now on."""
    module = sys.modules.get(_SERVER_MODULE)
    if module is None:
        return False
    guards: dict[str, Guard] = {}

    class Guarded(ModuleType):
        """The server's module, its application behind the guard."""

        @property
        def app(self):
            """The application that uvicorn runs."""
            if "app" not in vars(self):
                raise AttributeError("app")
            if not guards:
                guards["app"] = Guard(vars(self)["app"], service)
            return guards["app"]

    module.__class__ = Guarded
    _log_requests()
    return True


def _log_requests():
    """Write the guard's log to stderr instead of uvicorn's, which repeats what stands behind a ``?``."""
    logger = logging.getLogger("bmenet.serving")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logging.getLogger("uvicorn.access").disabled = True


set_model(EnhanceModel())
