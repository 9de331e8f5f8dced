"""MLflow's four documented forms, and everything that looks like them."""

import base64
import json

import pytest

from bmenet.serving import Refusal, Request, Settings
from bmenet.serving.request import MAX_VOLUMES, parse_body, parse_records

TEXT = base64.b64encode(b"volume").decode()
CANARY = "JaneDoe19"
NAN = float("nan")


def _parse(content):
    return parse_body(json.dumps(content).encode(), Settings())


def _refused(content, word):
    """Check a refusal: it says what to do, and repeats nothing of what was sent."""
    with pytest.raises(Refusal, match=r"expected .*; got .*; \w+") as refusal:
        _parse(content)
    assert refusal.value.status == 400
    assert word in str(refusal.value)
    assert CANARY not in str(refusal.value)
    assert TEXT not in str(refusal.value)


@pytest.mark.parametrize(
    "content",
    [
        {"dataframe_split": {"columns": ["seed", "nifti"], "data": [[1, TEXT], [2, TEXT]]}},
        {"dataframe_split": {"index": [0, 1], "columns": ["nifti", "seed"], "data": [[TEXT, 1], [TEXT, 2]]}},
        {"dataframe_records": [{"nifti": TEXT, "seed": 1}, {"nifti": TEXT, "seed": 2.0, "stage": None}]},
        {"inputs": {"nifti": [TEXT, TEXT], "seed": [1, 2]}},
        {"inputs": [{"nifti": TEXT, "seed": 1}, {"nifti": TEXT, "seed": 2}]},
        {"instances": [{"nifti": TEXT, "seed": 1}, {"nifti": TEXT, "seed": 2}], "params": {}},
    ],
)
def test_every_form_gives_the_same_requests(content):
    assert _parse(content) == [Request(nifti=TEXT, seed=1), Request(nifti=TEXT, seed=2)]
    assert _parse(content)[0].nifti == b"volume"


def test_one_value_a_column_is_one_request_and_what_is_missing_in_a_table_has_its_default():
    columns = {"nifti": TEXT, "stage": "fine", "steps": 3, "seed": 7, "keep_field": True, "only_brain": True}
    assert _parse({"inputs": columns}) == [Request(**columns)]
    assert parse_records([{"nifti": TEXT, "stage": None, "steps": NAN, "seed": NAN}], Settings()) == [
        Request(nifti=TEXT)
    ]


@pytest.mark.parametrize(
    "content",
    [
        {"dataframe_split": {"columns": ["nifti"], "data": [[TEXT, 1]]}},
        {"dataframe_split": {"columns": ["nifti", "nifti"], "data": [[TEXT, TEXT]]}},
        {"dataframe_records": {"nifti": TEXT}},
        {"dataframe_records": []},
        {"dataframe_records": [{"nifti": None}]},
        {"dataframe_records": [{"nifti": TEXT}] * (MAX_VOLUMES + 1)},
        {"inputs": TEXT},
        {"inputs": {"nifti": [TEXT, TEXT], "seed": [1]}},
        {"instances": [{"nifti": TEXT}], "inputs": [{"nifti": TEXT}]},
        {"instances": [{"nifti": TEXT}], CANARY: 1},
        {"instances": [{"nifti": TEXT}], "params": {"seed": 1}},
        {"nifti": TEXT},
    ],
    ids=lambda content: json.dumps(content)[:60],
)
def test_another_shape_is_refused(content):
    _refused(content, "")


@pytest.mark.parametrize(
    ("columns", "word"),
    [
        ({"stage": CANARY}, "stage: 'coarse' or 'fine'"),
        ({"steps": 4}, "stage fine only"),
        ({"stage": "fine", "steps": 0}, "steps: greater than or equal to 1"),
        ({"stage": "fine", "steps": CANARY}, "steps: a valid integer"),
        ({"seed": 10**400}, "seed: less than"),
        ({"seed": float("inf")}, "seed: a finite number"),
        ({"nifti": {"path": CANARY}}, "nifti to be base64"),
        ({"nifti": TEXT[:-1]}, "base64"),
        ({"nifti": f"{TEXT}\n"}, "base64"),
        ({"nifti": f"data:application/gzip;base64,{TEXT}"}, "base64"),
        ({"nifti": f"C:\\{CANARY}.nii"}, "never opens"),
        ({"nifti": f"s3://{CANARY}"}, "never opens"),
        ({CANARY: 1}, "columns nifti, stage, steps, seed"),
    ],
    ids=str,
)
def test_a_value_that_is_wrong_is_named_and_not_repeated(columns, word):
    _refused({"instances": [{"nifti": TEXT} | columns]}, word)


def test_text_that_is_too_long_is_refused_before_it_is_decoded_and_a_number_with_too_many_digits_too():
    with pytest.raises(Refusal, match=r"at most 1000000 characters.*; got 1000001") as refusal:
        parse_records([{"nifti": "*" * 1_000_001}], Settings(max_body_mb=1))
    assert refusal.value.status == 413
    with pytest.raises(Refusal, match="JSON"):
        parse_body(b'{"instances": [{"nifti": "AAAA", "seed": ' + b"9" * 5000 + b"}]}", Settings())
