"""Settings for speed and for accuracy, and the parts that a system has by default."""

from __future__ import annotations

from typing import Any, Literal

from skbatch.feature_extraction import SharedFeatureExtractor
from skbatch.forecasting import (
    BatchLinearForecaster,
    BatchXGBoostForecaster,
    FallbackForecaster,
)

__all__ = ["PRESETS", "default_features", "default_forecaster"]

Preset = Literal["speed", "accuracy"]
# Parameters of the boosted trees that a preset sets in place of the defaults.
PRESETS: dict[str, dict[str, Any]] = {
    "speed": {"n_estimators": 100, "max_bin": 32},
    "accuracy": {"n_estimators": 600, "learning_rate": 0.02},
}


def default_features() -> SharedFeatureExtractor:
    """Make the extractor of a system whose `features` are None."""
    return SharedFeatureExtractor()


def default_forecaster(preset: Preset | None = None) -> FallbackForecaster:
    """Make the forecaster of a system whose `forecaster` is None.

    Parameters
    ----------
    preset : {"speed", "accuracy"} or None, default=None
        Name of a preset.

    Returns
    -------
    FallbackForecaster
        Boosted trees with ridge regression as their fallback, not fitted.

    Raises
    ------
    ValueError
        If there is no such preset.
    """
    if preset is not None and preset not in PRESETS:
        raise ValueError(
            f"`preset` must be one of {', '.join(map(repr, PRESETS))}, or None. Got "
            f"{preset!r}. Choose one of these."
        )
    settings = {} if preset is None else PRESETS[preset]
    return FallbackForecaster(
        BatchXGBoostForecaster(**settings), BatchLinearForecaster()
    )
