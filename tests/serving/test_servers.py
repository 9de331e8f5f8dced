"""Both servers as users start them, on one bundle: `bmenet serve`, and `mlflow models serve` without anything of ours
before it but the model."""

import contextlib
import json
import os
import runpy
import shlex
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
import requests
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.scoring_server import get_cmd

from bmenet.imaging.scan import load_scan, save_scan
from bmenet.imaging.template import load_template
from bmenet.release.registry.model_folder import signature
from bmenet.restoration import Enhancer, bundle
from bmenet.restoration.bundle import open_bundle
from bmenet.restoration.bundle.manifest import Precision
from bmenet.restoration.providers import Provider
from bmenet.runtime.errors import ConfigError
from bmenet.serving import Service, Settings
from tests.bundled import smoke_bundle
from tests.serving.stand_in import CANARY, INFO, EnhancerStandIn, Gate, body_of, decoded, nifti, wait_for

REPOSITORY = Path(__file__).parents[2]
MODEL = REPOSITORY / "mlflow" / "enhance_model.py"


@pytest.fixture(scope="module")
def exported():
    """Untrained networks, exported."""
    return open_bundle(smoke_bundle())


@pytest.fixture(scope="module")
def template(grid):
    """A .nii.gz file of a brain that is found and lies as it should."""
    return nifti((load_template(grid).data * 900).astype(np.int16), affine=grid.affine)


@pytest.fixture(scope="module")
def expected(exported, template, tmp_path_factory):
    """The .nii.gz file that the bundle makes of it in this process."""
    folder = tmp_path_factory.mktemp("expected")
    (folder / "in.nii.gz").write_bytes(template)
    enhanced = Enhancer.from_bundle(exported, "coarse", "onnx", "cpu").enhance(load_scan(folder / "in.nii.gz"))
    save_scan(folder / "out.nii.gz", enhanced.scan)
    return (folder / "out.nii.gz").read_bytes()


@pytest.fixture(scope="module", params=["bmenet", "mlflow"])
def served(request, exported, tmp_path_factory):
    """The name of a server, its address, and the file that it logs to."""
    folder = tmp_path_factory.mktemp("served")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    if request.param == "bmenet":
        command = [sys.executable, "-c", "from bmenet.cli import app; app()", "serve", "--model", exported.folder]
        command += ["--port", port]
    else:
        mlflow.pyfunc.save_model(
            folder / "model",
            python_model=str(MODEL),
            artifacts={"bundle": str(exported.folder)},
            signature=signature(),
            pip_requirements=[],
        )
        command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", folder / "model", "--env-manager", "local"]
        command += ["--host", "127.0.0.1", "-p", port, "-t", "900"]
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY),
        "TMPDIR": str(folder),
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "CUDA_VISIBLE_DEVICES": "",
    }
    url, log = f"http://127.0.0.1:{port}", folder / "log.txt"
    with open(log, "w") as handle:
        process = subprocess.Popen(command, env=environment, stdout=handle, stderr=handle, cwd=folder)
        try:
            wait_for(lambda: process.poll() is not None or _is_up(url), 120)
            assert process.poll() is None, log.read_text()
            yield request.param, url, log
        finally:
            process.terminate()
            process.wait(20)
    wait_for(lambda: not _is_up(url))
    wait_for(lambda: not list(folder.rglob("room-*")))


def _is_up(url):
    with contextlib.suppress(requests.ConnectionError, requests.Timeout):
        return requests.get(f"{url}/ping", timeout=5).status_code == 200
    return False


def _post(url, content, content_type="application/json"):
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return requests.post(f"{url}/invocations", data=body, headers={"Content-Type": content_type}, timeout=300)


def test_the_server_answers_two_at_once_with_the_file_that_the_bundle_makes_here(served, template, expected):
    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(lambda body: decoded(_post(served[1], body)), [body_of(template)] * 2)
    assert first == second == expected != template


