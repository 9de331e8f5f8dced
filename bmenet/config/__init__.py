"""params.yaml as frozen, validated objects: the one source of configuration.

Nothing else in the package opens params.yaml. An unknown key, a missing key, a wrong type or a value out of range
stops at once with the key's path, what was expected and what was got.
"""

from bmenet.config.load import PARAMS_FILE, flatten, load_config, parse_config
from bmenet.config.sections import (
    BiasConfig,
    CalibrationConfig,
    CoarseConfig,
    Config,
    DataConfig,
    DegradationConfig,
    EvaluateConfig,
    GridConfig,
    MotionConfig,
    NoiseConfig,
    Range,
    RegistrationConfig,
    Severity,
    SplitConfig,
)

__all__ = [
    "PARAMS_FILE",
    "BiasConfig",
    "CalibrationConfig",
    "CoarseConfig",
    "Config",
    "DataConfig",
    "DegradationConfig",
    "EvaluateConfig",
    "GridConfig",
    "MotionConfig",
    "NoiseConfig",
    "Range",
    "RegistrationConfig",
    "Severity",
    "SplitConfig",
    "flatten",
    "load_config",
    "parse_config",
]
