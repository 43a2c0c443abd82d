"""Settings of a batch forecasting system: models, files, environment and presets."""

from skbatch.config._config import BatchForecastingConfig
from skbatch.config._sections import (
    BatchConfig,
    FallbackConfig,
    FeatureConfig,
    ModelConfig,
    PerformanceConfig,
)
from skbatch.exceptions import ConfigError

__all__ = [
    "BatchConfig",
    "BatchForecastingConfig",
    "ConfigError",
    "FallbackConfig",
    "FeatureConfig",
    "ModelConfig",
    "PerformanceConfig",
]
