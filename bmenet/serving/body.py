"""The body of a request, taken in only as far as the limits go."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from bmenet.serving.access import Headers
from bmenet.serving.limits import Limits
from bmenet.serving.refusal import CLIENT_GONE, Refusal

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]

_LINGER_S = 5


def check_headers(headers: Headers, limits: Limits) -> None:
    """Refuse what the headers alone tell: another type (415), or more bytes than are taken (413)."""
    content_type, *parameters = (headers.get("content-type") or [""])[0].lower().replace(" ", "").split(";")
    is_utf8 = all(parameter in ("", "charset=utf-8", 'charset="utf-8"') for parameter in parameters)
    if content_type != "application/json" or not is_utf8:
        raise Refusal(
            415, "expected Content-Type application/json, UTF-8; got another one, or none; send the volume as JSON"
        )
    if headers.get("content-encoding", ["identity"]) != ["identity"]:
        raise Refusal(415, "expected a body without Content-Encoding; got one; send .nii.gz: that is packed already")
    with suppress(ValueError):
        if int((headers.get("content-length") or ["0"])[0]) > limits.body_bytes:
            raise _too_large(limits)


async def read_body(receive: Receive, limits: Limits) -> bytearray:
    """Return the whole body.

    Raises
    ------
    Refusal
        413 as soon as it is longer than it may be, 408 if it takes too long, 400 if there is none.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(limits.body_timeout_s):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Refusal(CLIENT_GONE, "the client is gone")
                chunk = message.get("body", b"")
                if len(body) + len(chunk) > limits.body_bytes:
                    raise _too_large(limits)
                body += chunk
                if not message.get("more_body", False):
                    break
    except TimeoutError:
        raise Refusal(
            408,
            f"expected the whole body within {limits.body_timeout_s} s (BMENET_BODY_TIMEOUT_S); got a part of it; send"
            " .nii.gz, or let the server wait longer",
        ) from None
    if not body:
        raise Refusal(400, "expected a JSON body; got none; send the volume in it")
    return body


async def discard_rest(receive: Receive) -> None:
    """Take in and forget what is still on its way, for a moment: many clients read no answer while they send."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_LINGER_S):
            while (message := await receive())["type"] == "http.request" and message.get("more_body", False):
                pass


async def client_gone(receive: Receive) -> None:
    """Return when the client has hung up."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _too_large(limits: Limits) -> Refusal:
    return Refusal(
        413,
        f"expected a body of at most {limits.body_bytes} bytes (BMENET_MAX_BODY_MB); got more; send .nii.gz, or raise"
        " the limit where the server starts",
    )
