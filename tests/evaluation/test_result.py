import numpy as np
import pytest

from bmenet.evaluation.result import load_result, save_result


def test_load_result_returns_what_was_saved_under_the_same_key(results, tmp_path):
    path = tmp_path / "sub-01_code-111_method-n4.npz"
    save_result(path, results[0], "key")
    loaded = load_result(path, "key")
    assert loaded is not None
    assert (loaded.subject, loaded.code, loaded.method) == ("sub-01", "111", "degraded")
    assert loaded.metrics == results[0].metrics
    assert np.array_equal(loaded.shown_slices["axial"], results[0].shown_slices["axial"])
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_load_result_made_from_something_else_is_none(results, tmp_path):
    save_result(tmp_path / "a.npz", results[0], "key")
    assert load_result(tmp_path / "a.npz", "another key") is None


@pytest.mark.parametrize("kept", [0, 10, 300])
def test_load_result_of_a_cut_file_is_none(results, tmp_path, kept):
    path = tmp_path / "a.npz"
    save_result(path, results[0], "key")
    path.write_bytes(path.read_bytes()[:kept])
    assert load_result(path, "key") is None


def test_load_result_of_no_file_is_none(tmp_path):
    assert load_result(tmp_path / "none.npz", "key") is None
