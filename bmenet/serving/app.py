"""The ASGI application of `bmenet serve`: who may ask, how much, how long, and what the log says of it."""

import asyncio
import hmac
import json
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.types import Message, Receive, Scope, Send

from bmenet.serving.jobs import Cancel, too_late
from bmenet.serving.request import CLIENT_GONE, Refusal, as_refusal, parse_body
from bmenet.serving.service import Service, as_rows
from bmenet.serving.settings import Settings

METHODS = {"/invocations": "POST", "/version": "GET", "/ping": "GET", "/health": "GET"}
_METHODS_TOLD = ("GET", "HEAD", "POST", "PUT", "OPTIONS")
_LINGER_S = 5
_SAFE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

_logger = logging.getLogger("bmenet.serving")


class Guard:
    """Answer ``/invocations`` and ``/version`` from a service; ``/ping`` and ``/health`` as MLflow does.

    A place in the queue is taken before a body is read, so that the memory is bounded by their number. A client that
    hangs up, the time limit and `stop` cancel the job; its place is free when its thread has ended.
    """

    def __init__(self, service: Service) -> None:
        self._service, self._settings = service, service.settings
        self._threads = ThreadPoolExecutor(self._settings.max_waiting + 1, "bmenet-job")
        self._parsing = threading.Lock()
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Answer every open request with 503; to be called in the thread of the event loop."""
        self._stopping.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, with one line in the log: neither its content nor any name is in it."""
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        start, status, is_body_due = time.perf_counter(), CLIENT_GONE, True

        async def receive_noting() -> Message:
            nonlocal is_body_due
            message = await receive()
            is_body_due = message["type"] == "http.request" and message.get("more_body", False)
            return message

        async def send_noting(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            if is_body_due and "body" in message:  # the client is heard out below, or it would not see the answer
                message = {**message, "more_body": True}
            await send(message)

        try:
            response = await self._answer(HttpRequest(scope, receive_noting))
        except ClientDisconnect:
            response = None  # nobody is left to read one
        except Exception as error:
            refusal = as_refusal(error)
            content = {"error_code": refusal.error_code, "message": str(refusal)}
            response = JSONResponse(content, refusal.status, {**_SAFE, **refusal.headers, "Connection": "close"})
        try:
            if response is not None:
                await response(scope, receive_noting, send_noting)
                if is_body_due:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(0 if status == 408 else _LINGER_S):
                            while is_body_due:
                                await receive_noting()
                    await send({"type": "http.response.body", "body": b""})
        finally:
            path = scope["path"] if scope["path"] in METHODS else "(other)"
            method = scope["method"] if scope["method"] in _METHODS_TOLD else "(other)"  # any word may stand there
            _logger.info("%s %s %d %.3f s", method, path, status, time.perf_counter() - start)

    async def _answer(self, request: HttpRequest) -> Response:
        """Check who asks for what, and answer it."""
        _check_host(request, self._settings)
        path = request.scope["path"]
        if path not in METHODS:
            raise Refusal(404, f"expected one of {', '.join(METHODS)}; got another path; post volumes to /invocations")
        if request.method != (method := METHODS[path]):
            raise Refusal(405, f"{path}: expected {method}; got another method; use {method}", {"Allow": method})
        if path in ("/ping", "/health"):
            return Response("\n", headers=_SAFE, media_type="application/json")
        _check_token(request, self._settings)
        if path == "/version":
            return JSONResponse(self._service.info, headers=_SAFE)
        _check_headers(request, self._settings)
        content, timing = await self._work(request)
        return Response(content, headers={**_SAFE, "Server-Timing": timing}, media_type="application/json")

    async def _work(self, request: HttpRequest) -> tuple[bytes, str]:
        """Read the body and run the job; cancel it, and say why, when nobody waits for it or the time is over."""
        jobs, cancel = self._service.jobs, Cancel(self._settings.job_timeout_s)
        jobs.take_place()
        try:
            job = self._threads.submit(self._job, await _read_body(request, self._settings), cancel)
        except BaseException:
            jobs.give_place()
            raise
        job.add_done_callback(lambda _job: jobs.give_place())
        work = asyncio.wrap_future(job)
        work.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may be left to ask for it
        gone = asyncio.create_task(_disconnected(request))
        stopping = asyncio.create_task(self._stopping.wait())
        reason = Refusal(503, "expected a running server; got one that was stopped; try again when it runs")
        limit_s = self._settings.job_timeout_s
        try:
            watched: set[asyncio.Future[Any]] = {work, gone, stopping}
            await asyncio.wait(watched, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return work.result()
            if gone.done():
                reason = Refusal(CLIENT_GONE, "the client is gone")
                raise ClientDisconnect
            if not stopping.done():
                reason = too_late(limit_s)
            raise reason
        finally:
            cancel(reason)  # also where the server drops this task; a job that has ended does not mind
            gone.cancel()
            stopping.cancel()

    def _job(self, body: bytearray, cancel: Cancel) -> tuple[bytes, str]:
        """Run in a thread of its own: from the body to the body of the answer and its header ``Server-Timing``."""
        with self._parsing:  # text, JSON and volume of a large body lie in memory together
            requests = parse_body(body, self._settings)
        body.clear()  # the volumes are out of it, and the queue may be long
        volumes, timings = self._service.run(requests, cancel)
        timing = ", ".join(f"{step.replace(' ', '-')};dur={1000 * seconds:.1f}" for step, seconds in timings.items())
        return json.dumps({"predictions": as_rows(volumes)}).encode(), timing


def _check_host(request: HttpRequest, settings: Settings) -> None:
    """Refuse, with 421, a Host that is not the server's own: a web page may have bent its name to this machine."""
    try:
        name = request.url.hostname
    except ValueError:
        name = None
    if name not in settings.hosts:
        raise Refusal(
            421,
            "expected a Host that this server goes by; got another one; call it localhost, or set BMENET_ALLOWED_HOSTS"
            " to the names and addresses that clients use",
        )


def _check_token(request: HttpRequest, settings: Settings) -> None:
    """Refuse, with 401, a request without the token, where there is one; in constant time."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    is_same = hmac.compare_digest(token.strip().encode("latin-1"), (settings.token or "").encode())
    if settings.token is not None and (scheme.lower() != "bearer" or not is_same):
        raise Refusal(
            401,
            "expected the server's token as `Authorization: Bearer TOKEN`; got none, or another one; ask whoever runs"
            " the server",
            {"WWW-Authenticate": 'Bearer realm="bmenet"'},
        )


def _check_headers(request: HttpRequest, settings: Settings) -> None:
    """Refuse by the headers alone: another type (415), or more bytes than are taken (413)."""
    content_type = request.headers.get("content-type", "").lower().replace(" ", "").replace('"', "")
    if content_type.rstrip(";") not in ("application/json", "application/json;charset=utf-8"):
        raise Refusal(
            415, "expected Content-Type application/json, UTF-8; got another one, or none; send the volume as JSON"
        )
    with suppress(ValueError):
        if int(request.headers.get("content-length", "0")) > settings.max_body_bytes:
            raise _too_large(settings)


async def _read_body(request: HttpRequest, settings: Settings) -> bytearray:
    """Return the whole body; refuse one that is longer than it may be (413), takes too long (408) or is none (400)."""
    body = bytearray()
    try:
        async with asyncio.timeout(settings.body_timeout_s):
            async for chunk in request.stream():
                if len(body) + len(chunk) > settings.max_body_bytes:
                    raise _too_large(settings)
                body += chunk
    except TimeoutError:
        raise Refusal(
            408,
            f"expected the whole body within {settings.body_timeout_s} s (BMENET_BODY_TIMEOUT_S); got a part of it;"
            " send .nii.gz, or let the server wait longer",
        ) from None
    if not body:
        raise Refusal(400, "expected a JSON body; got none; send the volume in it")
    return body


async def _disconnected(request: HttpRequest) -> None:
    """Return when the client has hung up."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _too_large(settings: Settings) -> Refusal:
    return Refusal(
        413,
        f"expected a body of at most {settings.max_body_mb} MB (BMENET_MAX_BODY_MB); got more; send .nii.gz, or raise"
        " the limit where the server starts",
    )
