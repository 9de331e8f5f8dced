"""The ASGI application that stands before MLflow's: who may ask, how much, how long, and what is told of it."""

import asyncio
import logging
import time
import traceback
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from bmenet.runtime.errors import BMENetError
from bmenet.serving.access import check_host, check_token, read_headers
from bmenet.serving.answer import Send, predictions, send_json, send_refusal, send_result
from bmenet.serving.body import Message, Receive, check_headers, client_gone, read_body
from bmenet.serving.jobs import Cancel
from bmenet.serving.lifespan import Lifespan
from bmenet.serving.refusal import CLIENT_GONE, Refusal
from bmenet.serving.request import parse_body
from bmenet.serving.service import Result, Service

Scope = dict[str, Any]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

METHODS = {"/invocations": "POST", "/version": "GET", "/ping": "GET", "/health": "GET"}
_PASSED_ON = ("/ping", "/health")

_logger = logging.getLogger("bmenet.serving")


class Guard:
    """Answers ``/invocations`` and ``/version`` itself, and lets ``/ping`` and ``/health`` through.

    A place in the queue is taken before a body is read, so that the memory is bounded by their number. A client that
    hangs up, the time limit and the server's end cancel the job; its place is free when its thread has ended.

    Parameters
    ----------
    app : ASGI application
        That of MLflow.
    service : Service
    """

    def __init__(self, app: App, service: Service) -> None:
        self._app = app
        self._service = service
        self._limits = service.limits
        self._threads = ThreadPoolExecutor(service.limits.waiting + 1, "bmenet-job")
        self._parser = ThreadPoolExecutor(1, "bmenet-parser")
        self._lifespan = Lifespan(service)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, with one line in the log: neither its content nor any name is in it."""
        if scope["type"] == "lifespan":
            await self._lifespan.run(self._app, scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        start, status = time.perf_counter(), 500
        is_body_due = True

        async def receive_body() -> Message:
            nonlocal is_body_due
            message = await receive()
            is_body_due = message["type"] == "http.request" and message.get("more_body", False)
            return message

        async def send_noting(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            try:
                await self._answer(scope, receive_body, send_noting)
            except Refusal:
                raise
            except Exception as error:
                _log_failure(error)
                raise Refusal(500, "the server failed; its log tells where; report it, or try another volume") from None
        except Refusal as refusal:
            if refusal.status == CLIENT_GONE:
                status = CLIENT_GONE
            else:
                await send_refusal(send_noting, receive, refusal, is_body_due and refusal.status != 408)
        finally:
            path = scope["path"] if scope["path"] in METHODS else "(other)"
            method = scope["method"] if scope["method"] in ("GET", "HEAD", "POST", "PUT", "OPTIONS") else "(other)"
            _logger.info("%s %s %d %.3f s", method, path, status, time.perf_counter() - start)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check who asks for what, and answer it."""
        headers, path = read_headers(scope), scope["path"]
        check_host(scope, headers, self._limits)
        if path not in METHODS:
            raise Refusal(404, f"expected one of {', '.join(METHODS)}; got another path; post volumes to /invocations")
        if scope["method"] != (method := METHODS[path]):
            raise Refusal(405, f"{path}: expected {method}; got another method; use {method}", [("Allow", method)])
        if path in _PASSED_ON:
            await self._app(scope, receive, send)
            return
        check_token(headers, self._limits)
        if path == "/version":
            await send_json(send, 200, self._service.info)
            return
        check_headers(headers, self._limits)
        body, result = await self._work(receive)
        await send_result(send, body, result)

    async def _work(self, receive: Receive) -> tuple[bytes, Result]:
        """Read the body and run the job, as long as somebody waits for it and the time is not over."""
        jobs, cancel = self._service.jobs, Cancel()
        jobs.take_place()
        try:
            body = await read_body(receive, self._limits)
            future = self._threads.submit(self._job, body, cancel)
        except BaseException:
            jobs.give_place()
            raise
        future.add_done_callback(lambda _future: jobs.give_place())
        del body
        self._lifespan.watch(future)
        return await self._wait(future, cancel, receive)

    async def _wait(self, future: "Future[tuple[bytes, Result]]", cancel: Cancel, receive: Receive) -> Any:
        """Return the job's result, or cancel it and say why."""
        work = asyncio.wrap_future(future)
        work.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may be left to ask for it
        gone = asyncio.create_task(client_gone(receive))
        stopping = asyncio.create_task(self._lifespan.stopping.wait())
        reason = Refusal(503, "expected a running server; got one that was stopped; try again when it runs")
        limit_s = self._limits.job_timeout_s
        try:
            watched: set[asyncio.Future[Any]] = {work, gone, stopping}
            done, _ = await asyncio.wait(watched, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
            if work in done:
                return work.result()
            if gone in done:
                reason = Refusal(CLIENT_GONE, "the client is gone")
            elif stopping not in done:
                reason = Refusal(
                    504,
                    f"expected an answer within {limit_s} s, waiting included; the job took longer and is cancelled;"
                    " start the server with a longer time (`mlflow models serve -t SECONDS`) or ask for fewer steps",
                )
            raise reason
        finally:
            cancel(reason)  # also where the server drops this task; a job that has ended does not mind
            gone.cancel()
            stopping.cancel()

    def _job(self, body: bytearray, cancel: Cancel) -> tuple[bytes, Result]:
        """Run in a thread of its own: from the body to the answer."""
        # One at a time: text, JSON and volume of a large body lie in memory together while it is read.
        requests = self._parser.submit(parse_body, body, self._limits).result()
        body.clear()  # the volumes are out of it, and the queue may be long
        result = self._service.run(requests, cancel)
        return predictions(result.volumes), result


def _log_failure(error: BaseException) -> None:
    """Log where an error came from, and the text of our own; that of others could hold what the client sent."""
    lines = "".join(traceback.format_tb(error.__traceback__))
    if isinstance(error, BMENetError):
        _logger.error("failure: %s: %s\n%s", type(error).__name__, " ".join(str(error).split()), lines)
    else:
        _logger.error("bug: %s\n%s", type(error).__name__, lines)
