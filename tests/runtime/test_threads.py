import os

import joblib
import pytest

from bmenet.runtime.threads import thread_count, use_one_thread


@pytest.mark.parametrize(("value", "count"), [("3", 3), ("", None), ("0", None), ("4,2", None)])
def test_threads_are_those_told_or_one_a_core(monkeypatch, value, count):
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert thread_count() == (count or joblib.cpu_count())


def test_one_thread_is_told_to_every_library(monkeypatch):
    monkeypatch.setattr(os, "environ", {"OMP_NUM_THREADS": "8"})
    use_one_thread()
    assert thread_count() == 1
    assert set(os.environ.values()) == {"1"}
