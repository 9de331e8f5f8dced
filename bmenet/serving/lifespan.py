"""The end of a server: jobs are told at once, and nothing of them stays behind."""

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from types import FrameType
from typing import Any

from bmenet.serving.service import Service

_GRACE_S = 10
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Lifespan:
    """Passes the server's begin and end on, and ends the jobs with it.

    uvicorn waits for open requests before it tells the application of the end, however long they take; so its signals
    are listened to as well.

    Parameters
    ----------
    service : Service
        Closed at the end.

    Attributes
    ----------
    stopping : asyncio.Event
        Set when the server was asked to stop.
    """

    def __init__(self, service: Service) -> None:
        self.stopping = asyncio.Event()
        self._service = service
        self._jobs: set[Future[Any]] = set()

    def watch(self, job: "Future[Any]") -> None:
        """Keep count of a job as long as its thread runs."""
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)

    async def run(
        self, app: Callable[..., Awaitable[None]], scope: Any, receive: Callable[[], Awaitable[Any]], send: Any
    ) -> None:
        """Serve ASGI's scope ``lifespan``."""

        async def receive_noting() -> Any:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self._listen(asyncio.get_running_loop())
            elif message["type"] == "lifespan.shutdown":
                await self._finish()
            return message

        await app(scope, receive_noting, send)

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        """Hear the signals that the server hears; it puts the handlers of before back itself when it ends."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in _SIGNALS:
            previous = signal.getsignal(number)

            def handle(number: int, frame: FrameType | None, previous: Any = previous) -> None:
                loop.call_soon_threadsafe(self.stopping.set)
                if callable(previous):
                    previous(number, frame)

            signal.signal(number, handle)

    async def _finish(self) -> None:
        """Give the jobs a moment to end, then take their files away: the process ends next."""
        self.stopping.set()
        if jobs := [asyncio.wrap_future(job) for job in list(self._jobs)]:
            await asyncio.wait(jobs, timeout=_GRACE_S)
        self._service.close()
