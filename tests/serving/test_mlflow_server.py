"""`mlflow models serve` as users start it: MLflow has no hook for the guard, and a change in it must be seen here."""

import contextlib
import json
import logging
import os
import socket
import subprocess
import sys
import time
import types
from pathlib import Path

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
import requests
import torch
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema

from bmenet.config.profiles import load_profile
from bmenet.imaging.scan import load_scan, save_scan
from bmenet.imaging.template import load_template
from bmenet.networks.coarse import build_coarse
from bmenet.networks.weights import save_weights
from bmenet.release.export.write import write_bundle
from bmenet.restoration import Enhancer
from bmenet.restoration.bundle import open_bundle
from bmenet.runtime.errors import ConfigError
from bmenet.serving import Guard
from tests.serving.stand_in import CANARY, body_of, decoded, nifti, wait_for

REPOSITORY = Path(__file__).parents[2]
MODEL = REPOSITORY / "mlflow" / "enhance_model.py"
OPTIONAL = [ColSpec("string", "stage", required=False)] + [
    ColSpec("long", name, required=False) for name in ("steps", "seed")
]


def _save_model(folder, code, bundle):
    """Let MLflow save a model from code."""
    mlflow.pyfunc.save_model(
        folder,
        python_model=str(code),
        artifacts={"bundle": str(bundle)},
        signature=ModelSignature(Schema([ColSpec("string", "nifti"), *OPTIONAL]), Schema([ColSpec("string", "nifti")])),
        pip_requirements=[],
    )
    return folder


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """An untrained Coarse-net, exported."""
    folder = tmp_path_factory.mktemp("exported")
    config = load_profile("smoke")
    torch.manual_seed(0)
    spec = {"config": config.coarse.model_dump(mode="json"), "spacing_mm": 4, "lineage": {}}
    save_weights(folder / "weights" / "coarse", "coarse", build_coarse(config.coarse), spec)
    export = config.export.model_copy(update={"precisions": ["fp32"]})
    write_bundle(folder / "weights", folder / "bundle", export, config.sampling, {})
    return open_bundle(folder / "bundle")


@pytest.fixture(scope="module")
def template(grid):
    """A .nii.gz file of a brain that is found and lies as it should."""
    return nifti((load_template(grid).data * 900).astype(np.int16), affine=grid.affine)


@pytest.fixture(scope="module")
def model(bundle, tmp_path_factory):
    """What is published: the file that is served, with its bundle."""
    return _save_model(tmp_path_factory.mktemp("model") / "saved", MODEL, bundle.folder)


@pytest.fixture
def loaded(tmp_path):
    """The same file on networks that need no weights, in this process."""
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "bundle.json").write_text("{}")
    code = Path(__file__).with_name("stand_in_model.py")
    return mlflow.pyfunc.load_model(str(_save_model(tmp_path / "saved", code, tmp_path / "bundle")))


@pytest.fixture(scope="module")
def served(model, tmp_path_factory):
    """The address of a server, and the file that it logs to."""
    folder = tmp_path_factory.mktemp("served")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(model), "--env-manager", "local"]
    command += ["--host", "127.0.0.1", "-p", str(port), "-t", "900"]
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY),
        "TMPDIR": str(folder),
        "XDG_RUNTIME_DIR": str(folder),
        "BMENET_MAX_BODY_MB": "2",
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "CUDA_VISIBLE_DEVICES": "",
    }
    log = folder / "log.txt"
    with open(log, "w") as handle:
        process = subprocess.Popen(command, env=environment, stdout=handle, stderr=handle, cwd=folder)
        try:
            deadline = time.monotonic() + 120
            while not _is_up(f"http://127.0.0.1:{port}"):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.2)
            yield f"http://127.0.0.1:{port}", log
        finally:
            process.terminate()
            process.wait(20)
    wait_for(lambda: not _is_up(f"http://127.0.0.1:{port}"))
    wait_for(lambda: not list(folder.glob("bmenet-serving-*")))


def _is_up(url):
    with contextlib.suppress(requests.ConnectionError):
        return requests.get(f"{url}/ping", timeout=5).status_code == 200
    return False


def _post(url, content, **headers):
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    headers = {"Content-Type": "application/json"} | headers
    return requests.post(f"{url}/invocations", data=body, headers=headers, timeout=60)


def test_version_tells_the_model_so_the_guard_is_there(served, bundle):
    told = requests.get(f"{served[0]}/version", timeout=5).json()
    assert told["mlflow"] == mlflow.version.VERSION
    assert (told["model"], told["runtime"], told["device"]) == (bundle.digest, "onnx", "cpu")
    assert told["stages"] == ["coarse"]
    assert (told["providers"], told["precision"]) == (None, "fp32")


def test_the_server_answers_with_the_file_that_the_bundle_makes_here(served, bundle, template, tmp_path):
    response = _post(served[0], body_of(template))
    (tmp_path / "in.nii.gz").write_bytes(template)
    scan = load_scan(tmp_path / "in.nii.gz")
    save_scan(tmp_path / "out.nii.gz", Enhancer.from_bundle(bundle, "coarse", "onnx", "cpu").enhance(scan).scan)
    assert decoded(response) == (tmp_path / "out.nii.gz").read_bytes()
    assert decoded(response) != template
    assert "restore;dur=" in response.headers["Server-Timing"]


