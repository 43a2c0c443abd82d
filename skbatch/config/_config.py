"""All settings of a batch forecasting system."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from skbatch.config._base import (
    Section,
    accept,
    given,
    null_word,
    sections,
    setting,
)
from skbatch.config._load import load, merged
from skbatch.config._parts import batch_class, inapplicable
from skbatch.config._presets import PRESETS, preset_settings
from skbatch.config._sections import (
    BatchConfig,
    FallbackConfig,
    FeatureConfig,
    Idle,
    ModelConfig,
    PerformanceConfig,
)
from skbatch.config._toml import render_toml
from skbatch.config._types import Count, Horizons

__all__ = ["BatchForecastingConfig"]

_SYSTEM = "BatchForecastingSystem"


class BatchForecastingConfig(Section):
    """All settings of a batch forecasting system.

    A setting that is not given has the preset's value, and without one the default.
    Configurations cannot be changed; :meth:`replace` makes a changed copy.

    Parameters
    ----------
    horizon : int or sequence of int, default=5
        Rows that a forecast looks ahead.
    preset : {"speed", "accuracy"} or None, default=None
        Name of the preset; see `presets`.
    batch : BatchConfig or dict
        How the tickers are divided into batches.
    features : FeatureConfig or dict
        Which features are computed.
    model : ModelConfig or dict
        Which model forecasts the returns.
    fallback : FallbackConfig or dict
        What serves tickers that the model cannot.
    performance : PerformanceConfig or dict
        Which processors do the work.

    Attributes
    ----------
    presets : mapping
        Preset → section → key → value.

    Raises
    ------
    ConfigError
        Listing every wrong key, type and value.

    Examples
    --------
    >>> from skbatch.config import BatchForecastingConfig
    >>> config = BatchForecastingConfig(preset="speed", model={"max_depth": 3})
    >>> config.model.max_depth, config.model.n_estimators
    (3, 100)
    >>> print(config.to_toml())
    preset = "speed"
    <BLANKLINE>
    [model]
    max_depth = 3
    <BLANKLINE>
    >>> BatchForecastingConfig(model={"max_dept": 3})
    Traceback (most recent call last):
    ...
    skbatch.exceptions.ConfigError: `model.max_dept` must be a key that skbatch knows.
    Got 3. Did you mean `model.max_depth`?
    """

    presets: ClassVar[Mapping[str, Any]] = MappingProxyType(PRESETS)

    horizon: Count | Horizons = setting(
        _SYSTEM,
        "horizon",
        "Rows that a forecast looks ahead: 5 is a week of trading days. A list makes "
        "forecasts for several horizons.",
    )
    preset: Literal["speed", "accuracy"] | None = setting(
        _SYSTEM,
        "preset",
        "Settings to start from. What is set here or elsewhere wins over them.",
        null="none",
    )
    batch: BatchConfig = Field(default_factory=BatchConfig)
    features: FeatureConfig = Field(default_factory=FeatureConfig)
    model: ModelConfig = Field(default_factory=ModelConfig)
    fallback: FallbackConfig = Field(default_factory=FallbackConfig)
    performance: PerformanceConfig = Field(default_factory=PerformanceConfig)

    @model_validator(mode="wrap")
    @classmethod
    def _complete(cls, data: Any, handler: Any) -> Any:
        """Fill in the preset's values, which stay apart from what the user set."""
        if not isinstance(data, Mapping):
            return handler(data)
        own = _accepted(cls, data)
        config = handler(_with_idle(_with_preset(own)))
        for name in sections(cls):
            section = getattr(config, name)
            chosen = section.model_fields_set & set(own.get(name, ()))
            object.__setattr__(section, "__pydantic_fields_set__", chosen)
        chosen = config.model_fields_set & set(own)
        object.__setattr__(config, "__pydantic_fields_set__", chosen)
        return config

    def replace(self, **changes: Any) -> Self:
        """Make a copy with some settings changed.

        Parameters
        ----------
        **changes : dict
            As the constructor takes them. Settings of a section that are not named
            stay as they are.

        Returns
        -------
        BatchForecastingConfig
            A new configuration.

        Raises
        ------
        ConfigError
            If a setting is wrong.

        Examples
        --------
        >>> from skbatch.config import BatchForecastingConfig
        >>> config = BatchForecastingConfig(horizon=1, model={"max_depth": 3})
        >>> config = config.replace(model={"max_bin": 32})
        >>> config.horizon, config.model.max_depth, config.model.max_bin
        (1, 3, 32)
        """
        return type(self)(**merged(given(self), _accepted(type(self), changes)))

    @classmethod
    def from_file(
        cls,
        path: str | os.PathLike[str] | None = None,
        env: bool = True,
        **explicit: Any,
    ) -> Self:
        """Read a TOML file and the environment.

        What is passed here wins over environment variables, these over the file, the
        file over the preset, and that over the defaults.

        Parameters
        ----------
        path : path-like or None, default=None
            TOML file; None reads none.
        env : bool, default=True
            Whether to read variables such as ``SKBATCH_HORIZON`` and
            ``SKBATCH_MODEL__MAX_DEPTH``, written as in the file; text needs no quotes.
        **explicit : dict
            Settings, as the constructor takes them.

        Returns
        -------
        BatchForecastingConfig
            The configuration.

        Raises
        ------
        ConfigError
            Listing every wrong key, type and value, with the line of the file or the
            variable.
        OSError
            If the file cannot be read.

        Examples
        --------
        >>> from skbatch.config import BatchForecastingConfig
        >>> BatchForecastingConfig.from_file(env=False, horizon=[1, 5]).horizon
        (1, 5)
        """
        return load(cls, path, env, _accepted(cls, explicit))[0]

    def to_toml(self) -> str:
        """Write what was set as a TOML document.

        Returns
        -------
        str
            A document that :meth:`from_file` reads. Settings that were not made are
            left out.

        Examples
        --------
        >>> from skbatch.config import BatchForecastingConfig
        >>> print(BatchForecastingConfig(model={"scale": None}).to_toml())
        [model]
        scale = "none"
        <BLANKLINE>
        """
        return render_toml(_with_words(type(self), given(self)))

    def to_params(self) -> dict[str, Any]:
        """Turn the settings into parameters of a system.

        Returns
        -------
        dict
            Parameters of :class:`~skbatch.batch.BatchForecastingSystem`. A part is
            None where all of its settings are the preset's or the defaults.

        Raises
        ------
        ConfigError
            If `batch.enabled` is false: a system is a batch.

        Examples
        --------
        >>> from skbatch.config import BatchForecastingConfig
        >>> params = BatchForecastingConfig(model={"kind": "mean"}).to_params()
        >>> params["horizon"], params["features"]
        (5, None)
        >>> params["forecaster"].estimator
        HistoricalMeanForecaster()
        """
        from skbatch.config._convert import to_params

        return to_params(self)

    def to_system(self) -> Any:
        """Make a system with these settings.

        Returns
        -------
        BatchForecastingSystem
            An unfitted system.

        Raises
        ------
        ConfigError
            If `batch.enabled` is false: a system is a batch.
        """
        return batch_class(_SYSTEM)(**self.to_params())

    @classmethod
    def from_system(cls, system: Any) -> Self:
        """Read the settings of a system.

        Parameters
        ----------
        system : BatchForecastingSystem
            The system, fitted or not.

        Returns
        -------
        BatchForecastingConfig
            The settings that are neither the preset's nor the defaults.

        Raises
        ------
        ConfigError
            Naming every parameter that a file cannot express, such as functions,
            tables of market data, and estimators of other classes.
        """
        from skbatch.config._convert import from_system

        return from_system(cls, system)


