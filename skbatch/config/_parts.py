"""Which setting is which parameter of which estimator, and how these are assembled.

A setting is named by its path, such as ``("model", "max_depth")``. Settings, here, are
plain: sections are dicts, so that nothing in this file needs pydantic.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from inspect import signature
from typing import Any, Literal

from skbatch.batch import BatchErrorHandler, BatchForecastingSystem
from skbatch.feature_extraction import SharedFeatureExtractor
from skbatch.forecasting import (
    BatchLinearForecaster,
    BatchXGBoostForecaster,
    FallbackForecaster,
    HistoricalMeanForecaster,
    ReturnTarget,
)

__all__ = [
    "DEFAULT_FALLBACK",
    "DEFAULT_KIND",
    "FALLBACK",
    "FALLBACKS",
    "FEATURES",
    "HANDLER",
    "KINDS",
    "MISSING",
    "SYSTEM",
    "Path",
    "Settings",
    "batch_class",
    "default_of",
    "fallback_paths",
    "inapplicable",
    "look_up",
    "make",
    "make_forecaster",
    "model_paths",
]

Path = tuple[str, ...]
Settings = Mapping[str, Any]

MISSING: Any = object()

DEFAULT_KIND: Literal["xgboost"] = "xgboost"
DEFAULT_FALLBACK: Literal["linear"] = "linear"
KINDS: dict[str, type] = {
    "xgboost": BatchXGBoostForecaster,
    "linear": BatchLinearForecaster,
    "mean": HistoricalMeanForecaster,
}
# The simpler models, which can be a fallback.
FALLBACKS = ("linear", "mean")

_BATCH_CLASSES = {
    "BatchErrorHandler": BatchErrorHandler,
    "BatchForecastingSystem": BatchForecastingSystem,
}

# Parameters that hold tables or functions, or that the system sets.
_NOT_SETTINGS = {"functions", "horizon", "market_data", "benchmark"}
_MOVED: dict[str, Path] = {
    "n_jobs": ("performance", "threads"),
    "device": ("performance", "device"),
}
_SCREENING = (
    "recent",
    "min_history",
    "max_stale",
    "max_flat",
    "max_jump",
    "max_invalid_share",
    "max_attempts",
)

# Parameter → path of its setting.
SYSTEM: dict[str, Path] = {
    "horizon": ("horizon",),
    "preset": ("preset",),
    "max_batch_size": ("batch", "max_batch_size"),
    "memory_budget": ("batch", "memory_budget"),
    "groups": ("batch", "groups"),
    "checkpoint_dir": ("batch", "checkpoint_dir"),
    "random_state": ("batch", "random_state"),
    "n_jobs": ("performance", "n_jobs"),
    "engine": ("performance", "engine"),
}
HANDLER: dict[str, Path] = {name: ("fallback", name) for name in _SCREENING}
FALLBACK: dict[str, Path] = {"min_labels": ("fallback", "min_labels")}


@cache
def _parameters(owner: type) -> list[str]:
    """List the parameters of a class that can be settings, its target's included."""
    names = list(signature(owner).parameters)
    if "target" in names:
        place = names.index("target")
        names[place : place + 1] = signature(ReturnTarget).parameters
    return [name for name in names if name not in _NOT_SETTINGS]


FEATURES: dict[str, Path] = {
    name: ("features", name) for name in _parameters(SharedFeatureExtractor)
}


def model_paths(kind: str) -> dict[str, Path]:
    """Map the parameters of a kind of model to the paths of their settings."""
    return {n: _MOVED.get(n, ("model", n)) for n in _parameters(KINDS[kind])}


def fallback_paths(kind: str) -> dict[str, Path]:
    """Map the parameters of a fallback model to the paths of their settings."""
    # Not `min_labels`, which is the forecaster's around both models.
    renamed = {"min_labels": "mean_min_labels"}
    return {n: ("fallback", renamed.get(n, n)) for n in _parameters(KINDS[kind])}


def batch_class(name: str) -> Any:
    """Find a class of the batch subpackage by its name."""
    return _BATCH_CLASSES[name]


def default_of(owner: Any, parameter: str) -> Any:
    """Read a default from a signature, or from that of the target."""
    parameters = signature(owner).parameters
    if parameter not in parameters:
        parameters = signature(ReturnTarget).parameters
    return parameters[parameter].default


def look_up(settings: Settings, path: Path, default: Any = MISSING) -> Any:
    """Find the value of a setting."""
    value: Any = settings
    for name in path:
        if not isinstance(value, Mapping) or name not in value:
            return default
        value = value[name]
    return value


def inapplicable(settings: Settings) -> Iterator[tuple[Path, str]]:
    """List the settings without effect, each with the setting that makes it so."""
    kind = look_up(settings, ("model", "kind"), DEFAULT_KIND)
    if isinstance(kind, str) and kind in KINDS:
        own = set(model_paths(kind).values())
        others = {path for other in KINDS for path in model_paths(other).values()}
        yield from ((path, f'model.kind = "{kind}"') for path in others - own)
    if look_up(settings, ("batch", "enabled"), True) is False:
        own = {path for path in SYSTEM.values() if path[0] == "batch"}
        yield from ((path, "batch.enabled = false") for path in own)
    enabled = look_up(settings, ("fallback", "enabled"), True)
    fallback = look_up(settings, ("fallback", "model"), DEFAULT_FALLBACK)
    optional = {path for other in FALLBACKS for path in fallback_paths(other).values()}
    if enabled is False:
        optional |= {("fallback", "model"), *FALLBACK.values()}
        yield from ((path, "fallback.enabled = false") for path in optional)
    elif fallback in FALLBACKS:
        optional -= set(fallback_paths(fallback).values())
        yield from ((path, f'fallback.model = "{fallback}"') for path in optional)


def make(owner: Any, paths: Mapping[str, Path], settings: Settings) -> Any:
    """Make an object with those of its parameters that are set."""
    values = {name: look_up(settings, path) for name, path in paths.items()}
    values = {name: v for name, v in values.items() if v is not MISSING}
    if "target" in getattr(owner, "_parameter_constraints", {}):
        names = [n for n in signature(ReturnTarget).parameters if n in values]
        target = ReturnTarget(**{name: values.pop(name) for name in names})
        if target.get_params() != ReturnTarget().get_params():
            values["target"] = target
    return owner(**values)


def make_forecaster(settings: Settings) -> Any:
    """Make the model, within what serves the tickers that it cannot."""
    kind = look_up(settings, ("model", "kind"), DEFAULT_KIND)
    model = make(KINDS[kind], model_paths(kind), settings)
    if not look_up(settings, ("fallback", "enabled"), True):
        return model
    simpler = look_up(settings, ("fallback", "model"), DEFAULT_FALLBACK)
    fallback = make(KINDS[simpler], fallback_paths(simpler), settings)
    min_labels = look_up(settings, FALLBACK["min_labels"])
    options = {} if min_labels is MISSING else {"min_labels": min_labels}
    return FallbackForecaster(model, fallback, **options)
