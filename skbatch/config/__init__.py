"""Settings of a batch forecasting system: files and the environment."""

from skbatch.config._batch_forecasting_config import BatchForecastingConfig
from skbatch.exceptions import ConfigError

__all__ = ["BatchForecastingConfig", "ConfigError"]