def _accepted(config: type[Section], data: Mapping[str, Any]) -> dict[str, Any]:
    """Turn sections into dicts, and what they hold into Python's values."""
    inner = sections(config)
    data = {k: given(v) if isinstance(v, Section) else v for k, v in data.items()}
    return {
        name: accept(inner[name], value)
        if name in inner and isinstance(value, Mapping)
        else value
        for name, value in accept(config, data).items()
    }


def _with_preset(settings: dict[str, Any]) -> dict[str, Any]:
    """Fill in what the preset sets and the user does not."""
    preset = settings.get("preset")
    if not isinstance(preset, str) or preset not in PRESETS:
        return settings
    filled = dict(settings)
    for (section, key), value in preset_settings(preset, settings).items():
        values = filled.get(section, {})
        if isinstance(values, Mapping):
            filled[section] = {key: value, **values}
    return filled


def _with_idle(settings: dict[str, Any]) -> dict[str, Any]:
    """Mark settings of the processors that the kind of model does not use."""
    values = settings.get("performance")
    if not isinstance(values, Mapping):
        return settings
    idle = dict(inapplicable(settings))
    marked = {
        key: Idle(value, idle["performance", key])
        if value is not None and ("performance", key) in idle
        else value
        for key, value in values.items()
    }
    return {**settings, "performance": marked}


def _with_words(config: type[Section], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Write None as files do, also within the sections."""
    inner, fields = sections(config), config.model_fields
    return {
        name: _with_words(inner[name], value)
        if name in inner
        else null_word(fields[name])
        if value is None
        else value
        for name, value in settings.items()
    }
