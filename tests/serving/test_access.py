"""Who may ask, for every address that a server can be bound to: ASGI without a socket."""

import asyncio
import json
from dataclasses import replace

import pytest

from bmenet.serving import Guard, Limits, Service
from tests.serving.stand_in import INFO, EnhancerStandIn, body_of, mlflow_app

TOKEN = "a-token-of-32-characters-or-so-xx"
LAN = "192.0.2.7"


@pytest.fixture
def ask(scan):
    """Return a function that asks a guard: status, headers, JSON of the answer."""

    def ask(limits=None, path="/invocations", host="localhost:5001", server="127.0.0.1", token=None, **extra):
        service = Service(EnhancerStandIn(), limits or Limits(), INFO)
        headers = [(b"content-type", b"application/json")]
        headers += [(b"host", name.encode()) for name in ([host] if isinstance(host, str) else host)]
        headers += [(b"authorization", token.encode())] if token is not None else []
        method = "POST" if path == "/invocations" else "GET"
        scope = {"type": "http", "method": method, "path": path, "headers": headers, "server": (server, 5001)} | extra
        to_come = [{"type": "http.request", "body": json.dumps(body_of(scan)).encode(), "more_body": False}]
        sent = []

        async def receive():
            if to_come:
                return to_come.pop()
            return await asyncio.Event().wait()

        async def send(message):
            sent.append(message)

        asyncio.run(Guard(mlflow_app, service)(scope, receive, send))
        service.close()
        body = b"".join(message.get("body", b"") for message in sent[1:])
        return sent[0]["status"], dict(sent[0]["headers"]), json.loads(body or b"null") if body.strip() else None

    return ask


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:5001", "127.0.0.1:5001", "[::1]:5001"])
@pytest.mark.parametrize("server", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_this_machine_may_ask_without_a_token(ask, host, server):
    assert ask(host=host, server=server)[0] == 200


@pytest.mark.parametrize("path", ["/invocations", "/version", "/ping"])
@pytest.mark.parametrize("server", [LAN, "0.0.0.0", "::", "2001:db8::1", "", None])
def test_beyond_loopback_nobody_may_ask_a_server_without_a_token(ask, path, server):
    status, _, content = ask(path=path, server=server)
    assert status == 403
    assert content["error_code"] == "PERMISSION_DENIED"
    assert "BMENET_TOKEN" in content["message"]


def test_a_server_whose_address_is_unknown_counts_as_beyond_loopback(ask):
    assert ask(extra=None, **{"server": "x"})[0] == 403


@pytest.mark.parametrize("token", [None, "", "Bearer", "Bearer no", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x"])
@pytest.mark.parametrize("path", ["/invocations", "/version"])
def test_a_missing_or_wrong_token_is_refused_with_the_scheme(ask, path, token):
    limits = replace(Limits(token=TOKEN), hosts=frozenset({LAN}))
    status, headers, content = ask(limits, path, LAN, LAN, token)
    assert status == 401
    assert headers[b"www-authenticate"].startswith(b"Bearer")
    assert content["error_code"] == "UNAUTHENTICATED"
    assert TOKEN not in content["message"]


@pytest.mark.parametrize("token", [f"Bearer {TOKEN}", f"bearer  {TOKEN} "])
def test_the_token_opens_the_server_beyond_loopback(ask, token):
    limits = Limits.from_environment({"BMENET_TOKEN": TOKEN, "BMENET_ALLOWED_HOSTS": f"scanner.example, {LAN}"})
    assert ask(limits, "/invocations", f"{LAN}:5001", LAN, token)[0] == 200
    assert ask(limits, "/version", "Scanner.Example", LAN, token)[0] == 200


def test_health_needs_no_token(ask):
    assert ask(Limits(token=TOKEN), "/ping")[0] == 200


@pytest.mark.parametrize("path", ["/invocations", "/version", "/ping"])
@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example:80", "127.0.0.1.nip.io", "[::2]", "", "["])
def test_a_host_that_the_server_does_not_go_by_is_refused(ask, path, host):
    status, _, content = ask(path=path, host=host)
    assert status == 421
    assert "BMENET_ALLOWED_HOSTS" in content["message"]
    assert "evil" not in content["message"]


@pytest.mark.parametrize("host", [[], ["localhost", "evil.example"]])
def test_no_host_or_two_are_refused(ask, host):
    assert ask(host=host)[0] == 400


def test_a_websocket_is_closed(ask):
    sent = []

    async def send(message):
        sent.append(message)

    service = Service(EnhancerStandIn(), Limits(), INFO)
    asyncio.run(Guard(mlflow_app, service)({"type": "websocket", "path": "/invocations"}, None, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]
