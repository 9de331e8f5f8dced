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

PLAIN = nifti(np.ones((9, 9, 9), np.int16))
PLACES = ("../..", "file:///data", "http://127.0.0.1:1", "/etc")


def test_an_answer_has_the_volume_and_where_the_time_went(server, scan, head):
    response = server.post(body_of(scan))
    image = nib.Nifti1Image.from_bytes(gzip.decompress(decoded(response)))
    np.testing.assert_array_equal(np.asarray(image.dataobj), np.rint(head.astype(np.float32) / 2))
    np.testing.assert_array_equal(image.affine, np.diag([4.0, 4, 4, 1]))
    assert CANARY.encode() not in image.to_bytes()
    timing = dict(re.findall(r"([a-z-]+);dur=([0-9.]+)", response.headers["Server-Timing"]))
    assert list(timing) == ["queue", "read", "find-the-brain", "register", "restore", "return", "write"]
    assert float(timing["register"]) == 250


@pytest.mark.parametrize(
    ("content", "status", "word"),
    [
        (b"", 400, "got none"),
        (b"{not json", 400, "JSON"),
        (b"\xff\xfe\x00", 400, "JSON"),
        (b"[" * 200_000, 400, "JSON"),
        (body_of("***"), 400, "base64"),
        (body_of(b"no scan" * 99), 422, "expected a NIfTI volume"),
        (body_of(""), 422, "empty"),
        (body_of(nifti(np.ones((9, 9, 9, 3), np.int16))), 422, "one 3D volume"),
        (body_of(PLAIN[:-20]), 422, "broken gzip"),
        (body_of(nifti(np.zeros((9, 9, 9), np.int16))), 422, "everywhere"),
        *((body_of(f"{place}/{CANARY}.nii.gz"), 400, "never opens") for place in PLACES),
        (body_of(PLAIN, stage="fine", steps=11), 400, "at most 10"),
    ],
    ids=lambda value: repr(value)[:30] if isinstance(value, dict | bytes) else "",
)
def test_what_is_no_request_is_refused_and_not_repeated(server, content, status, word):
    refused(server.post(content), status, word, "; ")


def test_the_same_seed_gives_the_same_answer_after_a_restart_too_and_coarse_is_the_default(server, scan, temporary):
    def ask(server=server, **columns):
        return decoded(server.post(body_of(scan, **columns)))

    answer = ask(stage="fine", seed=3)
    assert answer == ask(stage="fine", seed=3)
    assert len({answer, ask(stage="fine", seed=4), ask(stage="fine", seed=3, steps=5), ask()}) == 4
    assert ask() == ask(stage="coarse", seed=9)
    with serve(EnhancerStandIn()) as again:
        assert ask(again, stage="fine", seed=3) == answer
        again.post(body_of(scan[:500]))
        left = {path.name for path in temporary.rglob("*")}
        assert left <= {f"bmenet-{os.getuid()}", "cpu.lock"}, "nothing of a volume stays on disk"


def test_another_content_type_is_refused(server, scan):
    for content_type in ("text/csv", "application/json; charset=latin-1", "multipart/form-data", ""):
        refused(server.post(body_of(scan), **{"Content-Type": content_type}), 415, "application/json")


def test_a_server_with_a_token_answers_to_it_alone_and_tells_its_health_to_all(scan):
    token = "a-token-of-32-characters-or-so-xx"
    with serve(EnhancerStandIn(), token=token) as server:
        for wrong in (None, "", "Bearer", "Bearer no", f"Basic {token}", token, f"Bearer {token}x"):
            given = {} if wrong is None else {"Authorization": wrong}
            for response in (server.post(body_of(scan), **given), requests.get(f"{server.url}/version", headers=given)):
                refused(response, 401, "Authorization: Bearer")
                assert response.headers["WWW-Authenticate"].startswith("Bearer")
                assert token not in response.text
        for right in (f"Bearer {token}", f"bearer  {token} "):
            decoded(server.post(body_of(scan), Authorization=right))
        assert requests.get(f"{server.url}/ping", timeout=5).status_code == 200


