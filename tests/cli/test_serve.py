"""`bmenet serve` in a process of its own: stopped while it works, started again; and what it does not start with."""

import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.serving.stand_in import Server, body_of, decoded, head_of, nifti, refused, wait_for

SERVER = """
import sys
from contextlib import nullcontext
from types import SimpleNamespace
from bmenet.cli import app
from bmenet.serving import Service
from tests.serving.stand_in import INFO, EnhancerStandIn, Gate

assert "torch" not in sys.modules, "it takes seconds"
gate = Gate() if sys.argv.pop() == "gated" else None
found = nullcontext(SimpleNamespace(bundle="a model that needs no torch"))
sys.modules["bmenet.release.models"] = SimpleNamespace(find_model=lambda name: found)
Service.of_bundle = lambda bundle, settings: Service(EnhancerStandIn(gate), settings, INFO)
app()
"""


@pytest.fixture
def scan(phantom):
    return nifti(head_of(phantom))


@pytest.fixture
def start(tmp_path):
    """Return a function that starts a server: the process, and how to ask it."""
    processes = []

    def start(mode="open", *options, **variables):
        repository = Path(__file__).parents[2]
        environment = {"TMPDIR": str(tmp_path), "PYTHONPATH": str(repository), "PYTHONUNBUFFERED": "1"} | variables
        process = subprocess.Popen(
            [sys.executable, "-c", SERVER, "serve", "--port", "0", *options, mode],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | environment,
        )
        processes.append(process)
        return process, Server(int(process.stdout.readline().rpartition(":")[2]), None)

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_a_server_beyond_loopback_asks_for_its_token_and_ends_its_jobs_when_it_is_stopped(start, scan, tmp_path):
    process, server = start("gated", "--host", "0.0.0.0", BMENET_TOKEN="s3cret")
    refused(server.post(body_of(scan)), 401)
    with ThreadPoolExecutor(2) as threads, socket.create_connection(("127.0.0.1", server.port)) as slow:
        slow.sendall(b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer s3cret\r\n")
        slow.sendall(b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
        answers = [threads.submit(server.post, body_of(scan), Authorization="Bearer s3cret") for _ in range(2)]
        wait_for(lambda: len(list(tmp_path.rglob("0.nii"))) == 2)
        process.terminate()
        for answer in answers:
            refused(answer.result(timeout=20), 503, "stopped")
    assert process.wait(20) == 128 + signal.SIGTERM
    assert "Traceback" not in process.stderr.read()
    assert list(tmp_path.rglob("room-*")) == []


def test_a_server_that_starts_after_a_killed_one_answers_and_removes_what_it_left(start, scan, tmp_path):
    process, server = start("gated")
    with ThreadPoolExecutor(1) as threads:
        threads.submit(server.post, body_of(scan))
        wait_for(lambda: list(tmp_path.rglob("0.nii")))
        process.kill()
        process.wait()
    process, server = start()
    assert list(tmp_path.rglob("0.nii")) == []
    decoded(server.post(body_of(scan)))
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 128 + signal.SIGINT


def test_a_server_without_a_token_a_model_a_port_or_sense_says_so(bmenet, workspace, monkeypatch):
    monkeypatch.delenv("BMENET_TOKEN", raising=False)
    result = bmenet("serve", "--host", "0.0.0.0")
    assert result.exit_code == 1
    assert "--host 0.0.0.0: expected BMENET_TOKEN" in result.stderr
    result = bmenet("serve", "--port", "0")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "models:/bmenet@champion: " in result.stderr
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = bmenet("serve", "--port", port)
    assert result.exit_code == 1
    assert f"port {port}: cannot listen there" in result.stderr
    monkeypatch.setenv("BMENET_MAX_BODY_MB", "abacus")
    assert "BMENET_MAX_BODY_MB: expected" in bmenet("serve").stderr
