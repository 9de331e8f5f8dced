"""What every segmenter promises; the table itself is the list."""

import inspect

import pytest

from bmenet.evaluation.segmentation import SEGMENTERS, Segmenter


@pytest.mark.parametrize("name", SEGMENTERS)
def test_segmenter_has_the_protocol_s_methods_with_its_arguments(name):
    for method in ("require", "fingerprint", "segment"):
        expected = inspect.signature(getattr(Segmenter, method))
        assert list(inspect.signature(getattr(SEGMENTERS[name], method)).parameters) == list(expected.parameters)


def test_the_embedded_segmenter_is_always_there_and_tells_its_version(tmp_path):
    SEGMENTERS["atropos"].require()
    assert SEGMENTERS["atropos"](tmp_path).fingerprint() == SEGMENTERS["atropos"](tmp_path).fingerprint()
