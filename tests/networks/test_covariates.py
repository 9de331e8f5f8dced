import pytest

from bmenet.networks.covariates import COVARIATES, scale_covariates
from tests.fine_networks import smoke_config


@pytest.fixture
def config():
    return smoke_config().covariates


def test_covariates_go_to_the_unit_interval_in_brainldm_s_order(config):
    scaled = scale_covariates(config, sex="M", age=54, ventricles_ml=25, brain_ml=1400)
    assert COVARIATES == ("sex", "age", "ventricles", "brain")
    assert scaled.values.tolist() == pytest.approx([1, 0.5, 0.25, 0.5])
    assert scaled.is_known.all()
    assert scale_covariates(config, age=5, brain_ml=9000).values[[1, 3]].tolist() == [0, 1], "clipped"


def test_what_is_not_known_is_the_middle_and_says_so(config):
    scaled = scale_covariates(config, sex="F", brain_ml=1400)
    assert scaled.values.tolist() == pytest.approx([0, 0.5, 0.5, 0.5])
    assert scaled.is_known.tolist() == [True, False, False, True]
