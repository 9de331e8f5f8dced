"""A web server that misbehaves on demand."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest


@dataclass
class Server:
    """Files by path, and for each a list of faults: one is used up by each request."""

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, list[str]] = field(default_factory=dict)
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    """(path, Range header) of every request."""
    is_s3: bool = False
    has_ranges: bool = True


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server on a free port of this machine, asked directly."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    listener = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    listener.state = Server(f"http://127.0.0.1:{listener.server_port}")  # type: ignore[attr-defined]
    thread = Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield listener.state  # type: ignore[attr-defined]
    listener.shutdown()
    thread.join()
    listener.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        state: Server = self.server.state  # type: ignore[attr-defined]
        name = self.path.lstrip("/")
        asked = self.headers.get("Range")
        state.requests.append((name, asked))
        faults = state.faults.get(name, [])
        fault = faults.pop(0) if faults else ""
        self.close_connection = True
        if fault.isdigit():
            return self.send_error(int(fault))
        if name not in state.files:
            return self.send_error(404)
        content = state.files[name]
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and state.has_ranges else 0
        if start and start >= len(content):
            return self.send_error(416)
        body = content[start:]
        self.send_response(206 if start else 200)
        if start:
            place = start + 1 if fault == "wrong range" else start
            self.send_header("Content-Range", f"bytes {place}-{len(content) - 1}/{len(content)}")
        if fault != "no length":
            self.send_header("Content-Length", str(len(body)))
        if state.is_s3:
            self.send_header("ETag", f'"{hashlib.md5(content).hexdigest()}"')
        self.end_headers()
        if fault == "cut":
            body = body[: len(body) // 2]
        if fault == "flip":
            body = body[:-20] + bytes([body[-20] ^ 1]) + body[-19:]
        self.wfile.write(body)
        return None

    def version_string(self) -> str:
        return "AmazonS3" if self.server.state.is_s3 else "test"  # type: ignore[attr-defined]

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""
