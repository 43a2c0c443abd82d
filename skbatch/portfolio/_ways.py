"""The ways to forecast a portfolio: all tickers together, or one at a time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import joblib
import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from skbatch._messages import describe_error, silence_warnings
from skbatch._version import __version__
from skbatch.batch import BatchForecastingSystem
from skbatch.batch.engine import MODEL_FAILURES
from skbatch.config import BatchForecastingConfig
from skbatch.exceptions import BatchWarning, FallbackWarning, PanelError, SkbatchWarning
from skbatch.feature_extraction import SharedFeatureExtractor
from skbatch.forecasting import (
    BatchLinearForecaster,
    ConformalForecaster,
    FallbackForecaster,
    HistoricalMeanForecaster,
)
from skbatch.panel import forward_returns, panel_tickers
from skbatch.portfolio._interval import read_interval

__all__ = ["METHODS", "ColumnForecasts", "Way"]

METHODS = ("batch", "individual", "linear", "mean")
INDIVIDUAL = "individual"
_COLUMNS = ["model", "batch", "reason"]
_BOUNDS = ["lower", "upper"]
_LIBRARIES = ("numpy", "pandas", "sklearn", "xgboost")
# How many do the work, and what is kept of it, changes no forecast. Trees of a cluster
# are not those of one machine to the last digits: "engine" stays.
_WITHOUT_EFFECT = {"performance": ("n_jobs",), "batch": ("checkpoint_dir",)}
# How tickers are divided into batches says nothing of one ticker at a time.
_OF_BATCHES = ("max_batch_size", "memory_budget", "groups", "checkpoint_dir")


@dataclass(frozen=True)
class ColumnForecasts:
    """Forecasts over the horizon, by column of the data.

    Attributes
    ----------
    returns : Series of shape (n_columns,)
        Expected simple returns over the horizon.
    provenance : DataFrame of shape (n_columns, 3)
        Model, batch and reason.
    stale : dict of str to str
        Columns whose prices ended, or stand still.
    interval : DataFrame of shape (n_columns, 2) or None
        ``lower`` and ``upper`` over the horizon, where they were asked for.
    """

    returns: pd.Series
    provenance: pd.DataFrame
    stale: dict[str, str]
    interval: pd.DataFrame | None = None

    @classmethod
    def of(
        cls, system: BatchForecastingSystem, coverage: float | None = None
    ) -> ColumnForecasts:
        """Take the forecasts of a fitted system at its last date, with intervals."""
        result = system.forecast()
        interval = None
        if coverage is not None:
            interval = read_interval(system.predict_interval(None, coverage))
        return cls(result.expected_returns, result.provenance, result.stale, interval)

    def to_json(self) -> str:
        """Write as text, from which every number comes back as it was."""
        return json.dumps(
            {
                "tickers": list(self.returns.index),
                "returns": _plain(self.returns),
                **{name: list(self.provenance[name]) for name in _COLUMNS},
                "stale": self.stale,
                "interval": None
                if self.interval is None
                else {name: _plain(self.interval[name]) for name in _BOUNDS}
                | {"attrs": self.interval.attrs},
            }
        )

    @classmethod
    def from_json(cls, text: str) -> ColumnForecasts:
        """Read what `to_json` wrote."""
        known = json.loads(text)
        tickers = pd.Index(known["tickers"], name="ticker", dtype=object)
        table = {name: known[name] for name in _COLUMNS}
        interval = None
        if known["interval"] is not None:
            bounds = {name: known["interval"][name] for name in _BOUNDS}
            interval = pd.DataFrame(bounds, tickers, dtype=np.float64)
            interval.attrs = known["interval"]["attrs"]
        return cls(
            pd.Series(known["returns"], tickers, np.float64),
            pd.DataFrame(table, tickers, dtype=object),
            known["stale"],
            interval,
        )


@dataclass(frozen=True)
class Way:
    """How a panel is forecast.

    Attributes
    ----------
    method : {"batch", "individual", "linear", "mean"}
        What was asked for.
    config : BatchForecastingConfig
        All settings, with one horizon.
    coverage : float or None
        Share of the returns that intervals should hold; None makes no intervals.
    """

    method: str
    config: BatchForecastingConfig
    coverage: float | None = None

    @property
    def is_individual(self) -> bool:
        """Whether each ticker is forecast on its own."""
        return self.method == INDIVIDUAL or not self.config.batch.enabled

    @property
    def is_repeatable(self) -> bool:
        """Whether another run would make the same forecasts."""
        seeds = (self.config.batch.random_state, self.config.model.random_state)
        return None not in seeds

    def key(self, panel: pd.DataFrame, columns: Sequence[str]) -> str:
        """Hash all that the forecasts of some columns depend on."""
        parts = {
            "panel": joblib.hash(panel),
            "method": self.method,
            "coverage": self.coverage,
            "columns": sorted(columns) if self.is_individual else None,
            "config": self._decisive(),
            "skbatch": __version__,
            "libraries": {name: _version(name) for name in _LIBRARIES},
        }
        text = json.dumps(parts, sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=20).hexdigest()

    def _decisive(self) -> dict[str, Any]:
        """Take the settings that forecasts depend on."""
        settings = self.config.to_dict()
        for section, names in _WITHOUT_EFFECT.items():
            for name in names:
                del settings[section][name]
        return settings

    def forecast(self, panel: pd.DataFrame, columns: Sequence[str]) -> ColumnForecasts:
        """Fit on a panel, and forecast its columns from the last date.

        Parameters
        ----------
        panel : DataFrame of shape (n_dates, n_columns)
            Checked prices.
        columns : sequence of str
            Tickers whose forecasts are wanted; others may have some, too.

        Returns
        -------
        ColumnForecasts
            With a number, or NaN and the reason, for each of `columns`.
        """
        if self.is_individual:
            return self._forecast_individually(panel, columns)
        # Told once with all else, for the tickers that were asked for.
        with silence_warnings(BatchWarning, FallbackWarning):
            system = BatchForecastingSystem(**self._params()).fit(panel)
            return ColumnForecasts.of(system, self.coverage)

    def _forecast_individually(
        self, panel: pd.DataFrame, columns: Sequence[str]
    ) -> ColumnForecasts:
        """Forecast one ticker after another, each from its own prices."""
        # What is wrong with all tickers is raised; what fails later is the ticker's.
        forward_returns(panel, self.config.horizon)
        params = self._params() | dict.fromkeys(_OF_BATCHES) | {"n_jobs": None}
        names = panel.columns.get_level_values(-1)
        found = Parallel(n_jobs=self.config.performance.n_jobs)(
            delayed(_forecast_one)(params, panel.loc[:, names == column], self.coverage)
            for column in columns
        )
        return ColumnForecasts(
            pd.concat([one.returns for one in found]),
            pd.concat([one.provenance for one in found]),
            {ticker: why for one in found for ticker, why in one.stale.items()},
            self._joined([one.interval for one in found]),
        )

    def _joined(self, intervals: Sequence[pd.DataFrame | None]) -> pd.DataFrame | None:
        """Put the intervals of single tickers below each other."""
        if self.coverage is None:
            return None
        table = pd.concat(intervals)
        table.attrs = {"coverage": self.coverage, "horizon": self.config.horizon}
        return table

    def _params(self) -> dict[str, Any]:
        """Turn method and settings into parameters of a system."""
        params = self.config.replace(batch={"enabled": True}).to_params()
        if self.config.model.kind != self.method:
            simple = {
                "linear": FallbackForecaster(
                    BatchLinearForecaster(), HistoricalMeanForecaster()
                ),
                "mean": HistoricalMeanForecaster(),
            }
            params["forecaster"] = simple.get(self.method, params["forecaster"])
        if self.method == "mean":
            # It reads no features: one tells that a ticker is there.
            params["features"] = SharedFeatureExtractor("returns", windows=[2])
        if self.coverage is not None:
            default = BatchForecastingSystem(**params)._part("forecaster")
            params["forecaster"] = ConformalForecaster(default)
        return params


def _forecast_one(
    params: Mapping[str, Any], panel: pd.DataFrame, coverage: float | None
) -> ColumnForecasts:
    """Forecast one ticker from its own prices; a failure is its reason."""
    with silence_warnings(SkbatchWarning):
        try:
            system = BatchForecastingSystem(**params).fit(panel)
            found = ColumnForecasts.of(system, coverage)
        except (*MODEL_FAILURES, PanelError) as error:
            index = pd.Index(panel_tickers(panel), name="ticker", dtype=object)
            row = [["none", "", f"forecast failed ({describe_error(error)})"]]
            table = pd.DataFrame(row, index, _COLUMNS, dtype=object)
            unknown = pd.DataFrame(np.nan, index, _BOUNDS)
            return ColumnForecasts(pd.Series(np.nan, index), table, {}, unknown)
    served = found.provenance["batch"] != ""
    found.provenance.loc[served, "batch"] = INDIVIDUAL
    return found


def _version(library: str) -> str:
    """Ask a library itself: distributions of the same one have several names."""
    return str(import_module(library).__version__)


def _plain(values: pd.Series) -> list[float | None]:
    """List numbers for JSON, which has no NaN."""
    return [value if np.isfinite(value) else None for value in values]
