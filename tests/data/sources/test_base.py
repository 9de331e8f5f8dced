import pytest

from bmenet.data.sources.base import Subject, select, subject_id
from bmenet.runtime.errors import SourceError

SUBJECTS = [Subject(f"sub-{number:02d}", "") for number in range(1, 6)]


@pytest.mark.parametrize(
    ("label", "expected"), [("002_S_0295", "002-S-0295"), ("../a b", "a-b"), ("sub-01", "sub-01"), ("Zoë^K", "Zo-K")]
)
def test_subject_id_is_safe_in_file_names(label, expected):
    assert subject_id(label) == expected


def test_select_takes_all_the_first_or_the_named():
    assert select(SUBJECTS, None) == SUBJECTS
    assert select(SUBJECTS, 2) == SUBJECTS[:2]
    assert select(SUBJECTS, ["sub-04", "sub_01", "sub-04"]) == [SUBJECTS[3], SUBJECTS[0]]


@pytest.mark.parametrize(
    ("subjects", "wanted", "message"),
    [
        ([], None, "expected a source with T1w scans"),
        (SUBJECTS, 6, "at most all 5; got 6"),
        (SUBJECTS, ["sub-02", "sub-77", "sub-78"], "such as 'sub-01'; got sub-77, sub-78"),
        ([*SUBJECTS, SUBJECTS[2]], None, "got several for sub-03"),
    ],
)
def test_select_refuses_what_the_source_cannot_give(subjects, wanted, message):
    with pytest.raises(SourceError, match=message):
        select(subjects, wanted)
