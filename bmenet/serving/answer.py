"""What goes back to the client: JSON, and how long each step took."""

import base64
import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from bmenet.serving.body import Receive, discard_rest
from bmenet.serving.refusal import Refusal
from bmenet.serving.service import Result

Send = Callable[[dict[str, Any]], Awaitable[None]]


def predictions(volumes: Sequence[bytes]) -> bytes:
    """Return the answer of ``/invocations`` as MLflow has it."""
    rows = [{"nifti": base64.b64encode(volume).decode()} for volume in volumes]
    return json.dumps({"predictions": rows}).encode()


def server_timing(timings: Mapping[str, float]) -> str:
    """Return the header ``Server-Timing`` (W3C): names as tokens, durations in ms."""
    return ", ".join(f"{re.sub(r'[^a-z]+', '-', name)};dur={1000 * seconds:.1f}" for name, seconds in timings.items())


async def send_result(send: Send, body: bytes, result: Result) -> None:
    """Send enhanced volumes."""
    await _send(send, 200, body, [("Server-Timing", server_timing(result.timings))])


async def send_json(send: Send, status: int, content: Mapping[str, Any]) -> None:
    """Send a JSON object."""
    await _send(send, status, json.dumps(content).encode())


async def send_refusal(send: Send, receive: Receive, refusal: Refusal, is_body_due: bool) -> None:
    """Send why there is no volume; the connection ends with it, for there may be a body that nobody reads.

    Parameters
    ----------
    is_body_due : bool
        Whether a client may be sending still: it is listened to for a moment, or it would not see the answer.
    """
    content = json.dumps({"error_code": refusal.error_code, "message": str(refusal)}).encode()
    headers = [*refusal.headers, ("Connection", "close")]
    await _send(send, refusal.status, content, headers, more_body=is_body_due)
    if is_body_due:
        await discard_rest(receive)
        await send({"type": "http.response.body", "body": b""})


async def _send(
    send: Send, status: int, body: bytes, headers: Sequence[tuple[str, str]] = (), more_body: bool = False
) -> None:
    """Send one answer."""
    lines = [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
        *headers,
    ]
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in lines]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body, "more_body": more_body})
