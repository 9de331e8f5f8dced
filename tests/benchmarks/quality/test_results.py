import numpy as np
import pytest

from benchmarks.quality.results import ModelLayout, Plan, _denoised
from bmenet.config import SamplingConfig
from bmenet.imaging.volume import save_unit_volume
from tests.registered import save_registered


@pytest.fixture
def plan() -> Plan:
    return Plan(("sub-01", "sub-02"), ("111", "010", "000"), 1, ("coarse",), SamplingConfig.model_construct(), 0)


def test_each_code_meets_the_tools_that_fit_it_and_bm4d_few_subjects(plan):
    assert plan.methods("sub-01", "111") == ["degraded", "n4_nlm", "n4_bm4d", "coarse"]
    assert plan.methods("sub-02", "111") == ["degraded", "n4_nlm", "coarse"]
    assert plan.methods("sub-01", "010") == ["degraded", "nlm", "bm4d", "coarse", "coarse_field_kept"]
    assert plan.methods("sub-02", "001") == ["degraded", "n4", "coarse"]
    assert plan.methods("sub-02", "000") == ["degraded", "n4", "n4_nlm", "coarse"]


def test_results_of_a_model_have_names_of_their_own_and_baselines_those_of_the_stage(tmp_path):
    names = set()
    for name in ("old", "new"):
        folder = tmp_path / name / "coarse"
        folder.mkdir(parents=True)
        (folder / "model.json").write_text(name)
        layout = ModelLayout(tmp_path, tmp_path / name)
        names.add(layout.evaluated("sub-01", "111", "coarse").name)
        assert layout.evaluated("sub-01", "111", "n4").name == "sub-01_code-111_method-n4.npz"
        assert layout.restored("sub-01", "111", "coarse").name.startswith("model-")
    assert len(names) == 2


def test_a_denoiser_alone_does_not_correct_bias(workspace, phantom, generator, monkeypatch):
    layout = ModelLayout(workspace, workspace / "weights")
    field = np.linspace(0.6, 1.4, phantom.data.shape[0], dtype=np.float32)[:, None, None]
    noisy = np.abs(field * phantom.data + 0.02 * generator.standard_normal(phantom.data.shape))
    save_registered(layout, "sub-01", phantom)
    save_unit_volume(layout.degraded("sub-01", "010"), phantom.with_data(noisy))
    result = _denoised("sub-01", "010", "nlm", layout)
    biased = float(np.sqrt(np.mean(((field - 1) * phantom.data)[phantom.data > 0] ** 2)))
    assert result.metrics["psnr_brain"] == pytest.approx(-20 * np.log10(biased), abs=1.5)
    monkeypatch.setattr("bmenet.evaluation.baselines.BASELINES", {})
    assert _denoised("sub-01", "010", "nlm", layout).metrics == result.metrics  # read, not run
