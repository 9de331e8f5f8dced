import pytest

from bmenet.config.degradation import OnlineConfig, VarietyConfig
from bmenet.config.profiles import load_profile


@pytest.fixture(scope="session")
def online() -> OnlineConfig:
    """How `full` draws its fresh cases."""
    online = load_profile("full").coarse.online
    assert online is not None
    return online


@pytest.fixture(scope="session")
def variety(online: OnlineConfig) -> VarietyConfig:
    assert online.variety is not None
    return online.variety
