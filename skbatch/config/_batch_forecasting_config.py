"""All settings of a batch forecasting system."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Self

from skbatch.batch import BatchForecastingSystem
from skbatch.batch.engine import PRESETS
from skbatch.config._read_settings import (
    config_error,
    flatten,
    plain,
    problems,
    read_environment,
    read_file,
)
from skbatch.config._settings import KINDS, PARTS, SETTINGS, Path, idle
from skbatch.config._toml import dotted, toml_value
from skbatch.exceptions import ConfigError
from skbatch.forecasting import (
    BatchLinearForecaster,
    FallbackForecaster,
    ReturnTarget,
)

__all__ = ["BatchForecastingConfig", "load", "preset_values"]

_FORECASTER = {
    path for path in SETTINGS if path[0] in ("model", "fallback", "performance")
}
_SYSTEM = set(PARTS["system"].paths.values())
_HANDLER = set(PARTS["error_handler"].paths.values())


class _Section:
    """Settings that are read as attributes, and cannot be changed."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        vars(self).update(values)

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError(
            f"`{name}` must not be changed in place. Got {value!r}. Make a changed "
            "copy with `replace`."
        )

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and vars(other) == vars(self)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        values = (f"{k}={v!r}" for k, v in vars(self).items() if k[0] != "_")
        return f"{type(self).__name__.lstrip('_')}({', '.join(values)})"

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...


class BatchForecastingConfig(_Section):
    """All settings of a batch forecasting system.

    A setting that is not given has the preset's value, and without one the default.
    Configurations cannot be changed; :meth:`replace` makes a changed copy.

    Parameters
    ----------
    **settings
        ``horizon`` and ``preset``, and a dict for each of the sections ``batch``,
        ``features``, ``model``, ``fallback`` and ``performance``.
        :ref:`guide-configuration` lists all of them.

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
    >>> from skbatch import BatchForecastingConfig
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

    presets: ClassVar[Mapping[str, Any]] = MappingProxyType(
        {name: {"model": values} for name, values in PRESETS.items()}
    )

    def __init__(self, **settings: Any) -> None:
        given = flatten(settings)
        if found := list(problems(given)):
            raise config_error(found)
        super().__init__(_sections(_nested(_complete(given))))
        vars(self)["_given"] = given

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.to_dict() == self.to_dict()

    def to_dict(self) -> dict[str, Any]:
        """Return all settings, those of presets and defaults included.

        Returns
        -------
        dict
            Settings by key, those of a section as a dict.
        """
        return _nested(_complete(self._given))

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
        return type(self)(**_nested({**self._given, **flatten(changes)}))

    @classmethod
    def from_file(
        cls,
        path: str | os.PathLike[str] | None = None,
        env: bool = True,
        **overrides: Any,
    ) -> Self:
        """Read a TOML file and the environment.

        Arguments win over environment variables, these over the file, the file over
        the preset, and that over the defaults.

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
        return cls(**_nested(load(path, env, overrides)[0]))

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
            The settings that are neither the preset's nor the defaults.

        Raises
        ------
        ConfigError
            Naming every parameter that a file cannot express, such as functions,
            tables of market data, and estimators of other classes.
        """
        values = _read_system(system)
        # The choices come first, since defaults depend on them.
        own = {
            path: value
            for path, value in values.items()
            if (path == ("preset",) or not SETTINGS[path].parts)
            and value != SETTINGS[path].default
        }
        base = _complete(own)
        own |= {path: v for path, v in values.items() if v != base[path]}
        config = cls(**_nested(own))
        wanted, got = _comparable(system), _comparable(config.to_system())
        lost = {key: v for key, v in wanted.items() if got.get(key, ...) != v}
        rule = "must be left at its default. Got {}. Make this part in Python."
        found = [
            ((key,), rule.format(getattr(value, "__name__", value)))
            for key, value in lost.items()
            if not any(key.startswith(f"{outer}__") for outer in lost)
        ]
        if found:
            raise config_error(found)
        return config

    def to_toml(self) -> str:
        """Write what was set as a TOML document.

        Returns
        -------
        str
            A document that :meth:`from_file` reads. Settings that were not made are
            left out.
        """
        blocks: dict[Path, list[str]] = {}
        for path in (path for path in SETTINGS if path in self._given):
            value = self._given[path]
            tables = isinstance(value, dict)
            lines = blocks.setdefault(path if tables else path[:-1], [])
            if tables:
                lines += [f"{dotted([k])} = {toml_value(v)}" for k, v in value.items()]
            else:
                lines.append(f"{path[-1]} = {SETTINGS[path].text(value)}")
        return "\n".join(
            "".join(f"{line}\n" for line in ([f"[{dotted(at)}]"] if at else []) + lines)
            for at, lines in sorted(blocks.items(), key=lambda block: bool(block[0]))
        )

    def to_params(self) -> dict[str, Any]:
        """Turn the settings into parameters of a system.

        Returns
        -------
        dict
            Parameters of :class:`~skbatch.BatchForecastingSystem`. A part is None where
            all of its settings are the preset's or the defaults.

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
        values, base = _complete(self._given), _complete({("preset",): self.preset})
        changed = {path for path, value in values.items() if value != base[path]}
        params = _parameters("system", values)
        params |= dict.fromkeys(["features", "forecaster", "error_handler"])
        if changed & set(PARTS["features"].paths.values()):
            params["features"] = _make("features", values)
        if changed & (_FORECASTER - _SYSTEM - _HANDLER):
            params["forecaster"] = self._make_forecaster(values)
        if changed & _HANDLER:
            params["error_handler"] = _make("error_handler", values)
        return params

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

    def _make_forecaster(self, values: Mapping[Path, Any]) -> Any:
        model = _make_model("model", self.model.kind, values)
        if not self.fallback.enabled:
            return model
        simpler = _make_model("fallback", self.fallback.model, values)
        return FallbackForecaster(model, simpler, **_parameters("fallback", values))


