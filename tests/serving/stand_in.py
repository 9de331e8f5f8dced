"""An Enhancer that needs no network, a server around it, and the volumes to send."""

import base64
import gzip
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
import requests
import uvicorn

from bmenet.config import SamplingConfig
from bmenet.runtime.errors import ConfigError
from bmenet.serving import Guard, Service, Settings

INFO = {"bmenet": "0", "model": "f" * 64, "runtime": "torch"}
CANARY = "JaneDoe19"
AFFINE = np.diag([4.0, 4, 4, 1])
SAMPLING = SamplingConfig.model_construct(steps=4)


class FineStandIn:
    """A second stage that can do 10 steps."""

    def check(self, sampling: Any) -> None:
        if sampling.steps > 10:
            raise ConfigError(f"sampling.steps: expected at most 10; got {sampling.steps}")


@dataclass
class Gate:
    """Holds jobs until it is opened, and counts them."""

    is_open: threading.Event = field(default_factory=threading.Event)
    started: threading.Event = field(default_factory=threading.Event)
    running: int = 0
    most_running: int = 0
    finished: int = 0

    def hold(self, progress: Callable[[str, float], None]) -> None:
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        self.started.set()
        try:
            while not self.is_open.is_set():
                progress("restore", 0.5)
                time.sleep(0.01)
            self.finished += 1
        finally:
            self.running -= 1


@dataclass(frozen=True)
class EnhancerStandIn:
    """Halves intensities, unless the field is kept; the second stage adds noise of its seed.

    Of a head of which the brain alone is restored one slice stays as it is.
    """

    gate: Gate | None = None
    fine: Any = field(default_factory=FineStandIn)
    sampling: Any = SAMPLING
    seed: int = 0
    keeps_field: bool = False
    only_brain: bool = False
    place: str = "cpu"
    error: Exception | None = None

    def enhance(self, scan: Any, progress: Callable[[str, float], None]) -> Any:
        progress("restore", 0.0)
        if self.error is not None:
            raise self.error
        if self.gate is not None:
            self.gate.hold(progress)
        data = scan.volume.data / (1 if self.keeps_field else 2)
        if self.only_brain:
            data[20] = scan.volume.data[20]
        if self.fine is not None:
            data = data + np.random.default_rng(self.seed).random(data.shape, dtype=np.float32) * self.sampling.steps
        steps = dict.fromkeys(("find the brain", "register", "restore", "return"), 0.25)
        return SimpleNamespace(scan=scan.with_data(data), timings=steps)


def nifti(data: np.ndarray, name: str = "scan.nii.gz", affine: np.ndarray = AFFINE) -> bytes:
    """Return the bytes of a NIfTI file, a canary in its free text."""
    image = nib.Nifti1Image(data, affine, dtype=data.dtype)
    image.header["descrip"] = CANARY
    return gzip.compress(image.to_bytes(), mtime=0) if name.endswith(".gz") else image.to_bytes()


def head_of(phantom: Any) -> np.ndarray:
    """Return intensities of a scan, int16."""
    texture = np.random.default_rng(0).random(phantom.data.shape) * 40
    return (phantom.data * 900 + texture * (phantom.data > 0)).astype(np.int16)


def body_of(nifti: bytes | str, **columns: Any) -> dict[str, Any]:
    """Return the JSON of a request."""
    text = nifti if isinstance(nifti, str) else base64.b64encode(nifti).decode()
    return {"dataframe_records": [{"nifti": text, **columns}]}


@dataclass(frozen=True)
class Server:
    """A server that runs in a thread."""

    port: int
    gate: Gate | None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def post(self, content: Any, timeout: float = 20, **headers: str) -> requests.Response:
        """Send JSON, or bytes as they are, to /invocations."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        given = {"Content-Type": "application/json"} | headers
        return requests.post(f"{self.url}/invocations", data=body, headers=given, timeout=timeout)


@contextmanager
def serve(enhancer: Any, **settings: Any) -> Iterator[Server]:
    """Run a guard with uvicorn on a free port of 127.0.0.1."""
    service = Service(enhancer, Settings(**settings), INFO)
    config = uvicorn.Config(Guard(service), port=0, log_config=None, access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_for(lambda: server.started)
        yield Server(server.servers[0].sockets[0].getsockname()[1], getattr(enhancer, "gate", None))
    finally:
        if gate := getattr(enhancer, "gate", None):
            gate.is_open.set()
        server.should_exit = True
        thread.join(15)
        service.jobs.close()
        assert not thread.is_alive()


def decoded(response: requests.Response) -> bytes:
    """Return the one volume of an answer."""
    assert response.status_code == 200, response.text
    (row,) = response.json()["predictions"]
    return base64.b64decode(row["nifti"])


def refused(response: requests.Response, status: int, *words: str) -> None:
    """Check a refusal: its status, JSON that says what to do, and no secret of the client."""
    assert response.status_code == status, response.text
    content = response.json()
    assert set(content) == {"error_code", "message"}
    assert "Traceback" not in content["message"]
    assert CANARY not in response.text
    for word in words:
        assert word in content["message"]


def wait_for(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
