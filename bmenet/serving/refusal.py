"""Answers without a volume: a status, and one line with what was expected, what was got and what to do."""

import logging
import traceback
from collections.abc import Mapping

from bmenet.runtime.errors import BMENetError

CLIENT_GONE = 499
"""The status that proxies log for it; it is never sent."""

_logger = logging.getLogger("bmenet.serving")
_CODES = {
    400: "INVALID_PARAMETER_VALUE",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "ENDPOINT_NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    413: "REQUEST_LIMIT_EXCEEDED",
    422: "INVALID_PARAMETER_VALUE",
    500: "INTERNAL_ERROR",
    503: "TEMPORARILY_UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class Refusal(BMENetError):
    """A request is not answered with a volume. The message never repeats what the client sent.

    Parameters
    ----------
    status : int
        HTTP status.
    message : str
    headers : dict of str, optional
        HTTP headers of the answer.
    """

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})

    @property
    def error_code(self) -> str:
        """The name of this kind of error in MLflow's API."""
        return _CODES.get(self.status, "BAD_REQUEST")


def as_refusal(error: Exception) -> Refusal:
    """Return what a client is told of an error; one that is no refusal is the server's, told to its log alone."""
    if isinstance(error, Refusal):
        return error
    lines = "".join(traceback.format_tb(error.__traceback__))
    # The text of an error that is not our own could hold what the client sent.
    text = f"failure: {' '.join(str(error).split())}" if isinstance(error, BMENetError) else "bug"
    _logger.error("%s (%s)\n%s", text, type(error).__name__, lines)
    return Refusal(500, "the server failed; its log tells where; report it, or try another volume")
