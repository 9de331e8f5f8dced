"""The server as a client sees it: right answers, who may ask, clear refusals, nothing repeated, nothing left."""

import base64
import gzip
import os
import re
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import requests

from bmenet.runtime.errors import WeightsError
from tests.serving.stand_in import CANARY, INFO, EnhancerStandIn, body_of, decoded, nifti, refused, serve, wait_for


def test_an_answer_has_the_volume_and_where_the_time_went(server, scan, head):
    response = server.post(body_of(scan))
    image = nib.Nifti1Image.from_bytes(gzip.decompress(decoded(response)))
    np.testing.assert_array_equal(np.asarray(image.dataobj), np.rint(head.astype(np.float32) / 2))
    np.testing.assert_array_equal(image.affine, np.diag([4.0, 4, 4, 1]))
    assert CANARY.encode() not in image.to_bytes()
    timing = dict(re.findall(r"([a-z-]+);dur=([0-9.]+)", response.headers["Server-Timing"]))
    assert list(timing) == ["queue", "read", "find-the-brain", "register", "restore", "return", "write"]
    assert float(timing["register"]) == 250


def test_the_same_seed_gives_the_same_answer_and_another_seed_another(server, scan):
    def ask(**columns):
        return decoded(server.post(body_of(scan, stage="fine", **columns)))

    assert ask(seed=3) == ask(seed=3)
    assert ask(seed=3) != ask(seed=4)
    assert ask(steps=1) != ask(steps=5)


def test_the_stage_is_coarse_where_nobody_says_otherwise(server, scan):
    assert decoded(server.post(body_of(scan))) == decoded(server.post(body_of(scan, stage="coarse", seed=9)))
    assert decoded(server.post(body_of(scan))) != decoded(server.post(body_of(scan, stage="fine")))


@pytest.mark.parametrize(
    ("content", "status", "word"),
    [
        (b"", 400, "got none"),
        (b"{not json", 400, "JSON"),
        (b"\xff\xfe\x00", 400, "JSON"),
        (b"[" * 200_000, 400, "JSON"),
        (b"[1]", 400, "JSON object"),
        (b"{}", 400, "dataframe_split"),
        (body_of("***"), 400, "base64"),
        (body_of(base64.b64encode(b"no scan" * 99).decode()), 422, "expected a NIfTI volume"),
        (body_of(""), 422, "empty"),
        (body_of(f"../../{CANARY}.nii.gz"), 400, "never opens"),
        (body_of(f"file:///data/{CANARY}.nii"), 400, "never opens"),
        (body_of(f"http://127.0.0.1:1/{CANARY}.nii.gz"), 400, "never opens"),
        (body_of("/etc/hostname"), 400, "never opens"),
        ({"dataframe_records": [{CANARY: "x", "nifti": "AAAA"}]}, 400, "columns nifti, stage"),
        ({"dataframe_records": [{"nifti": 7}]}, 400, "base64"),
    ],
    ids=lambda value: repr(value)[:30] if isinstance(value, dict | bytes) else "",
)
def test_what_is_no_request_is_refused_and_not_repeated(server, content, status, word):
    refused(server.post(content), status, word, "; ")


