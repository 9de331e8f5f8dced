"""A server in a process of its own that is asked to stop while it works."""

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests.serving.stand_in import body_of, wait_for

SERVER = """
import contextlib, socket
import uvicorn
from bmenet.serving import Guard, Limits, Service
from tests.serving.stand_in import INFO, EnhancerStandIn, Gate, mlflow_app

class Telling(Gate):
    def hold(self, progress):
        print("started", flush=True)
        super().hold(progress)

listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
guard = Guard(mlflow_app, Service(EnhancerStandIn(Telling()), Limits(), INFO))
with contextlib.suppress(KeyboardInterrupt):
    uvicorn.Server(uvicorn.Config(guard, lifespan="on")).run(sockets=[listening])
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_stopped_ends_its_jobs_and_leaves_nothing(scan, temporary, number):
    repository = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=repository,
        env=os.environ | {"TMPDIR": str(temporary), "PYTHONPATH": str(repository)},
    )
    try:
        port = int(process.stdout.readline())

        def post():
            headers = {"Content-Type": "application/json"}
            url = f"http://127.0.0.1:{port}/invocations"
            return requests.post(url, data=json.dumps(body_of(scan)), headers=headers, timeout=60)

        with ThreadPoolExecutor(2) as threads:
            answers = [threads.submit(post) for _ in range(2)]
            assert process.stdout.readline() == "started\n"
            wait_for(lambda: len([path for path in temporary.rglob("*") if path.name == "0.nii"]) == 2)
            process.send_signal(number)
            for answer in answers:
                response = answer.result(timeout=20)
                assert response.status_code == 503
                assert "stopped" in response.json()["message"]
        process.wait(20)
        assert [path for path in temporary.rglob("*") if path.suffix != ".lock"] == []
    finally:
        process.kill()
        _, errors = process.communicate()
    assert "Traceback" not in errors