def test_the_server_answers_to_its_own_names_and_to_no_other(scan):
    with serve(EnhancerStandIn(), hosts="scanner.example") as server:
        for host in ("localhost", "LOCALHOST:5001", "127.0.0.1:5001", "[::1]:5001", "Scanner.example:1"):
            decoded(server.post(body_of(scan), Host=host))
        for host in ("evil.example", "localhost.evil.example:80", "127.0.0.1.nip.io", "[::2]"):
            refused(server.post(body_of(scan), Host=host), 421, "BMENET_ALLOWED_HOSTS")
            refused(requests.get(f"{server.url}/version", headers={"Host": host}, timeout=5), 421)


def test_health_is_told_version_tells_the_model_and_another_method_or_path_is_not_there(server):
    for path in ("ping", "health"):
        assert requests.get(f"{server.url}/{path}", timeout=5).status_code == 200
    expected = INFO | {"device": "cpu", "stages": ["coarse", "fine"]}
    assert requests.get(f"{server.url}/version", timeout=5).json() == expected
    for method, path, allowed in (("GET", "/invocations", "POST"), ("PUT", "/ping", "GET")):
        response = requests.request(method, server.url + path, timeout=5)
        refused(response, 405)
        assert response.headers["Allow"] == allowed
    for path in ("/docs", "/", "/../etc"):
        refused(requests.get(server.url + path, timeout=5), 404)


def test_several_volumes_in_one_request_are_answered_in_order(server, scan, head):
    records = [body_of(scan)["dataframe_records"][0], body_of(nifti(head // 3))["dataframe_records"][0]]
    rows = server.post({"dataframe_records": records}).json()["predictions"]
    assert [base64.b64decode(row["nifti"]) for row in rows] == [
        decoded(server.post({"instances": [record]})) for record in records
    ]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (KeyError(CANARY), "bug (KeyError)"),
        (WeightsError("/srv/models/7/coarse.onnx: damaged\nfor {path}"), "/srv/models/7/coarse.onnx: damaged for the"),
    ],
)
def test_what_is_wrong_with_the_server_is_told_to_its_log_alone_and_it_goes_on(scan, caplog, error, told):
    class Failing(EnhancerStandIn):
        def enhance(self, scan, space="native", progress=None):
            (path,) = Path(tempfile.gettempdir()).rglob("0.nii")
            raise type(error)(str(error.args[0]).format(path=path))

    with serve(Failing()) as server, caplog.at_level("INFO", "bmenet.serving"):
        for _ in range(2):
            response = server.post(body_of(scan))
            refused(response, 500, "the server failed")
    assert "srv" not in response.text
    assert told in caplog.text
    assert "test_app.py" in caplog.text, "where it happened"
    assert CANARY not in caplog.text
    assert tempfile.gettempdir() not in caplog.text


def test_the_log_has_one_line_a_request_and_nothing_of_its_content(scan, caplog):
    payload = base64.b64encode(scan).decode()
    with serve(EnhancerStandIn()) as server, caplog.at_level("INFO"):
        server.post(body_of(scan), **{"X-Name": CANARY})
        server.post(body_of(f"../{CANARY}.nii"))
        requests.get(f"{server.url}/{CANARY}?name={CANARY}", timeout=5)
        requests.request(CANARY, f"{server.url}/ping", timeout=5)
        wait_for(lambda: "(other) /ping" in caplog.text)  # a line is written after the answer has left
    lines = [record.getMessage() for record in caplog.records if record.name == "bmenet.serving"]
    assert [re.sub(r"[0-9.]+ s$", "S", line) for line in lines] == [
        "POST /invocations 200 S",
        "POST /invocations 400 S",
        "GET (other) 404 S",
        "(other) /ping 405 S",
    ]
    ours = "".join(record.getMessage() for record in caplog.records if record.name != "uvicorn.access")
    assert CANARY.upper() not in ours.upper()
    assert payload[:40] not in ours
