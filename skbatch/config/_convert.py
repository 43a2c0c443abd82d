"""From settings to the parameters of a system, and back."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from skbatch.config._base import (
    Section,
    allowed,
    find_problems,
    null_word,
    settings_of,
)
from skbatch.config._errors import Origin, Problem, config_error, shown
from skbatch.config._load import merged, nested
from skbatch.config._parts import (
    DEFAULT_FALLBACK,
    FALLBACK,
    FALLBACKS,
    FEATURES,
    HANDLER,
    KINDS,
    SYSTEM,
    Path,
    batch_class,
    fallback_paths,
    look_up,
    make,
    make_forecaster,
    model_paths,
)
from skbatch.exceptions import ConfigError
from skbatch.feature_extraction import SharedFeatureExtractor
from skbatch.forecasting import FallbackForecaster, ReturnTarget

if TYPE_CHECKING:
    from skbatch.config._config import BatchForecastingConfig

__all__ = ["from_system", "to_params"]

Config = TypeVar("Config", bound="BatchForecastingConfig")

_CHOICES = (("model", "kind"), ("fallback", "enabled"), ("fallback", "model"))
# Settings that are parameters of each part.
_OF_FEATURES = set(FEATURES.values())
_OF_HANDLER = set(HANDLER.values())
_OF_FORECASTER = {
    *_CHOICES,
    *FALLBACK.values(),
    *(path for kind in KINDS for path in model_paths(kind).values()),
    *(path for kind in FALLBACKS for path in fallback_paths(kind).values()),
}


def to_params(config: BatchForecastingConfig) -> dict[str, Any]:
    """Turn settings into the parameters of a system."""
    if not config.batch.enabled:
        raise ConfigError(
            "`batch.enabled` must be true for a BatchForecastingSystem. Got false. "
            "Forecast one ticker at a time with robust_forecast_returns(tickers, "
            "prices, config=...), or remove the setting."
        )
    settings = config.model_dump()
    changed = set(_changes(config, type(config)(preset=config.preset)))
    params = make(dict, SYSTEM, settings)
    params |= dict.fromkeys(["features", "forecaster", "error_handler"])
    if changed & _OF_FEATURES:
        params["features"] = make(SharedFeatureExtractor, FEATURES, settings)
    if changed & _OF_FORECASTER:
        params["forecaster"] = make_forecaster(settings)
    if changed & _OF_HANDLER:
        handler = batch_class("BatchErrorHandler")
        params["error_handler"] = make(handler, HANDLER, settings)
    return params


def from_system(config: type[Config], system: Any) -> Config:
    """Read the settings of a system, as few as it takes."""
    reader = _Reader(config)
    reader.read_system(system)
    try:
        full = config.model_validate(reader.settings)
    except ValidationError as error:
        reader.problems += find_problems(config, error, reader.origins)
    if reader.problems:
        raise config_error(reader.problems, reader.origins)
    return _shortest(full)


class _Reader:
    """Collects the settings of a system, and what cannot be one.

    Parameters
    ----------
    config : type of BatchForecastingConfig
        Class of the configuration.
    """

    def __init__(self, config: type[Section]) -> None:
        self.fields = settings_of(config)
        self.settings: dict[str, Any] = {}
        self.origins: dict[Path, Origin] = {}
        self.problems: list[Problem] = []

    def read_system(self, system: Any) -> None:
        """Read a system and its parts."""
        owner = batch_class("BatchForecastingSystem")
        if not isinstance(system, owner):
            raise TypeError(
                f"`system` must be a {owner.__name__}. Got {shown(system)}. Pass the "
                "system, not a part of it."
            )
        parts = dict.fromkeys(["features", "forecaster", "error_handler"], ())
        self._read(system, "", {**SYSTEM, **parts})
        self._read_part(system, "features", SharedFeatureExtractor, FEATURES)
        handler = batch_class("BatchErrorHandler")
        self._read_part(system, "error_handler", handler, HANDLER)
        if type(system.forecaster) is FallbackForecaster:
            self._read_fallback(system.forecaster)
        elif system.forecaster is not None:
            self._set(("fallback", "enabled"), False, "forecaster")
            self._read_model(system.forecaster, "forecaster", KINDS)

    def _read_fallback(self, forecaster: FallbackForecaster) -> None:
        """Read a forecaster with its fallback."""
        self._set(("fallback", "enabled"), True, "forecaster")
        inner: dict[str, Path] = {"estimator": (), "fallback": ()}
        self._read(forecaster, "forecaster", {**FALLBACK, **inner})
        self._read_model(forecaster.estimator, "forecaster__estimator", KINDS)
        fallback, kinds = forecaster.fallback, {k: KINDS[k] for k in FALLBACKS}
        if fallback is None:
            fallback = KINDS[DEFAULT_FALLBACK]()
        self._read_model(fallback, "forecaster__fallback", kinds)

    def _read_part(
        self, system: Any, name: str, owner: type, paths: Mapping[str, Path]
    ) -> None:
        """Read a part that is of one class, or None."""
        part = getattr(system, name)
        if type(part) is owner:
            self._read(part, name, paths)
        elif part is not None:
            self._refuse(name, part, f"None or a {owner.__name__}")

    def _read_model(self, model: Any, name: str, kinds: Mapping[str, type]) -> None:
        """Read a model of one of some kinds."""
        kind = next((k for k, owner in kinds.items() if type(model) is owner), None)
        is_fallback = name.endswith("fallback")
        if kind is None:
            names = [owner.__name__ for owner in kinds.values()]
            if name == "forecaster":
                names.append("FallbackForecaster")
            self._refuse(name, model, f"{', '.join(names[:-1])} or {names[-1]}")
            return
        self._set(
            ("fallback", "model") if is_fallback else ("model", "kind"), kind, name
        )
        paths = fallback_paths(kind) if is_fallback else model_paths(kind)
        self._read(model, name, paths)

    def _read(self, part: Any, name: str, paths: Mapping[str, Path]) -> None:
        """Read the parameters of a part; those that are no settings must be unset."""
        for parameter, described in signature(type(part)).parameters.items():
            value = getattr(part, parameter)
            if parameter == "target":
                full = f"{name}__target"
                if value is not None and type(value) is not ReturnTarget:
                    self._refuse(full, value, "None or a ReturnTarget")
                else:
                    self._read(value or ReturnTarget(), full, paths)
                continue
            full = f"{name}__{parameter}" if name else parameter
            if parameter in paths:
                if paths[parameter]:
                    self._set(paths[parameter], value, full)
            elif not _is_default(value, described.default):
                self._refuse(full, value, f"left at {described.default!r}")

    def _set(self, path: Path, value: Any, parameter: str) -> None:
        """Take a setting over, unless a file would take it for None."""
        word = null_word(self.fields[path])
        if isinstance(value, str) and word == value:
            self._refuse(parameter, value, f"another name than {word!r}")
            return
        if value is None and not word:
            self._refuse(parameter, value, allowed(self.fields[path]))
            return
        *sections, key = path
        table = self.settings
        for section in sections:
            table = table.setdefault(section, {})
        table[key] = value
        self.origins[path] = Origin("parameter", f"parameter {parameter}")

    def _refuse(self, parameter: str, value: Any, rule: str) -> None:
        """Note a parameter that no file can express."""
        advice = "A file cannot express that: make this part in Python."
        self.problems.append(Problem((parameter,), f"be {rule}", shown(value), advice))


def _is_default(value: Any, default: Any) -> bool:
    """Tell whether a parameter, of any type, is as if it had not been set."""
    if value is default or (isinstance(value, Mapping) and not value):
        return True
    return isinstance(value, str) and isinstance(default, str) and value == default


def _changes(
    config: BatchForecastingConfig, base: BatchForecastingConfig
) -> dict[Path, Any]:
    """Find the settings in which a configuration differs from another."""
    one, other = config.model_dump(), base.model_dump()
    values = {path: look_up(one, path) for path in settings_of(type(config))}
    return {p: value for p, value in values.items() if value != look_up(other, p)}


def _shortest(config: Config) -> Config:
    """Leave out the settings that are as the preset or the defaults have them."""
    kind = type(config)
    settings: dict[str, Any] = {}
    base = kind()
    # First what decides on the values of others.
    for deciding in ({("preset",)}, set(_CHOICES), None):
        for path, value in _changes(config, base).items():
            if deciding is None or path in deciding:
                settings = merged(settings, nested(path, value))
        base = kind(**settings)
    return base
