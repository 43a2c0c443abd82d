"""All settings of a batch forecasting system."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NoReturn, Self

from skbatch.batch import BatchErrorHandler, BatchForecastingSystem
from skbatch.config._read_settings import (
    Values,
    check,
    complete,
    config_error,
    flatten,
    plain,
    read,
    without_effect,
)
from skbatch.config._rules import toml_key, toml_value
from skbatch.config._settings import KINDS, PARTS, SECTIONS, SETTINGS
from skbatch.exceptions import ConfigError
from skbatch.feature_extraction import SharedFeatureExtractor
from skbatch.forecasting import (
    BatchLinearForecaster,
    FallbackForecaster,
    ReturnTarget,
)

__all__ = ["BatchForecastingConfig"]

# What a part is where a system, or a part of it, has none of its own.
_DEFAULT_PARTS = {
    "features": SharedFeatureExtractor,
    "forecaster": FallbackForecaster,
    "error_handler": BatchErrorHandler,
    "fallback": BatchLinearForecaster,
    "target": ReturnTarget,
}


class _Section(SimpleNamespace):
    """Settings that are read as attributes, and cannot be changed."""

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError(
            f"`{name}` must not be changed in place. Got {value!r}. Make a changed "
            "copy with `replace`."
        )

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...


class BatchForecastingConfig(_Section):
    """All settings of a batch forecasting system.

    A setting that is not given has its default.
    Configurations cannot be changed; :meth:`replace` makes a changed copy.

    Parameters
    ----------
    **settings
        ``horizon``, and a dict for each of the sections ``batch``,
        ``features``, ``model``, ``fallback`` and ``performance``.
        :ref:`guide-configuration` lists all of them.

    Raises
    ------
    ConfigError
        Listing every wrong key, type and value.

    Examples
    --------
    >>> from skbatch import BatchForecastingConfig
    >>> config = BatchForecastingConfig(horizon=1, model={"max_depth": 3})
    >>> config.model.max_depth, config.model.n_estimators
    (3, 150)
    >>> print(config.to_toml())
    horizon = 1
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

    def __init__(self, **settings: Any) -> None:
        self._fill(flatten(settings))

    def _fill(self, given: Values) -> Self:
        check(given)
        super().__init__(**_sections(_nested(complete(given))), _given=given)
        return self

    @classmethod
    def _of(cls, given: Values) -> Self:
        """Make a configuration of settings by path."""
        return cls.__new__(cls)._fill(given)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.to_dict() == self.to_dict()

    def __repr__(self) -> str:
        given = (f"{key}={value!r}" for key, value in _nested(self._given).items())
        return f"{type(self).__name__}({', '.join(given)})"

    def to_dict(self) -> dict[str, Any]:
        """Return all settings, defaults included.

        Returns
        -------
        dict
            Settings by key, those of a section as a dict.
        """
        return _nested(complete(self._given))

    def replace(self, **changes: Any) -> Self:
        """Make a copy with some settings changed.

        Parameters
        ----------
        **changes
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
        >>> from skbatch import BatchForecastingConfig
        >>> config = BatchForecastingConfig(horizon=1, model={"max_depth": 3})
        >>> config = config.replace(model={"max_bin": 32})
        >>> config.horizon, config.model.max_depth, config.model.max_bin
        (1, 3, 32)
        """
        return self._of({**self._given, **flatten(changes)})

    @classmethod
    def from_file(
        cls,
        path: str | os.PathLike[str] | None = None,
        env: bool = True,
        **overrides: Any,
    ) -> Self:
        """Read a TOML file and the environment.

        Arguments win over environment variables, these over the file, and that over the
        defaults.

        Parameters
        ----------
        path : path-like or None, default=None
            TOML file; None reads none.
        env : bool, default=True
            Whether to read variables such as ``SKBATCH_HORIZON`` and
            ``SKBATCH_MODEL__MAX_DEPTH``, written as in the file; text needs no quotes.
        **overrides
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

        Warns
        -----
        SkbatchWarning
            For a variable whose name is nearly that of a setting.

        Examples
        --------
        >>> from skbatch import BatchForecastingConfig
        >>> BatchForecastingConfig.from_file(env=False, horizon=[1, 5]).horizon
        (1, 5)
        """
        return cls._of(read(path, env, overrides)[0])

    @classmethod
    def from_system(cls, system: BatchForecastingSystem) -> Self:
        """Read the settings of a system.

        Parameters
        ----------
        system : BatchForecastingSystem
            The system, fitted or not.

        Returns
        -------
        BatchForecastingConfig
            The settings that are not the defaults.

        Raises
        ------
        ConfigError
            Naming every parameter that a file cannot express, such as functions,
            tables of market data, and estimators of other classes.
        """
        if not isinstance(system, BatchForecastingSystem):
            raise TypeError(
                "`system` must be a BatchForecastingSystem. Got a "
                f"{type(system).__name__}. Pass the system, not a part of it."
            )
        params = _all_params(system)
        own = _choices(params)
        base = complete(own)
        names = _param_names(own)
        values = flatten(
            _nested({p: params[n] for n, p in names.items() if n in params})
        )
        own |= {p: v for p, v in values.items() if v != base[p]}
        config = cls._of(own)
        wanted, got = map(_comparable, (params, _all_params(config.to_system())))
        lost = {n: value for n, value in wanted.items() if got.get(n, ...) != value}
        rule = "must be left at its default. Got {}. Make this part in Python."
        problems = [
            f"`{name}` {rule.format(getattr(value, '__name__', value))}"
            for name, value in lost.items()
            if not any(name.startswith(f"{outer}__") for outer in lost)
        ]
        if problems:
            raise config_error(problems)
        return config

    def to_toml(self) -> str:
        """Write what was set as a TOML document.

        Returns
        -------
        str
            A document that :meth:`from_file` reads. Settings that were not made are
            left out.
        """
        blocks: dict[str, str] = {"": ""}
        for path in sorted(self._given, key=list(SETTINGS).index):
            section, _, key = path.rpartition(".")
            lines, value = (
                {key: SETTINGS[path].text(self._given[path])},
                self._given[path],
            )
            if isinstance(value, dict):
                section, lines = path, {k: toml_value(v) for k, v in value.items()}
            text = blocks.setdefault(section, f"[{section}]\n")
            blocks[section] = text + "".join(
                f"{toml_key(k)} = {v}\n" for k, v in lines.items()
            )
        return "\n".join(filter(None, blocks.values()))

    def to_params(self) -> dict[str, Any]:
        """Turn the settings into parameters of a system.

        Returns
        -------
        dict
            Parameters of :class:`~skbatch.BatchForecastingSystem`. A part is None where
            all of its settings are the defaults.

        Raises
        ------
        ConfigError
            If `batch.enabled` is false: a system is a batch.

        Examples
        --------
        >>> from skbatch import BatchForecastingConfig
        >>> params = BatchForecastingConfig(model={"kind": "mean"}).to_params()
        >>> params["horizon"], params["features"]
        (5, None)
        >>> params["forecaster"].estimator
        HistoricalMeanForecaster()
        """
        if not self.batch.enabled:
            raise ConfigError(
                "`batch.enabled` must be true for a BatchForecastingSystem. Got false. "
                "Forecast one ticker at a time with robust_forecast_returns(tickers, "
                "prices, config=...), or remove the setting."
            )
        system = BatchForecastingSystem()
        values = complete(self._given)
        kinds = "model.kind", "fallback.enabled", "fallback.model"
        if any(values[path] != SETTINGS[path].default for path in kinds):
            forecaster: Any = KINDS[self.model.kind]()
            if self.fallback.enabled:
                simpler = KINDS[self.fallback.model]()
                forecaster = FallbackForecaster(forecaster, simpler)
            system.set_params(forecaster=forecaster)
        held = system.get_params()
        wanted = {name: values[path] for name, path in _param_names(values).items()}
        system.set_params(**{n: v for n, v in wanted.items() if held[n] != v})
        return dict(system.get_params(deep=False))

    def to_system(self) -> BatchForecastingSystem:
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
        return BatchForecastingSystem(**self.to_params())