def test_the_server_has_the_limits_of_the_guard(served, template):
    assert _post(served[0], b"{" + b" " * 3_000_000).status_code == 413
    assert _post(served[0], {}, Host="evil.example").status_code == 421
    assert _post(served[0], b"", **{"Content-Type": "text/csv"}).status_code == 415
    assert _post(served[0], body_of(template, stage="fine")).status_code == 400
    assert requests.get(f"{served[0]}/docs", timeout=5).status_code == 404


def test_the_server_repeats_nothing_that_a_client_sent(served):
    url, log = served
    response = _post(url, body_of(f"../{CANARY}.nii", **{CANARY: 1}))
    assert response.status_code == 400
    assert set(response.json()) == {"error_code", "message"}
    requests.get(f"{url}/ping?{CANARY}", timeout=5)
    wait_for(lambda: "POST /invocations 400" in log.read_text() and "GET /ping 200" in log.read_text())
    assert CANARY not in log.read_text() + response.text


@pytest.fixture
def server_module(monkeypatch):
    """MLflow's module while it is being imported, and the loggers as they were."""
    module = types.ModuleType("mlflow.pyfunc.scoring_server.app")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    ours = logging.getLogger("bmenet.serving")
    before = (ours.handlers[:], ours.level, ours.propagate)
    yield module
    ours.handlers, ours.level, ours.propagate = before
    logging.getLogger("uvicorn.access").disabled = False


def test_inside_a_server_the_model_answers_through_the_guard_only(server_module, loaded, scan):
    with pytest.raises(AttributeError):
        _ = server_module.app
    vars(server_module)["app"] = object()
    assert isinstance(server_module.app, Guard)
    assert server_module.app is server_module.app
    with pytest.raises(MlflowException, match="expected the guard to answer"):
        loaded.predict(pd.DataFrame(body_of(scan)["dataframe_records"]))


@pytest.mark.parametrize("columns", [{}, {"stage": "fine", "steps": 2, "seed": 3}])
def test_the_loaded_model_answers_a_table_as_a_server_does(loaded, server, scan, columns):
    body = body_of(scan, **columns)
    rows = loaded.predict(pd.DataFrame(body["dataframe_records"])).to_dict("records")
    assert {"predictions": rows} == server.post(body).json()


def _loaded_service(request, monkeypatch, **environment):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return request.getfixturevalue("loaded").unwrap_python_model()._service


def test_the_environment_chooses_providers_and_number_format_and_version_tells_them(request, monkeypatch):
    service = _loaded_service(request, monkeypatch, BMENET_PROVIDERS="tensorrt, cuda,cpu", BMENET_PRECISION="fp16")
    wanted = {"providers": ["tensorrt", "cuda", "cpu"], "precision": "fp16"}
    assert service._enhancer.options == {"runtime": "onnx", "device": "auto"} | wanted
    assert service.info | wanted | {"runtime": "onnx", "device": "tensorrt"} == service.info


def test_torch_is_asked_for_no_providers_and_none_are_told(request, monkeypatch):
    service = _loaded_service(request, monkeypatch, BMENET_RUNTIME="torch", BMENET_PROVIDERS="", BMENET_PRECISION="")
    assert service._enhancer.options == {"runtime": "torch", "device": "auto"}
    assert not {"providers", "precision"} & set(service.info)


@pytest.mark.parametrize(("name", "value"), [("BMENET_PROVIDERS", "cpu"), ("BMENET_PRECISION", "fp32")])
def test_torch_with_what_only_onnx_runtime_has_is_refused(request, monkeypatch, name, value):
    with pytest.raises(ConfigError, match=f"{name}: expected BMENET_RUNTIME onnx with it; got torch"):
        _loaded_service(request, monkeypatch, BMENET_RUNTIME="torch", **{name: value})


@pytest.mark.parametrize("value", ["cuda,,cpu", "cpu,cpu", "CPUExecutionProvider"])
def test_a_list_of_providers_that_is_none_is_refused(request, monkeypatch, value):
    with pytest.raises(ConfigError, match="BMENET_PROVIDERS: expected some of tensorrt, cuda, cpu, with commas"):
        _loaded_service(request, monkeypatch, BMENET_PROVIDERS=value)


@pytest.mark.parametrize(
    "name", ["BMENET_RUNTIME", "BMENET_DEVICE", "BMENET_PROVIDERS", "BMENET_PRECISION", "BMENET_MAX_WAITING"]
)
def test_a_model_does_not_load_with_nonsense_in_the_environment(request, monkeypatch, name):
    monkeypatch.setenv(name, "abacus")
    with pytest.raises(ConfigError, match=f"{name}: expected"):
        request.getfixturevalue("loaded")


@pytest.mark.parametrize("value", [CANARY, f"file:///{CANARY}", "AAAA"])
def test_the_loaded_model_refuses_what_a_server_refuses(loaded, value):
    with pytest.raises(MlflowException, match=r"expected .*; (got|the file holds) ") as error:
        loaded.predict(pd.DataFrame([{"nifti": value}]))
    assert error.value.error_code == "INVALID_PARAMETER_VALUE"
    assert CANARY not in str(error.value)
