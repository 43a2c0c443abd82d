"""Settings of a batch forecasting system: models, files, environment and presets."""

from importlib import import_module
from typing import TYPE_CHECKING

from skbatch.exceptions import ConfigError

if TYPE_CHECKING:
    from skbatch.batch.config._config import BatchForecastingConfig
    from skbatch.batch.config._sections import (
        BatchConfig,
        FallbackConfig,
        FeatureConfig,
        ModelConfig,
        PerformanceConfig,
    )

__all__ = [
    "BatchConfig",
    "BatchForecastingConfig",
    "ConfigError",
    "FallbackConfig",
    "FeatureConfig",
    "ModelConfig",
    "PerformanceConfig",
]

# The imports above are for type checkers; at run time the models are imported on first
# use: they read their defaults from the system, which imports the presets from here.
if not TYPE_CHECKING:

    def __getattr__(name):
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        room = "_config" if name == "BatchForecastingConfig" else "_sections"
        return getattr(import_module(f"{__name__}.{room}"), name)

    def __dir__():
        return sorted(__all__)
