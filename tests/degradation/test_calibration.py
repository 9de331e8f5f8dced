import pytest

from bmenet.config.profiles import load_profile
from bmenet.degradation.calibration import summarise


@pytest.mark.parametrize(("level", "is_calibrated"), [(20.8, True), (21.4, True), (21.6, False), (20.0, False)])
def test_calibration_holds_code_111_against_the_published_level(level, is_calibrated):
    rows = [{"code": "111", "psnr_db": level}, {"code": "010", "psnr_db": 30.0}]
    assert summarise(rows, load_profile("demo").degradation)["calibration"]["is_calibrated"] is is_calibrated
