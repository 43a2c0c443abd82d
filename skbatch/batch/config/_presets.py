"""Settings for speed and for accuracy, and the parts that a system has by default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skbatch.batch.config._parts import (
    FEATURES,
    Path,
    inapplicable,
    look_up,
    make,
    make_forecaster,
)
from skbatch.feature_extraction import SharedFeatureExtractor

__all__ = ["PRESETS", "default_features", "default_forecaster", "preset_settings"]

# What a preset sets in place of the defaults: section → key → value. Only sections
# `features` and `model`, the models of `fallback`, and `threads` and `device` have an
# effect on a system that is given a preset and no configuration.
PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "speed": {"model": {"n_estimators": 100, "max_bin": 32}},
    "accuracy": {"model": {"n_estimators": 600, "learning_rate": 0.02}},
}


def preset_settings(preset: str, given: Mapping[str, Any]) -> dict[Path, Any]:
    """List what a preset sets, as far as it has an effect beside given settings."""
    settings = {
        (section, key): value
        for section, values in PRESETS[preset].items()
        for key, value in values.items()
    }
    choices = {("model", "kind"), ("fallback", "enabled"), ("fallback", "model")}
    chosen: dict[str, dict[str, Any]] = {"model": {}, "fallback": {}}
    for section, key in choices:
        value = look_up(given, (section, key), settings.get((section, key)))
        if value is not None:
            chosen[section][key] = value
    idle = {path for path, _ in inapplicable(chosen)}
    return {path: value for path, value in settings.items() if path not in idle}


def default_features(preset: str | None = None) -> SharedFeatureExtractor:
    """Make the extractor of a system whose `features` are None.

    Parameters
    ----------
    preset : {"speed", "accuracy"} or None, default=None
        Name of a preset.

    Returns
    -------
    SharedFeatureExtractor
        An unfitted extractor.

    Raises
    ------
    ValueError
        If there is no such preset.
    """
    return make(SharedFeatureExtractor, FEATURES, _settings(preset))


def default_forecaster(preset: str | None = None) -> Any:
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
    return make_forecaster(_settings(preset))


def _settings(preset: str | None) -> Mapping[str, Any]:
    """Find the settings of a preset."""
    if preset is None:
        return {}
    if preset not in PRESETS:
        raise ValueError(
            f"`preset` must be one of {', '.join(map(repr, PRESETS))}, or None. Got "
            f"{preset!r}. Choose one of these."
        )
    return PRESETS[preset]
