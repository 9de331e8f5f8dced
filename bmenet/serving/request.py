"""From the JSON that MLflow's clients send to checked requests; no path and no URL is ever opened."""

import base64
import binascii
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bmenet.serving.limits import Limits
from bmenet.serving.refusal import Refusal

Stage = Literal["coarse", "fine"]
COLUMNS = ("nifti", "stage", "steps", "seed")
FORMS = ("dataframe_split", "dataframe_records", "inputs", "instances")
MAX_VOLUMES = 16
"""In one request."""

_MAX_STEPS = 1000
_MAX_SEED = 2**63 - 1
_PATH_SIGNS = ("/", ".", "~", "\\")
_EXAMPLE = '{"dataframe_split": {"columns": ["nifti"], "data": [["<base64 of a .nii or .nii.gz file>"]]}}'


@dataclass(frozen=True)
class Request:
    """One volume to be enhanced.

    Parameters
    ----------
    nifti : bytes
        Of a .nii or .nii.gz file; nothing in them is checked yet.
    stage : {"coarse", "fine"}
    steps : int, optional
        Of the sampler; only with the stage ``fine``.
    seed : int
        Of the second stage's noise.
    """

    nifti: bytes
    stage: Stage = "coarse"
    steps: int | None = None
    seed: int = 0


def parse_body(body: bytes | bytearray, limits: Limits) -> list[Request]:
    """Read the body of a call of ``/invocations``: one of MLflow's four documented forms.

    Raises
    ------
    Refusal
        If it is not JSON, not of one of the forms, or holds what is no request.
    """
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        raise _invalid("JSON (UTF-8)", "something else", f"send {_EXAMPLE}") from None
    if not isinstance(content, dict):
        raise _invalid("a JSON object", _kind(content), f"send {_EXAMPLE}")
    found = [form for form in FORMS if form in content]
    others = set(content) - set(FORMS) - {"params"}
    if len(found) != 1 or others or content.get("params"):
        got = f"{len(found)} of these keys and {len(others)} others" + (", and params" if content.get("params") else "")
        raise _invalid(f"a JSON object with one of the keys {', '.join(FORMS)}", got, f"send {_EXAMPLE}")
    return parse_records(_records(found[0], content[found[0]]), limits)


def parse_records(records: Sequence[Mapping[str, Any]], limits: Limits) -> list[Request]:
    """Turn records, column to value, into requests; None and NaN stand for a value that is not given.

    Raises
    ------
    Refusal
        If a record is no request, or there are none or more than `MAX_VOLUMES`.
    """
    if not 1 <= len(records) <= MAX_VOLUMES:
        raise _invalid(f"1 to {MAX_VOLUMES} volumes in a request", str(len(records)), "send one volume a request")
    return [_request(record, limits) for record in records]


def _records(form: str, content: Any) -> list[dict[str, Any]]:
    """Return the records of one of the forms."""
    if form == "dataframe_split":
        return _split_records(content)
    if form == "inputs" and isinstance(content, dict):
        return _column_records(content)
    if not isinstance(content, list) or not all(isinstance(record, dict) for record in content):
        raise _invalid(f"{form} to be a list of objects", _kind(content), 'send [{"nifti": "<base64>"}]')
    return content


def _split_records(content: Any) -> list[dict[str, Any]]:
    """Return the records of columns and rows."""
    columns = content.get("columns") if isinstance(content, dict) else None
    rows = content.get("data") if isinstance(content, dict) else None
    is_table = (
        isinstance(columns, list)
        and all(isinstance(column, str) for column in columns)
        and len(set(columns)) == len(columns)
        and isinstance(rows, list)
        and all(isinstance(row, list) and len(row) == len(columns) for row in rows)
        and set(content) <= {"columns", "data", "index"}
    )
    if not is_table:
        raise _invalid(
            "dataframe_split to have columns, a list of distinct names, and data, a list of rows as long",
            "something else",
            f"send {_EXAMPLE}",
        )
    assert columns is not None
    assert rows is not None
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _column_records(content: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the records of a name to a list of values, or to one value."""
    columns = {name: value if isinstance(value, list) else [value] for name, value in content.items()}
    if len({len(values) for values in columns.values()}) != 1:
        raise _invalid("inputs to have columns of one length", "several lengths, or none", "repeat the values")
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _request(record: Mapping[str, Any], limits: Limits) -> Request:
    """Check one record."""
    given = {column: value for column, value in record.items() if not _is_missing(value)}
    if unknown := len(set(record) - set(COLUMNS)):
        raise _invalid(f"the columns {', '.join(COLUMNS)}", f"{unknown} others", "leave them out")
    if "nifti" not in given:
        raise _invalid("a column nifti", "none, or an empty value", "send base64 of a .nii or .nii.gz file in it")
    stage = given.get("stage", "coarse")
    if stage not in ("coarse", "fine"):
        raise _invalid("stage coarse or fine", "something else", "choose one, or leave it out: coarse")
    steps = _whole_number(given["steps"], "steps", 1, _MAX_STEPS) if "steps" in given else None
    if steps is not None and stage != "fine":
        raise _invalid("steps with the stage fine only", "steps for the coarse stage", "leave them out, or send stage")
    seed = _whole_number(given.get("seed", 0), "seed", 0, _MAX_SEED)
    return Request(_decode(given["nifti"], limits), stage, steps, seed)


def _decode(text: Any, limits: Limits) -> bytes:
    """Return the bytes that base64 text stands for, strictly."""
    advice = "send the bytes of a .nii or .nii.gz file as base64 (RFC 4648, without line breaks)"
    if not isinstance(text, str):
        raise _invalid("nifti to be text", _kind(text), advice)
    if len(text) > limits.body_bytes:
        raise Refusal(413, f"nifti: expected at most {limits.body_bytes} characters; got {len(text)}; {advice}")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        looks_like_path = "://" in text[:16] or text.startswith(_PATH_SIGNS) or text.endswith((".nii", ".gz"))
        got = "what looks like a path or a URL, which this server never opens" if looks_like_path else "other text"
        raise _invalid("nifti to be base64", got, advice) from None


def _whole_number(value: Any, name: str, least: int, most: int) -> int:
    """Return a number without a fraction; JSON does not tell 2 from 2.0, and a DataFrame not always."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or value != int(value) or not least <= value <= most:
        got = "a number out of this range, or with a fraction" if is_number else _kind(value)
        raise _invalid(f"{name} to be a whole number from {least} to {most}", got, "change it or leave it out")
    return int(value)


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _kind(value: Any) -> str:
    """Name the kind of a JSON value, without its content."""
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number" if isinstance(value, int | float) else "something else")


def _invalid(expected: str, got: str, advice: str) -> Refusal:
    return Refusal(400, f"expected {expected}; got {got}; {advice}")
