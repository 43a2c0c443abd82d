"""Which model forecasts a portfolio: one of the settings, or the user's estimator."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from skbatch.batch import BatchForecastingSystem
from skbatch.batch.engine import default_forecaster
from skbatch.config import BatchForecastingConfig
from skbatch.feature_extraction import SharedFeatureExtractor
from skbatch.forecasting import (
    BatchLinearForecaster,
    ConformalForecaster,
    FallbackForecaster,
    HistoricalMeanForecaster,
)
from skbatch.forecasting.engine import (
    BatchForecasterMixin,
    calibrates_itself,
    horizon_parameters,
)

METHODS = ("batch", "individual", "linear", "mean")
DEFAULT_HORIZON = 5
# How many do the work, and what is kept of it, changes no forecast. Trees of a cluster
# are not those of one machine to the last digits: "engine" stays.
_WITHOUT_EFFECT = {"performance": ("n_jobs",), "batch": ("checkpoint_dir",)}
# The split into batches is irrelevant to one ticker at a time.
_OF_BATCHES = ("max_batch_size", "memory_budget", "groups", "checkpoint_dir", "n_jobs")


@dataclass(frozen=True)
class Model:
    """A model that is fitted on prices, and how it is used."""

    estimator: Any
    horizon: int
    coverage: float | None
    individual: bool
    n_jobs: int | None
    identity: dict[str, Any] | None

    @classmethod
    def choose(
        cls,
        method: str,
        forecaster: Any,
        config: Any,
        horizon: int | None,
        coverage: float | None,
        max_workers: int | None,
    ) -> Model:
        """Create the model that the arguments of `robust_forecast_returns` describe."""
        if forecaster is not None and _takes_prices(forecaster):
            return cls._of_estimator(
                method, forecaster, config, horizon, coverage, max_workers
            )
        if forecaster is not None:
            _check_method(method)
            _check_forecaster(forecaster)
        if horizon is None and forecaster is not None:
            # Its own choice, if it makes one.
            horizon = _horizon_of(forecaster, None)
        settings = _read_config(config, horizon, max_workers)
        individual = method == "individual" or not settings.batch.enabled
        params = _system_params(method, settings)
        if forecaster is not None:
            params["forecaster"] = clone(forecaster)
        if individual:
            params |= dict.fromkeys(_OF_BATCHES)
        system = BatchForecastingSystem(**params)
        seeds = (settings.batch.random_state, settings.model.random_state)
        return cls(
            system if coverage is None else _calibrated(system),
            settings.horizon,
            coverage,
            individual,
            settings.performance.n_jobs,
            None
            if None in seeds or forecaster is not None
            else {"method": method, "coverage": coverage, **_decisive(settings)},
        )

    @classmethod
    def _of_estimator(
        cls,
        method: str,
        forecaster: Any,
        config: Any,
        horizon: int | None,
        coverage: float | None,
        max_workers: int | None,
    ) -> Model:
        """Use an estimator that is fitted on prices as it stands."""
        _check_method(method)
        if config is not None:
            raise ValueError(
                "`config` must be None with a `forecaster` that is fitted on prices. "
                f"Got both, the latter a {type(forecaster).__name__}. Set its "
                "parameters instead."
            )
        model, rows = prepare(forecaster, "auto" if horizon is None else horizon)
        individual = method == "individual"
        params = model.get_params(deep=False)
        if isinstance(model, BatchForecastingSystem) and individual:
            model.set_params(**dict.fromkeys(_OF_BATCHES))
        elif max_workers is not None and "n_jobs" in params:
            model.set_params(n_jobs=_check_workers(max_workers))
        return cls(
            model if coverage is None else _calibrated(model),
            rows,
            coverage,
            individual,
            params.get("n_jobs") if max_workers is None else max_workers,
            None,
        )


def prepare(forecaster: Any, horizon: Any) -> tuple[Any, int]:
    """Copy a forecaster, make it take prices, and settle how far it looks ahead."""
    _check_forecaster(forecaster)
    if isinstance(horizon, str) and horizon == "auto":
        horizon = _horizon_of(forecaster, DEFAULT_HORIZON)
    elif not _is_whole(horizon) or horizon < 1:
        raise ValueError(
            f"`horizon` must be an int of at least 1, or 'auto'. Got {horizon!r}. Pass "
            "the number of rows to look ahead, such as 5."
        )
    model = None if forecaster is None else clone(forecaster)
    if not _takes_prices(forecaster):
        model = BatchForecastingSystem(forecaster=model)
    if isinstance(model, BatchForecastingSystem):
        model.set_params(horizon=int(horizon))
    return model, int(horizon)


def is_search(forecaster: Any) -> bool:
    """Whether it tries parameters of another estimator."""
    return hasattr(forecaster, "cv") and hasattr(forecaster, "estimator")


def _takes_prices(forecaster: Any) -> bool:
    """Whether an estimator is fitted on prices, and not on features."""
    if is_search(forecaster):
        return _takes_prices(forecaster.estimator)
    return isinstance(forecaster, BatchForecastingSystem | Pipeline)


def _check_forecaster(forecaster: Any) -> None:
    """Reject classes, plain regressors and other objects that are not estimators."""
    inner = forecaster.estimator if is_search(forecaster) else forecaster
    kinds = BatchForecasterMixin | BatchForecastingSystem | Pipeline
    if inner is not None and not isinstance(inner, kinds):
        raise TypeError(
            "`forecaster` must be a batch forecaster, a pipeline from prices to "
            f"forecasts, or a BatchForecastingSystem. Got {forecaster!r}. For example, "
            "pass BatchLinearForecaster()."
        )


def _horizon_of(forecaster: Any, default: int | None) -> Any:
    """Read how far a forecaster looks ahead."""
    if is_search(forecaster):
        return _horizon_of(forecaster.estimator, default)
    if isinstance(forecaster, BatchForecastingSystem):
        given = list(np.atleast_1d(forecaster.horizon))
    else:
        params = {} if forecaster is None else horizon_parameters(forecaster)
        given = list({value for value in params.values() if value != "auto"})
    if len(given) > 1:
        raise ValueError(
            "`forecaster` must have one horizon for a portfolio. Got "
            f"{', '.join(map(str, given))}. Pass horizon= to choose one."
        )
    return int(given[0]) if given else default


def _calibrated(model: Any) -> Any:
    """Wrap the forecaster of a model in one with intervals."""
    if isinstance(model, BatchForecastingSystem):
        part = model.forecaster
        part = default_forecaster() if part is None else part
        if not calibrates_itself(part):
            model.set_params(forecaster=ConformalForecaster(part))
    elif isinstance(model, Pipeline):
        name, part = model.steps[-1]
        if not calibrates_itself(part):
            model.set_params(**{name: ConformalForecaster(part)})
    else:
        # The grid of a search names the parameters of what it has.
        inner = model.estimator
        part = inner[-1] if isinstance(inner, Pipeline) else inner.forecaster
        if not calibrates_itself(part):
            raise ValueError(
                "`coverage` must be None for a search whose forecaster gives no "
                f"intervals. Got a {type(model).__name__} of {type(part).__name__}. "
                "Put the forecaster into a ConformalForecaster before the search."
            )
    return model


def _check_method(method: str) -> None:
    """Reject a method that names another model than the forecaster."""
    if method not in ("batch", "individual"):
        raise ValueError(
            "`method` must be 'batch' or 'individual' with a `forecaster`. Got "
            f"{method!r}, which names a forecaster of its own. Leave one of them out."
        )


def _system_params(method: str, config: BatchForecastingConfig) -> dict[str, Any]:
    """Turn method and settings into parameters of a system."""
    params = dict(
        config.replace(batch={"enabled": True}).to_system().get_params(deep=False)
    )
    if config.model.kind != method and method == "linear":
        params["forecaster"] = FallbackForecaster(
            BatchLinearForecaster(), HistoricalMeanForecaster()
        )
    if method == "mean":
        if config.model.kind != method:
            params["forecaster"] = HistoricalMeanForecaster()
        # It reads no features; one is enough to mark a ticker.
        params["features"] = SharedFeatureExtractor("returns", windows=[2])
    return params


def _decisive(config: BatchForecastingConfig) -> dict[str, Any]:
    """Select the settings that forecasts depend on."""
    settings = config.to_dict()
    for section, names in _WITHOUT_EFFECT.items():
        for name in names:
            del settings[section][name]
    return {"config": settings}


def _read_config(
    config: Any, horizon: int | None, max_workers: int | None
) -> BatchForecastingConfig:
    """Read settings, and those that are arguments of the function."""
    if isinstance(config, str | os.PathLike):
        config = BatchForecastingConfig.from_file(config)
    elif config is None or isinstance(config, Mapping):
        config = BatchForecastingConfig.from_file().replace(**(config or {}))
    elif not isinstance(config, BatchForecastingConfig):
        raise ValueError(
            "`config` must be a BatchForecastingConfig, a path, a dict of sections, or "
            f"None. Got a {type(config).__name__}. Pass a system or another estimator "
            "as `forecaster`."
        )
    if horizon is not None:
        config = config.replace(horizon=horizon)
    if isinstance(config.horizon, tuple):
        raise ValueError(
            "`horizon` must be one number of rows: an optimizer needs one expected "
            f"return of each ticker. Got {config.horizon!r}. For example, pass "
            f"horizon={config.horizon[0]}."
        )
    if max_workers is None:
        return config
    return config.replace(performance={"n_jobs": _check_workers(max_workers)})


def _check_workers(number: Any) -> int:
    if not _is_whole(number) or number == 0:
        raise ValueError(
            "`max_workers` must be an integer other than 0, or None. Got "
            f"{number!r}. Pass -1 for one on each core."
        )
    return int(number)


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)
