"""All settings of a batch forecasting system."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NoReturn, Self

import tomli_w

from skbatch.batch import BatchForecastingSystem
from skbatch.config._settings import (
    KINDS,
    SETTINGS,
    Values,
    choose,
    make_system,
    setting_paths,
)
from skbatch.config.engine import (
    check,
    complete,
    flatten,
    plain,
    read_layers,
)
from skbatch.exceptions import ConfigError


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

    A setting that is not given has its default. Configurations cannot be
    changed; :meth:`replace` makes a changed copy.

    Parameters
    ----------
    **settings
        ``horizon`` and ``delay``, and a dict for each of the sections ``batch``,
        ``features``, ``model``, ``fallback`` and ``performance``.
        :ref:`guide-configuration` lists all of them.

    Raises
    ------
    ConfigError
        Listing every wrong key, type and value.

    Examples
    --------
    >>> from skbatch import BatchForecastingConfig
    >>> config = BatchForecastingConfig(horizon=21, model={"max_depth": 3})
    >>> config.model.max_depth, config.model.max_bin
    (3, 32)
    >>> print(config.to_toml())
    horizon = 21
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
        given = flatten(settings)
        check(given)
        super().__init__(**_nest(complete(given), _Section), _given=given)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.to_dict() == self.to_dict()

    def __repr__(self) -> str:
        given = (f"{key}={value!r}" for key, value in _nest(self._given).items())
        return f"{type(self).__name__}({', '.join(given)})"

    def to_dict(self) -> dict[str, Any]:
        """Return all settings, defaults included.

        Returns
        -------
        dict
            Settings by key, those of a section as a dict.
        """
        return _nest(complete(self._given))

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some settings changed.

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
        """
        return type(self)(**self._given | flatten(changes))

    @classmethod
    def from_file(
        cls,
        path: str | os.PathLike[str] | None = None,
        env: bool = True,
        **overrides: Any,
    ) -> Self:
        """Read a TOML file and the environment.

        Arguments take precedence over environment variables, environment variables
        over the file, and the file over the defaults.

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
            Listing every wrong key, type and value, with its file or variable.
        OSError
            If the file cannot be read.

        Warns
        -----
        SkbatchWarning
            For a variable whose name looks like a misspelled setting.
        """
        return cls(**read_layers(path, env, overrides)[0])

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
        params, kinds = system.get_params(), {KINDS[kind]: kind for kind in KINDS}
        model = params.get("forecaster__estimator", params["forecaster"])
        simpler = params.get("forecaster__fallback")
        choices = {
            "model.kind": kinds.get(type(model)),
            "fallback.enabled": type(params["forecaster"]) not in kinds,
            "fallback.model": kinds.get(type(simpler)),
        }
        given = choose(choices)
        usual = make_system(given)
        paths = setting_paths(usual)
        for name in params.keys() & paths:
            if paths[name] in SETTINGS:
                given[paths[name]] = plain(params[name])
        given = {p: v for p, v in given.items() if not SETTINGS[p].is_default(v)}
        # A parameter that is "none" must not become None, which a file calls "none".
        check(given, others=_foreign(params, usual.get_params(), paths))
        return cls(**given)

    def to_toml(self) -> str:
        """Write what was set as a TOML document.

        Returns
        -------
        str
            A document that :meth:`from_file` reads. Settings that were not made are
            left out.
        """
        ordered = sorted(self._given, key=list(SETTINGS).index)
        nulls = {p: SETTINGS[p].null for p in ordered if self._given[p] is None}
        return tomli_w.dumps(_nest({p: self._given[p] for p in ordered} | nulls))

    def to_system(self) -> BatchForecastingSystem:
        """Create a system with these settings.

        Returns
        -------
        BatchForecastingSystem
            An unfitted system.

        Raises
        ------
        ConfigError
            If `batch.enabled` is false, because a system always forecasts in batches.
        """
        if not self.batch.enabled:
            raise ConfigError(
                "`batch.enabled` must be true for a BatchForecastingSystem. Got false. "
                "Forecast one ticker at a time with robust_forecast_returns(tickers, "
                "prices, config=...), or remove the setting."
            )
        values = complete(self._given)
        system = make_system(values)
        paths = setting_paths(system).items()
        return system.set_params(**{n: values[p] for n, p in paths if p in values})


def _nest(values: Values, make: Callable[..., Any] = dict, above: str = "") -> Any:
    """Assign settings to their sections."""
    own: dict[str, Any] = {}
    for path, value in values.items():
        if path.startswith(above):
            key, _, rest = path.removeprefix(above).partition(".")
            if not rest:
                own[key] = value
            elif key not in own:
                own[key] = make(**_nest(values, make, f"{above}{key}."))
    return own


def _foreign(params: Values, usual: Values, paths: dict[str, str]) -> list[str]:
    """Describe the parts and parameters that no file can express."""
    found: dict[str, str] = {}
    for name in sorted(params.keys() & paths):
        value, kind = params[name], type(params[name])
        same = value == usual[name] if kind is str else kind is type(usual[name])
        inside = any(name.startswith(f"{outer}__") for outer in found)
        if paths[name] not in SETTINGS and not (value is None or same or inside):
            got = value if kind is str else kind.__name__
            found[name] = (
                f"`{name}` must be left at its default. Got {got}. Create this part in "
                "Python."
            )
    return list(found.values())
