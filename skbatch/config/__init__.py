"""Settings of a batch forecasting system: files, environment and presets."""

from skbatch.config._batch_forecasting_config import BatchForecastingConfig
from skbatch.config._settings import SECTIONS, SETTINGS, Setting
from skbatch.config._template import effective_settings, settings_template
from skbatch.exceptions import ConfigError

__all__ = [
    "SECTIONS",
    "SETTINGS",
    "BatchForecastingConfig",
    "ConfigError",
    "Setting",
    "effective_settings",
    "settings_template",
]
