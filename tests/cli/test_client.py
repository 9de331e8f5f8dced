"""`bmenet client`: what a server gives is what `bmenet enhance` writes; what goes wrong is one line."""

import base64
import json
import os
import re
import socket
import threading
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest

from bmenet.restoration import Enhancer
from tests.serving.stand_in import EnhancerStandIn, Gate, nifti, serve

CANARY = "JaneDoe19"
PLAIN = nifti(np.ones((9, 9, 9), np.int16), "scan.nii")


@pytest.fixture
def run(bmenet, monkeypatch):
    """Return a function that runs the command."""
    monkeypatch.delenv("BMENET_TOKEN", raising=False)
    return partial(bmenet, "client")


@contextmanager
def _answering(status, body, busy=0):
    """Run a server that gives one answer to everything but its first `busy` requests; yields its address and those."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            seen.append((self.path, dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(503 if len(seen) <= busy else status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Retry-After", "0")
            self.send_header("Location", "/elsewhere")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _answer(volume):
    """Return the body of an answer."""
    return json.dumps({"predictions": [{"nifti": base64.b64encode(volume).decode()}]}).encode()


def _failed(result, out, *words):
    """Check for one line on stderr, exit code 1, and nothing written."""
    assert result.exit_code == 1
    assert result.stdout == ""
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("bmenet: ")
    for word in words:
        assert word in line
    assert not out.exists()
    assert not [name for name in os.listdir(out.parent) if "partial" in name]


@pytest.mark.usefixtures("lone_brain")
@pytest.mark.parametrize("name", ["out.nii.gz", "out.nii"])
def test_client_writes_what_enhance_writes(bmenet, run, scan_path, weights, name):
    here, there = scan_path.with_name(f"here-{name}"), scan_path.with_name(f"there-{name}")
    assert bmenet("enhance", scan_path, here, "--device", "cpu").exit_code == 0
    with serve(Enhancer.from_folder(weights)) as server:
        result = run(scan_path, there, "--url", server.url)
    assert (result.exit_code, result.stdout) == (0, f"{there}\n")
    assert there.read_bytes() == here.read_bytes()
    assert CANARY not in result.stderr
    numbers = re.search(
        r"([\d.]+) s: queue ([\d.]+), registration ([\d.]+), network ([\d.]+), I/O ([\d.]+), HTTP ([\d.]+)",
        result.stderr,
    )
    total, *parts = map(float, numbers.groups())
    assert sum(parts) == pytest.approx(total, abs=0.04)


def test_client_passes_stage_steps_and_seed_on(run, scan_path):
    out = scan_path.with_name("out.nii.gz")
    seen = []
    with serve(EnhancerStandIn()) as server:
        for seed, steps in ((1, 2), (1, 2), (2, 2), (1, 3)):
            settings = ("--stage", "fine", "--seed", seed, "--steps", steps)
            assert run(scan_path, out, "--url", server.url, *settings).exit_code == 0
            seen.append(out.read_bytes())
        assert seen[0] == seen[1]
        assert len(set(seen)) == 3
        out.unlink()
        _failed(run(scan_path, out, "--url", server.url, "--stage", "fine", "--steps", 99), out, "400", "at most 10")


def test_client_sends_the_token_of_the_option_or_the_environment(run, scan_path, monkeypatch):
    out = scan_path.with_name("out.nii.gz")
    with serve(EnhancerStandIn(), token="s3cret") as server:
        _failed(run(scan_path, out, "--url", server.url), out, "401", "Authorization: Bearer")
        by_option = run(scan_path, out, "--url", server.url, "--token", "s3cret")
        monkeypatch.setenv("BMENET_TOKEN", "s3cret")
        for result in (by_option, run(scan_path, out, "--url", server.url)):
            assert result.exit_code == 0
            assert "s3cret" not in result.output


def test_client_sends_the_file_without_its_name_no_password_file_and_by_no_proxy(
    run, scan_path, monkeypatch, workspace
):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NETRC", str(workspace / "netrc"))
    (workspace / "netrc").write_text("machine 127.0.0.1 login jane password doe\n")
    out = scan_path.with_name("out.nii.gz")
    out.write_bytes(b"older")
    with _answering(500, b"{}") as (url, seen):
        for options in ((), ("--keep-field", "--only-brain")):
            assert run(scan_path, out, "--url", url, *options).exit_code == 1
    assert out.read_bytes() == b"older"
    (path, headers, body), (*_, other) = seen
    assert path == "/invocations"
    assert "Authorization" not in headers
    (record,) = json.loads(body)["dataframe_records"]
    assert base64.b64decode(record.pop("nifti")) == scan_path.read_bytes()
    assert record == {"stage": "coarse", "seed": 0}
    assert json.loads(other)["dataframe_records"][0].items() > {"keep_field": True, "only_brain": True}.items()
    assert CANARY not in str(headers)


def test_client_says_when_no_server_runs_or_what_it_refuses(run, scan_path):
    out, folder = scan_path.with_name("out.nii.gz"), scan_path.with_name("series")
    folder.mkdir()
    _failed(run(folder, out), out, "dcm2niix", "bmenet enhance")
    _failed(run(scan_path.with_name("missing.nii"), out), out, "No such file")
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    _failed(run(scan_path, out, "--url", url), out, url, "bmenet serve")
    with serve(EnhancerStandIn(), max_body_mb=1) as server:
        for content, told in ((b"no scan" * 99, "422: the volume: expected a NIfTI"), (bytes(1_000_000), "413: ")):
            scan_path.write_bytes(content)
            _failed(run(scan_path, out, "--url", server.url), out, told)


def test_client_says_when_the_server_or_its_own_patience_ends(run, scan_path):
    out = scan_path.with_name("out.nii.gz")
    with serve(EnhancerStandIn(Gate()), job_timeout_s=1) as server:
        _failed(run(scan_path, out, "--url", server.url), out, "504", "mlflow models serve -t")
    with serve(EnhancerStandIn(Gate())) as server:
        _failed(run(scan_path, out, "--url", server.url, "--timeout", 1), out, "within 1 s", "--timeout")


def test_client_comes_back_to_a_full_server_and_gives_up_in_the_end(run, scan_path):
    out = scan_path.with_name("out.nii.gz")
    with _answering(200, _answer(scan_path.read_bytes()), busy=2) as (url, seen):
        assert run(scan_path, out, "--url", url).exit_code == 0
    assert len(seen) == 3
    assert out.read_bytes() == scan_path.read_bytes()
    out.unlink()
    full = json.dumps({"message": "expected at most 8 jobs in the queue"}).encode()
    with _answering(503, full) as (url, seen):
        _failed(run(scan_path, out, "--url", url), out, "503: expected at most 8 jobs")
    assert len(seen) == 4


@pytest.mark.parametrize(
    ("status", "body", "word"),
    [
        (200, b"<html>", "expected JSON with a volume"),
        (200, b'{"predictions": []}', "expected JSON with a volume"),
        (200, b'{"predictions": [{"nifti": "***"}]}', "expected JSON with a volume"),
        (200, _answer(b"x" * 999), "got none"),
        (200, _answer(PLAIN), "expected .nii.gz"),
        (302, b"", "302"),
        (500, b"a proxy's page", "is this a server of bmenet?"),
        (500, json.dumps({"message": "\x1b[2Jcleared\nlines"}).encode(), "cleared"),
    ],
    ids=str,
)
def test_client_does_not_trust_the_answer(run, scan_path, status, body, word):
    out = scan_path.with_name("out.nii.gz")
    with _answering(status, body) as (url, seen):
        result = run(scan_path, out, "--url", url)
    _failed(result, out, word)
    assert "\x1b" not in result.stderr
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--url", "ftp://host"), "--url"),
        (("--url", "http://name:password@host"), "--url"),
        (("--url", "http://host/path"), "--url"),
        (("--steps", 2), "--stage fine"),
        (("--stage", "fine", "--steps", 0), "--steps"),
        (("--seed", -1), "--seed"),
    ],
)
def test_client_tells_wrong_use(run, scan_path, arguments, word):
    result = run(scan_path, scan_path.with_name("out.nii"), *arguments)
    assert result.exit_code == 2
    assert word in result.stderr
    assert "password" not in result.stderr
    before = scan_path.read_bytes()
    assert run(scan_path, scan_path).exit_code == 2  # never onto the scan itself
    assert scan_path.read_bytes() == before
