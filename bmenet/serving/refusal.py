"""Answers that are no volume: a status and one JSON line that says what was expected, what was got and what to do."""

from collections.abc import Sequence

from bmenet.runtime.errors import BMENetError

CLIENT_GONE = 499
"""What proxies write into their log for it; nobody is left to send it to."""

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
        Of HTTP.
    message : str
    headers : sequence of (str, str)
        To be sent with it.
    """

    def __init__(self, status: int, message: str, headers: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.headers = tuple(headers)

    @property
    def error_code(self) -> str:
        """The name that MLflow's clients know the kind of error by."""
        return _CODES.get(self.status, "BAD_REQUEST")
