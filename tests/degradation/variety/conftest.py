import pytest
import yaml

from bmenet.config.augmentation import OnlineConfig, VarietyConfig


@pytest.fixture(scope="session")
def online() -> OnlineConfig:
    """How `full` draws its fresh cases."""
    with open("params/full.yaml") as file:
        return OnlineConfig.model_validate(yaml.safe_load(file)["coarse"]["online"])


@pytest.fixture(scope="session")
def variety(online: OnlineConfig) -> VarietyConfig:
    assert online.variety is not None
    return online.variety