def _sections(nested: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Make sections of tables, but not of settings that are tables."""
    return {
        key: _Section(**_sections(value, f"{path}{key}."))
        if f"{path}{key}" in SECTIONS
        else value
        for key, value in nested.items()
    }


def _nested(values: Values) -> dict[str, Any]:
    """Put settings into the tables that they belong to."""
    nested: dict[str, Any] = {}
    for path, value in values.items():
        *sections, key = path.split(".")
        table = nested
        for section in sections:
            table = table.setdefault(section, {})
        table[key] = value
    return nested


def _param_names(values: Values) -> dict[str, str]:
    """Map the parameters of a system that are set by settings to these."""
    idle = without_effect(values)
    names: dict[str, str] = {}
    for part in PARTS:
        prefix = part.prefix
        if values.get("fallback.enabled") is False:
            prefix = prefix.replace("forecaster__estimator__", "forecaster__")
        paths = part.paths.items()
        names |= {f"{prefix}{name}": path for name, path in paths if path not in idle}
    return names


def _all_params(system: BatchForecastingSystem) -> dict[str, Any]:
    """List the parameters of a system and its parts, also where they are defaults."""
    params = dict(system.get_params())
    if params.get("forecaster__fallback", ...) is None:
        simpler = BatchLinearForecaster().get_params()
        params |= {f"forecaster__fallback__{name}": simpler[name] for name in simpler}
    return params


def _choices(params: Mapping[str, Any]) -> Values:
    """Find which kinds of parts a system has."""
    forecaster, simpler = params["forecaster"], params.get("forecaster__fallback")
    model = params.get("forecaster__estimator", forecaster)
    found = {
        "fallback.enabled": type(forecaster) not in KINDS.values(),
        "model.kind": _kind(model),
        "fallback.model": _kind(simpler),
    }
    settings = ((path, SETTINGS[path]) for path in found)
    return {
        p: found[p]
        for p, s in settings
        if s.accepts(found[p]) and found[p] != s.default
    }


def _kind(model: Any) -> str | None:
    return next((kind for kind, owner in KINDS.items() if type(model) is owner), None)


def _comparable(params: Mapping[str, Any]) -> dict[str, Any]:
    """Bring parameters into a form that can be compared, parts as their classes."""
    found: dict[str, Any] = {}
    for name, value in params.items():
        key = name.rpartition("__")[2]
        if key in _DEFAULT_PARTS:
            found[name] = _DEFAULT_PARTS[key] if value is None else type(value)
        elif key == "functions":
            found[name] = value or None
        else:
            value = plain(value)
            simple = value is None or isinstance(
                value, str | int | float | tuple | dict
            )
            found[name] = value if simple else type(value)
    return found