def load(
    path: str | os.PathLike[str] | None, env: bool, overrides: Mapping[str, Any]
) -> tuple[dict[Path, Any], dict[Path, str]]:
    """Read all layers, and where each setting was made."""
    values, origins = read_file(path) if path is not None else ({}, {})
    above = flatten(overrides)
    layers = [read_environment()] if env else []
    for layer, places in (*layers, (above, dict.fromkeys(above, "argument"))):
        for setting in layer:  # in the order of their places
            values.pop(setting, None)
            origins = {p: o for p, o in origins.items() if p[: len(setting)] != setting}
        values, origins = values | layer, origins | places
    if found := list(problems(values)):
        raise config_error(found, origins)
    return values, origins


def preset_values(values: Mapping[Path, Any]) -> dict[Path, Any]:
    """List what the preset sets, as far as it has an effect beside other settings."""
    without_effect = idle(values)
    preset = PRESETS.get(values.get(("preset",)) or "", {})
    own = {("model", key): value for key, value in preset.items()}
    return {path: v for path, v in own.items() if path not in without_effect}


def _complete(given: Mapping[Path, Any]) -> dict[Path, Any]:
    """Fill in presets and defaults."""
    defaults = {path: setting.default for path, setting in SETTINGS.items()}
    return {**defaults, **preset_values(given), **given}


def _nested(values: Mapping[Path, Any]) -> dict[str, Any]:
    """Put settings into the tables that they belong to."""
    nested: dict[str, Any] = {}
    for path, value in values.items():
        table = nested
        for key in path[:-1]:
            table = table.setdefault(key, {})
        table[path[-1]] = value
    return nested


def _sections(nested: Mapping[str, Any], path: Path = ()) -> dict[str, Any]:
    """Make sections of tables, but not of settings that are tables."""
    return {
        key: _Section(_sections(value, (*path, key)))
        if isinstance(value, dict) and (*path, key) not in SETTINGS
        else value
        for key, value in nested.items()
    }


def _parameters(part: str, values: Mapping[Path, Any]) -> dict[str, Any]:
    return {name: values[path] for name, path in PARTS[part].paths.items()}


def _make(part: str, values: Mapping[Path, Any]) -> Any:
    return PARTS[part].owner(**_parameters(part, values))


def _make_model(section: str, kind: str, values: Mapping[Path, Any]) -> Any:
    """Make a model, with a target only where it is not the default."""
    model, target = (
        _make(f"{section}.{kind}", values),
        _make(f"{section}.target", values),
    )
    if hasattr(model, "target") and target.get_params() != type(target)().get_params():
        model.set_params(target=target)
    return model


def _read_system(system: Any) -> dict[Path, Any]:
    """Read the settings of those parts of a system that files can express."""
    if not isinstance(system, BatchForecastingSystem):
        raise TypeError(
            "`system` must be a BatchForecastingSystem. Got a "
            f"{type(system).__name__}. Pass the system, not a part of it."
        )
    parts = {"system": system, "features": system.features}
    parts["error_handler"] = system.error_handler
    values: dict[Path, Any] = {}
    models = {"model": system.forecaster}
    if type(system.forecaster) is FallbackForecaster:
        parts["fallback"] = system.forecaster
        models["model"] = system.forecaster.estimator
        models["fallback"] = system.forecaster.fallback
    elif system.forecaster is not None:
        values["fallback", "enabled"] = False
    for section, model in models.items():
        kind = next((k for k, owner in KINDS.items() if type(model) is owner), None)
        if kind is not None and f"{section}.{kind}" in PARTS:
            values[section, "kind" if section == "model" else "model"] = kind
            parts[f"{section}.{kind}"] = model
            parts[f"{section}.target"] = getattr(model, "target", None)
    for name, made in parts.items():
        for key, path in PARTS[name].paths.items():
            if type(made) is PARTS[name].owner:
                values[path] = getattr(made, key)
    return flatten(_nested(values))


def _comparable(system: BatchForecastingSystem) -> dict[str, Any]:
    """List parameters in a form that can be compared, parts as their classes."""
    params = BatchForecastingSystem(**system.get_params(deep=False))
    for name, make in params._default_parts().items():
        if getattr(params, name) is None:
            params.set_params(**{name: make()})
    forecaster = params.forecaster
    if isinstance(forecaster, FallbackForecaster) and forecaster.fallback is None:
        params.forecaster = FallbackForecaster(**forecaster.get_params(deep=False))
        params.forecaster.fallback = BatchLinearForecaster()
    found: dict[str, Any] = {}
    for name, value in params.get_params(deep=True).items():
        if value is None and name.endswith("__target"):
            value = ReturnTarget()
        value = value or None if name.endswith("__functions") else plain(value)
        is_plain = value is None or isinstance(value, str | int | float | tuple | dict)
        found[name] = value if is_plain else type(value)
    return found