def test_the_server_refuses_what_is_no_request_goes_on_and_tells_its_version(served, exported):
    name, url, log = served
    small = np.ones((9, 9, 9), np.int16)
    paths = (f"../{CANARY}.nii", f"file:///{CANARY}.nii", f"http://127.0.0.1:1/{CANARY}.nii.gz")
    volumes = (body_of(nifti(np.stack([small] * 2, 3))), body_of(nifti(small), steps=2), body_of("***"))
    for content in (b"", b"{not json", *volumes, *map(body_of, paths)):
        response = _post(url, content)
        assert response.status_code in (400, 422), response.text
        assert name == "mlflow" or CANARY not in response.text
    assert _post(url, b"", "multipart/form-data").status_code in (400, 415)
    assert CANARY not in log.read_text()
    told = requests.get(f"{url}/version", timeout=5)
    if name == "mlflow":
        assert told.text == mlflow.version.VERSION
    else:
        expected = {"model": exported.digest, "runtime": "onnx", "device": "cpu", "stages": ["coarse", "fine"]}
        assert told.json() == told.json() | expected | {"providers": None, "precision": "fp32"}


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Return a function that loads the served file on networks that need no weights, in this process."""

    def load(enhancer=None):
        monkeypatch.setattr(bundle, "open_bundle", lambda folder: None)
        monkeypatch.setattr(
            Service, "of_bundle", lambda _, settings: Service(enhancer or EnhancerStandIn(), settings, INFO)
        )
        model = runpy.run_path(str(MODEL))["EnhanceModel"]()
        model.load_context(SimpleNamespace(artifacts={"bundle": "none"}))
        return model

    return load


def _predict(model, content):
    return model.predict(None, pd.DataFrame(content["dataframe_records"]))


@pytest.mark.parametrize("columns", [{}, {"stage": "fine", "steps": 2, "seed": 3}])
def test_the_loaded_model_answers_a_table_as_bmenet_serve_does(load, server, scan, columns):
    body = body_of(scan, **columns)
    assert {"predictions": _predict(load(), body).to_dict("records")} == server.post(body).json()


@pytest.mark.parametrize(
    ("changes", "value", "code", "word"),
    [
        ({}, f"file:///{CANARY}", "INVALID_PARAMETER_VALUE", "expected"),
        ({}, "A" * 1_000_004, "INVALID_PARAMETER_VALUE", "BMENET_MAX_BODY_MB"),
        ({"error": KeyError(CANARY)}, None, "INTERNAL_ERROR", "the server failed"),
        ({"gate": Gate()}, None, "TEMPORARILY_UNAVAILABLE", r"within 1 s.*mlflow models serve -t"),
    ],
    ids=["address", "too long", "bug", "too slow"],
)
def test_the_loaded_model_refuses_as_bmenet_serve_does(load, monkeypatch, scan, caplog, changes, value, code, word):
    monkeypatch.setenv("BMENET_MAX_BODY_MB", "1")
    monkeypatch.setenv("MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT", "1")
    with pytest.raises(MlflowException, match=word) as error:
        _predict(load(EnhancerStandIn(**changes)), body_of(value or scan))
    assert error.value.error_code == code
    assert CANARY not in str(error.value) + caplog.text
    assert "gate" not in changes or (changes["gate"].running, changes["gate"].finished) == (0, 0)


def test_the_loaded_model_takes_one_job_at_a_time_and_no_more_than_may_wait(load, monkeypatch, scan):
    monkeypatch.setenv("BMENET_MAX_WAITING", "1")
    gate = Gate()
    model = load(EnhancerStandIn(gate))
    with ThreadPoolExecutor(2) as threads:
        jobs = [threads.submit(_predict, model, body_of(scan)) for _ in range(2)]
        wait_for(lambda: gate.started.is_set() and len(model._service.jobs._line) == 2)
        with pytest.raises(MlflowException, match="at most 1 jobs") as error:
            _predict(model, body_of(scan))
        threading.Timer(0.1, gate.is_open.set).start()
        assert all(len(job.result(10)) == 1 for job in jobs)
    assert error.value.error_code == "TEMPORARILY_UNAVAILABLE"
    assert (gate.most_running, gate.finished) == (1, 2)


def test_the_model_does_not_load_in_mlflows_server_beyond_this_machine(load, monkeypatch):
    monkeypatch.setattr(sys, "argv", shlex.split(get_cmd("model", 5001, "192.0.2.7", 60, 1)[0]))
    with pytest.raises(ConfigError, match=r"expected --host 127\.0\.0\.1.*bmenet serve"):
        load()
    monkeypatch.setattr(sys, "argv", shlex.split(get_cmd("model", 5001, "127.0.0.1", 60, 1)[0]))
    load()


def test_the_environment_says_what_runs_a_bundle(monkeypatch):
    asked = {}
    monkeypatch.setattr(
        Enhancer, "from_bundle", lambda *place, **options: asked.update(options) or EnhancerStandIn(place="tensorrt")
    )
    settings = Settings.from_environment({"BMENET_PROVIDERS": "tensorrt,cpu", "BMENET_PRECISION": "fp16"})
    service = Service.of_bundle(SimpleNamespace(has_fine=True, digest="f" * 64), settings)
    told = {"runtime": "onnx", "providers": ["tensorrt", "cpu"], "precision": "fp16"}
    assert asked == {"device": "auto"} | told
    assert service.info == service.info | told | {"device": "tensorrt", "stages": ["coarse", "fine"]}
    fields = Settings.model_fields  # which name what runs networks without an import of what does
    assert fields["providers"].annotation == tuple[Provider, ...] | None
    assert fields["precision"].annotation == Precision | None
