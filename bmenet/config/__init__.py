"""params.yaml as frozen, validated objects: the one source of configuration.

Nothing else in the package opens params.yaml. An unknown key, a missing key, a wrong type or a value out of range
stops at once with the key's path, what was expected and what was got.
"""

from bmenet.config.base import Range, Section
from bmenet.config.data import SourceConfig, SplitConfig, SubsetsConfig
from bmenet.config.degradation import (
    BiasConfig,
    CalibrationConfig,
    DegradationConfig,
    MotionConfig,
    NoiseConfig,
    Severity,
)
from bmenet.config.evaluate import ExportConfig, PublishConfig
from bmenet.config.fine import (
    AutoencoderConfig,
    CovariatesConfig,
    DenoiserConfig,
    DiffusionConfig,
    EdgeAutoencoderConfig,
    FineConfig,
    GuidanceConfig,
    SamplingConfig,
    TrainingConfig,
)
from bmenet.config.load import PARAMS_FILE, flatten, load_config, parse_config, with_values
from bmenet.config.sections import (
    CoarseConfig,
    Config,
    EvaluateConfig,
    FieldConfig,
    GridConfig,
    RegistrationConfig,
)
from bmenet.config.tune import SearchRange

__all__ = [
    "PARAMS_FILE",
    "AutoencoderConfig",
    "BiasConfig",
    "CalibrationConfig",
    "CoarseConfig",
    "Config",
    "CovariatesConfig",
    "DegradationConfig",
    "DenoiserConfig",
    "DiffusionConfig",
    "EdgeAutoencoderConfig",
    "EvaluateConfig",
    "ExportConfig",
    "FieldConfig",
    "FineConfig",
    "GridConfig",
    "GuidanceConfig",
    "MotionConfig",
    "NoiseConfig",
    "PublishConfig",
    "Range",
    "RegistrationConfig",
    "SamplingConfig",
    "SearchRange",
    "Section",
    "Severity",
    "SourceConfig",
    "SplitConfig",
    "SubsetsConfig",
    "TrainingConfig",
    "flatten",
    "load_config",
    "parse_config",
    "with_values",
]
