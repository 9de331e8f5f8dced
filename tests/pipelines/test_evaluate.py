"""The stage `evaluate` says at once when there is nothing to evaluate."""

import pytest

from bmenet.errors import ConfigError, VolumeError
from bmenet.files import write_json
from bmenet.layout import Layout
from pipelines import evaluate


def test_no_test_subject_is_refused_at_once(workspace):
    write_json(Layout().split, {"train": ["sub-01"], "validation": ["sub-02"], "test": []})
    with pytest.raises(ConfigError, match=r"split\.test: expected at least one subject; got none"):
        evaluate.main()
    assert not (workspace / "mlflow").exists()


def test_a_code_that_was_not_degraded_is_refused_at_once(workspace):
    layout = Layout()
    write_json(layout.split, {"train": ["sub-01"], "validation": ["sub-02"], "test": ["sub-03"]})
    layout.registered.mkdir(parents=True)
    layout.clean("sub-03").write_bytes(b"")
    with pytest.raises(VolumeError, match=r"data/degraded: expected every test subject .*; \['111'\] are missing"):
        evaluate.main()
    assert not (workspace / "mlflow").exists()
