"""Under pressure: bodies that are too long or too slow, jobs that take too long, clients that leave, many at once."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.serving.stand_in import EnhancerStandIn, Gate, body_of, decoded, refused, serve, wait_for


def _head(length):
    """Return the beginning of a request whose body is to come."""
    lines = ["POST /invocations HTTP/1.1", "Host: localhost", "Content-Type: application/json"]
    return "\r\n".join([*lines, f"Content-Length: {length}", "", ""]).encode()


def test_a_body_that_is_too_long_is_refused_whoever_sends_it():
    size = 20_000_000  # more than the buffers between the two hold
    headers = {"Content-Type": "application/json"}
    with serve(EnhancerStandIn(), max_body_mb=1) as server:
        refused(server.post(b" " * 1_000_001), 413, "at most 1 MB", "BMENET_MAX_BODY_MB")
        growing = iter([b" " * 700_000] * 3)
        answer = requests.post(f"{server.url}/invocations", data=growing, headers=headers, timeout=9)
        refused(answer, 413, "at most 1 MB")
        # Its header alone says it; and a client that reads only after it has sent everything.
        for sent in (_head(2**40), _head(size) + b" " * size):
            with socket.create_connection(("127.0.0.1", server.port), timeout=5) as client:
                client.sendall(sent)
                assert client.recv(65536).startswith(b"HTTP/1.1 413")


def test_a_slow_client_is_refused_and_others_are_served_meanwhile(scan):
    with (
        serve(EnhancerStandIn(), body_timeout_s=1) as server,
        socket.create_connection(("127.0.0.1", server.port)) as slow,
    ):
        slow.sendall(_head(100) + b"{")
        decoded(server.post(body_of(scan)))
        slow.settimeout(5)
        answer = ""
        while "BMENET_BODY_TIMEOUT_S" not in answer:  # headers and body may come apart
            answer += (more := slow.recv(65536).decode())
            assert more
        assert answer.startswith("HTTP/1.1 408")


def test_a_job_that_takes_too_long_is_cancelled_and_the_answer_names_the_option(scan):
    with serve(EnhancerStandIn(Gate()), job_timeout_s=1) as server:
        start = time.monotonic()
        refused(server.post(body_of(scan)), 504, "within 1 s", "mlflow models serve -t")
        assert time.monotonic() - start < 4
        wait_for(lambda: server.gate.running == 0)
        assert server.gate.finished == 0
        server.gate.is_open.set()
        decoded(server.post(body_of(scan)))


def test_a_client_that_hangs_up_ends_its_job_or_leaves_the_queue(gated, scan):
    with pytest.raises(requests.ReadTimeout):
        gated.post(body_of(scan), timeout=0.5)
    wait_for(lambda: gated.gate.started.is_set() and gated.gate.running == 0)
    assert gated.gate.finished == 0
    gated.gate.started.clear()
    with ThreadPoolExecutor(4) as threads:
        first = threads.submit(gated.post, body_of(scan))
        gated.gate.started.wait(5)
        for _ in range(4):  # more than have room at once
            with pytest.raises(requests.ReadTimeout):
                gated.post(body_of(scan), timeout=0.3)
            time.sleep(0.2)
        gated.gate.is_open.set()
        decoded(first.result())
    assert gated.gate.finished == 1


def test_a_full_queue_is_told_at_once_with_a_time_to_come_back(gated, scan):
    with ThreadPoolExecutor(4) as threads:
        accepted = [threads.submit(gated.post, body_of(scan)) for _ in range(3)]
        gated.gate.started.wait(5)
        time.sleep(0.3)
        response = gated.post(body_of(scan), timeout=5)
        refused(response, 503, "BMENET_MAX_WAITING")
        assert int(response.headers["Retry-After"]) > 0
        assert requests.get(f"{gated.url}/ping", timeout=5).status_code == 200
        gated.gate.is_open.set()
        for answer in accepted:
            decoded(answer.result())
    assert gated.gate.most_running == 1


def test_eight_at_once_are_all_answered_one_after_another(scan):
    with serve(EnhancerStandIn(Gate())) as server, ThreadPoolExecutor(8) as threads:
        server.gate.is_open.set()
        ask = [threads.submit(server.post, body_of(scan, stage="fine", seed=seed)) for seed in range(8)]
        assert len({decoded(answer.result()) for answer in ask}) == 8
    assert (server.gate.most_running, server.gate.finished) == (1, 8)
