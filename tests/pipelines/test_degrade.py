import pytest

from bmenet.config import load_config
from bmenet.data.layout import Layout
from bmenet.runtime.errors import BMENetError
from bmenet.runtime.files import read_json
from bmenet.runtime.parallel import WORKERS_VARIABLE
from pipelines import degrade
from tests.registered import save_registered


@pytest.fixture
def layout(workspace, phantom, monkeypatch) -> Layout:
    """A workspace with one registered subject."""
    monkeypatch.setenv(WORKERS_VARIABLE, "1")
    layout = Layout()
    save_registered(layout, "sub-01", phantom)
    return layout


@pytest.mark.parametrize(
    ("severity", "tolerance_db", "warns"),
    [("moderate", 0.01, True), ("moderate", 30.01, False), ("severe", 0.01, False)],
)
def test_degrade_stage_tells_when_moderate_is_off_the_published_level(
    workspace, layout, capsys, severity, tolerance_db, warns
):
    params = workspace / "params.yaml"
    text = params.read_text().replace("tolerance_db: 0.7", f"tolerance_db: {tolerance_db}")
    params.write_text(text.replace("severity: moderate", f"severity: {severity}"))
    degrade.main()
    calibration = read_json(layout.report("degrade") / "metrics.json")["calibration"]
    line = f"measured {calibration['measured_psnr_db']:.2f} dB, published 20.8 dB +- 0.01"
    assert (line in capsys.readouterr().err) is warns


def test_degrade_stage_without_subjects_is_an_error_and_removes_nothing(layout):
    layout.transform("sub-01").unlink()
    kept = layout.degraded("sub-01", load_config().degradation.codes[0])
    kept.parent.mkdir(parents=True)
    kept.touch()
    with pytest.raises(BMENetError, match="data/registered: expected registered subjects; got none; run `dvc repro re"):
        degrade.main()
    assert kept.exists()
    assert not layout.report("degrade").exists()
