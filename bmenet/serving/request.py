"""Turn the JSON of MLflow's clients into checked requests, or refuse it; no path and no URL is ever opened."""

import base64
import json
import logging
import traceback
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from bmenet.runtime.errors import BMENetError
from bmenet.serving.settings import Settings

Stage = Literal["coarse", "fine"]
FORMS = ("dataframe_split", "dataframe_records", "inputs", "instances")
MAX_VOLUMES = 16
"""In one request."""
CLIENT_GONE = 499
"""The status that proxies log for it; it is never sent."""

_ERROR_CODES = {
    400: "INVALID_PARAMETER_VALUE",
    401: "UNAUTHENTICATED",
    404: "ENDPOINT_NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    413: "REQUEST_LIMIT_EXCEEDED",
    422: "INVALID_PARAMETER_VALUE",
    500: "INTERNAL_ERROR",
    503: "TEMPORARILY_UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_PATH_SIGNS = ("/", ".", "~", "\\")
_EXAMPLE = '{"dataframe_split": {"columns": ["nifti"], "data": [["<base64 of a .nii or .nii.gz file>"]]}}'

_logger = logging.getLogger("bmenet.serving")


class Refusal(BMENetError):
    """An answer without a volume: a status, and what was expected, what was got and what to do.

    The message never repeats what the client sent. `headers` are HTTP headers of the answer.
    """

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})

    @property
    def error_code(self) -> str:
        """The name of this kind of error in MLflow's API."""
        return _ERROR_CODES.get(self.status, "BAD_REQUEST")


def as_refusal(error: Exception) -> Refusal:
    """Return what a client is told of an error; one that is no refusal is the server's, told to its log alone."""
    if isinstance(error, Refusal):
        return error
    lines = "".join(traceback.format_tb(error.__traceback__))
    # The text of an error that is not our own could hold what the client sent.
    text = f"failure: {' '.join(str(error).split())}" if isinstance(error, BMENetError) else "bug"
    _logger.error("%s (%s)\n%s", text, type(error).__name__, lines)
    return Refusal(500, "the server failed; its log tells where; report it, or try another volume")


def _decode(text: Any) -> bytes:
    """Return the bytes that base64 text stands for, strictly."""
    try:
        return base64.b64decode(text, validate=True)
    except (TypeError, ValueError):
        got = "something else"
        if isinstance(text, str) and (
            "://" in text[:16] or text.startswith(_PATH_SIGNS) or text.endswith((".nii", ".gz"))
        ):
            got = "what looks like a path or a URL, which this server never opens"
        advice = "send the bytes of a .nii or .nii.gz file as base64 (RFC 4648, without line breaks)"
        raise _invalid("nifti to be base64", got, advice) from None


class Request(BaseModel):
    """One volume to be enhanced.

    `nifti` are the bytes of a .nii or .nii.gz file, in JSON as base64; nothing in them is checked yet. `steps` are the
    sampler's, only with the stage ``fine``; `seed` is of the second stage's noise. With `keep_field` the scan keeps its
    field, with `only_brain` all but the brain, as of `Enhancer`.
    """

    model_config = ConfigDict(frozen=True)

    nifti: Annotated[bytes, BeforeValidator(_decode)]
    stage: Stage = "coarse"
    steps: int | None = Field(None, ge=1, le=1000)
    seed: int = Field(0, ge=0, le=2**63 - 1)
    keep_field: bool = False
    only_brain: bool = False


def parse_body(body: bytes | bytearray, settings: Settings) -> list[Request]:
    """Read the body of a call of ``/invocations``: one of MLflow's four documented forms.

    Raises
    ------
    Refusal
        If it is not JSON, has none of the forms, or holds a record that is no request.
    """
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        raise _invalid("JSON (UTF-8)", "something else", f"send {_EXAMPLE}") from None
    found = [form for form in FORMS if form in content] if isinstance(content, dict) else []
    if len(found) != 1 or set(content) - {*FORMS, "params"} or content.get("params"):
        expected = f"a JSON object with one of the keys {', '.join(FORMS)}"
        raise _invalid(expected, f"{len(found)} of them, or others beside", f"send {_EXAMPLE}")
    try:
        records = _records(found[0], content[found[0]])
    except (KeyError, TypeError, ValueError):
        raise _invalid(f"{found[0]} to be a table of volumes", "something else", f"send {_EXAMPLE}") from None
    return parse_records(records, settings)


def parse_records(records: Sequence[Mapping[str, Any]], settings: Settings) -> list[Request]:
    """Turn records, column to value, into requests; None and NaN stand for a value that is not given.

    Raises
    ------
    Refusal
        If a record is no request, or there are none or more than `MAX_VOLUMES`.
    """
    if not 1 <= len(records) <= MAX_VOLUMES:
        raise _invalid(f"1 to {MAX_VOLUMES} volumes in a request", str(len(records)), "send one volume a request")
    return [_request(record, settings) for record in records]


def _records(form: str, content: Any) -> list[dict[str, Any]]:
    """Return the records of one of the forms; any of three errors means that it is none."""
    if form == "dataframe_split":
        columns = content["columns"]
        if len(set(columns)) < len(columns) or set(content) - {"columns", "data", "index"}:
            raise ValueError
        return [dict(zip(columns, row, strict=True)) for row in content["data"]]
    if form == "inputs" and isinstance(content, dict):
        table = [value if isinstance(value, list) else [value] for value in content.values()]
        return [dict(zip(content, row, strict=True)) for row in zip(*table, strict=True)]
    if not isinstance(content, list) or not all(isinstance(record, dict) for record in content):
        raise TypeError
    return content


def _request(record: Mapping[str, Any], settings: Settings) -> Request:
    """Check one record."""
    given = {name: value for name, value in record.items() if value is not None and value == value}  # without NaN
    if unknown := len(set(record) - set(Request.model_fields)):
        raise _invalid(f"the columns {', '.join(Request.model_fields)}", f"{unknown} others", "leave them out")
    if isinstance(text := given.get("nifti"), str) and len(text) > settings.max_body_bytes:
        raise Refusal(
            413,
            f"nifti: expected at most {settings.max_body_bytes} characters (BMENET_MAX_BODY_MB); got {len(text)};"
            " send .nii.gz, or crop the volume",
        )
    try:
        request = Request.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        expected = f"{first['loc'][0]}: {first['msg'].removeprefix('Input should be ')}"
        raise _invalid(expected, "another value, or none", "change it or leave it out") from None
    if request.steps is not None and request.stage != "fine":
        raise _invalid("steps with the stage fine only", "steps for the coarse stage", "leave them out, or send stage")
    return request


def _invalid(expected: str, got: str, advice: str) -> Refusal:
    return Refusal(400, f"expected {expected}; got {got}; {advice}")