def test_bytes_that_are_no_whole_3d_volume_are_refused(server, head, scan):
    refused(server.post(body_of(nifti(np.stack([head] * 3, axis=3)))), 422, "the volume: expected one 3D volume")
    refused(server.post(body_of(nifti(head[:, :, 0]))), 422, "2D")
    refused(server.post(body_of(scan[: len(scan) // 2])), 422, "broken gzip")
    refused(server.post(body_of(nifti(np.zeros_like(head)))), 422, "everywhere")


def test_the_model_says_which_steps_it_can_do(server, scan):
    refused(server.post(body_of(scan, stage="fine", steps=11)), 400, "expected at most 10")
    refused(server.post(body_of(scan, steps=2)), 400, "steps with the stage fine only")


@pytest.mark.parametrize("content_type", ["text/csv", "application/json; charset=latin-1", "multipart/form-data", ""])
def test_another_content_type_is_refused(server, scan, content_type):
    refused(server.post(body_of(scan), **{"Content-Type": content_type}), 415, "application/json")


TOKEN = "a-token-of-32-characters-or-so-xx"


@pytest.mark.parametrize("token", [None, "", "Bearer", "Bearer no", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x"])
def test_a_missing_or_wrong_token_is_refused_with_the_scheme(scan, token):
    given = {} if token is None else {"Authorization": token}
    with serve(EnhancerStandIn(), token=TOKEN) as server:
        for response in (server.post(body_of(scan), **given), requests.get(f"{server.url}/version", headers=given)):
            refused(response, 401, "Authorization: Bearer")
            assert response.json()["error_code"] == "UNAUTHENTICATED"
            assert response.headers["WWW-Authenticate"].startswith("Bearer")
            assert TOKEN not in response.text


def test_the_token_opens_the_server_and_health_needs_none(scan):
    with serve(EnhancerStandIn(), token=TOKEN) as server:
        decoded(server.post(body_of(scan), Authorization=f"Bearer {TOKEN}"))
        decoded(server.post(body_of(scan), Authorization=f"bearer  {TOKEN} "))
        assert requests.get(f"{server.url}/ping", timeout=5).status_code == 200


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:5001", "127.0.0.1:5001", "[::1]:5001", "Scanner.example:1"])
def test_the_server_answers_to_its_own_names(scan, host):
    with serve(EnhancerStandIn(), hosts="scanner.example") as server:
        decoded(server.post(body_of(scan), Host=host))


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example:80", "127.0.0.1.nip.io", "[::2]"])
def test_a_host_that_the_server_does_not_go_by_is_refused(server, scan, host):
    refused(server.post(body_of(scan), Host=host), 421, "BMENET_ALLOWED_HOSTS")
    refused(requests.get(f"{server.url}/version", headers={"Host": host}, timeout=5), 421)


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/invocations", 405), ("PUT", "/ping", 405)])
def test_another_method_is_refused_and_the_right_one_is_told(server, method, path, status):
    response = requests.request(method, server.url + path, timeout=5)
    refused(response, status)
    assert response.headers["Allow"] in ("POST", "GET")


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/", "/../etc/passwd"])
def test_other_paths_are_not_there(server, path):
    refused(requests.get(server.url + path, timeout=5), 404, "/invocations")


def test_health_is_told_and_version_tells_the_model(server):
    assert requests.get(f"{server.url}/ping", timeout=5).status_code == 200
    assert requests.get(f"{server.url}/health", timeout=5).text == "\n"
    expected = INFO | {"device": "cpu", "stages": ["coarse", "fine"]}
    assert requests.get(f"{server.url}/version", timeout=5).json() == expected


def test_several_volumes_in_one_request_are_answered_in_order(server, scan, head):
    records = [body_of(scan)["dataframe_records"][0], body_of(nifti(head // 3))["dataframe_records"][0]]
    rows = server.post({"dataframe_records": records}).json()["predictions"]
    assert [base64.b64decode(row["nifti"]) for row in rows] == [
        decoded(server.post({"instances": [record]})) for record in records
    ]


def test_a_bug_is_told_as_one_and_its_text_stays_here(scan, caplog):
    with serve(EnhancerStandIn(error=KeyError(CANARY))) as server, caplog.at_level("INFO", "bmenet.serving"):
        refused(server.post(body_of(scan)), 500, "the server failed")
        assert server.post(body_of(scan)).status_code == 500, "it goes on"
    assert "bug (KeyError)" in caplog.text
    assert "stand_in.py" in caplog.text
    assert CANARY not in caplog.text


def test_what_is_wrong_with_the_server_is_told_to_its_log_alone(scan, caplog):
    class Failing(EnhancerStandIn):
        def enhance(self, scan, space="native", progress=None):
            (path,) = Path(tempfile.gettempdir()).rglob("0.nii")
            raise WeightsError(f"/srv/models/7/coarse.onnx: cannot be loaded\nfor {path}")

    with serve(Failing()) as server, caplog.at_level("INFO", "bmenet.serving"):
        response = server.post(body_of(scan))
        refused(response, 500, "the server failed")
    assert "srv" not in response.text
    assert "failure: /srv/models/7/coarse.onnx: cannot be loaded for the volume (WeightsError)\n" in caplog.text
    assert "test_app.py" in caplog.text
    assert tempfile.gettempdir() not in caplog.text


def test_the_log_has_one_line_a_request_and_nothing_of_its_content(server, scan, caplog):
    payload = base64.b64encode(scan).decode()
    with caplog.at_level("INFO"):
        server.post(body_of(scan), **{"X-Name": CANARY})
        server.post(body_of(f"../{CANARY}.nii"))
        requests.get(f"{server.url}/{CANARY}?name={CANARY}", timeout=5)
        wait_for(lambda: "(other)" in caplog.text)  # a line is written after the answer has left
    lines = [record.getMessage() for record in caplog.records if record.name == "bmenet.serving"]
    assert [re.sub(r"[0-9.]+ s$", "S", line) for line in lines] == [
        "POST /invocations 200 S",
        "POST /invocations 400 S",
        "GET (other) 404 S",
    ]
    ours = "".join(record.getMessage() for record in caplog.records if record.name != "uvicorn.access")
    assert CANARY not in ours
    assert payload[:40] not in ours


def test_nothing_of_a_volume_stays_on_disk(temporary, scan):
    with serve(EnhancerStandIn()) as server:
        decoded(server.post(body_of(scan)))
        server.post(body_of(scan[:500]))
        assert {path.name for path in temporary.rglob("*")} <= {f"bmenet-{os.getuid()}", "cpu.lock"}


def test_a_server_that_starts_again_answers_the_same(scan):
    answers = []
    for _ in range(2):
        with serve(EnhancerStandIn()) as server:
            answers.append(decoded(server.post(body_of(scan, stage="fine", seed=1))))
    assert answers[0] == answers[1]
