import pytest

from bmenet.runtime.cache import CaseIndex, join_key


@pytest.fixture
def case(tmp_path):
    path = tmp_path / "out" / "sub-01.nii"
    path.parent.mkdir()
    path.write_bytes(b"volume")
    return CaseIndex(tmp_path / "index"), path


def test_case_is_held_only_under_its_key_and_while_its_files_are_as_they_were(case):
    index, path = case
    assert not index.holds("sub-01", "key", path)
    index.record("sub-01", "key", path)
    assert index.holds("sub-01", "key", path)
    assert not index.holds("sub-01", "other", path)
    path.write_bytes(b"another")
    assert not index.holds("sub-01", "key", path)
    path.unlink()
    assert not index.holds("sub-01", "key", path)


def test_only_the_cases_that_are_kept_stay_and_a_damaged_entry_is_none(case):
    index, path = case
    for name in ("sub-01", "sub-02", "sub-03"):
        index.record(name, "key", path)
    index.keep_only(["sub-02"])
    assert [index.holds(name, "key", path) for name in ("sub-01", "sub-02", "sub-03")] == [False, True, False]
    (entry,) = index.folder.iterdir()
    entry.write_text("{")
    assert not index.holds("sub-02", "key", path)


def test_key_tells_its_parts_apart():
    keys = {join_key("a", "b"), join_key("ab"), join_key(["a"], "b"), join_key("a", 1), join_key({"a": "b"})}
    assert len(keys) == 5
    assert join_key({"a": 1, "b": 2}) == join_key({"b": 2, "a": 1})
