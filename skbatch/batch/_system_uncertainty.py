"""How sure a whole system is of its forecasts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skbatch._messages import format_tickers, warn_user
from skbatch.batch._batch_task import Member
from skbatch.batch._screen import reasons_of
from skbatch.batch._system_tickers import SystemTickers
from skbatch.exceptions import FallbackWarning
from skbatch.forecasting import PredictionInterval
from skbatch.forecasting.engine import (
    FeatureBlocks,
    JointScenarios,
    UncertaintyMixin,
    check_n_bins,
    check_n_samples,
    rank_table,
)

__all__ = ["SystemUncertaintyMixin"]


def _is_calibrated(system: Any) -> bool:
    """Whether the forecaster of a system knows how sure it is; else say what to do."""
    forecaster = system._part("forecaster")
    if isinstance(forecaster, UncertaintyMixin):
        return True
    raise AttributeError(
        "`forecaster` must be calibrated to tell its uncertainty. Got "
        f"{type(forecaster).__name__}. Pass ConformalForecaster("
        f"{type(forecaster).__name__}())."
    )


class SystemUncertaintyMixin:
    """Intervals, joint scenarios and chances of ranks of all tickers of a system.

    The methods are there when `forecaster` is a
    :class:`~skbatch.ConformalForecaster`.
    """

    tickers_: SystemTickers
    fitted_: Any
    horizon_: int | tuple[int, ...]
    _part: Any
    _served: Any

    @available_if(_is_calibrated)
    def predict_interval(
        self, X: Any = None, coverage: float = 0.9
    ) -> PredictionInterval:
        """Bound the return of every ticker at every date of `X`.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_dates, n_tickers), default=None
            Panel with the columns of `fit`, as for `predict`. None is the last fitted
            date.
        coverage : float, default=0.9
            Share of the returns, between 0 and 1, that the intervals should hold. As
            many are to fall below as above.

        Returns
        -------
        PredictionInterval
            ``lower, upper``, two tables like that of `predict`, simple returns over
            the horizon. ``attrs`` of a DataFrame hold their ``coverage``, and the
            ``horizon`` if there is one. NaN where there is no forecast, or only one of
            a simpler model, which is not calibrated.

        Warns
        -----
        FallbackWarning
            Once, naming tickers that only a model without uncertainty serves.
        """
        check_is_fitted(self)
        panel, aside = self._screened_rows(X)
        labels = self.tickers_.label_columns
        bounds = [pd.DataFrame(np.nan, panel.index, labels) for _ in range(2)]
        for member, features in self._calibrated(panel):
            values = member.forecaster.predict_interval(features, coverage)
            for bound, table in zip(bounds, values, strict=True):
                bound.loc[table.index, list(table.columns)] = table.to_numpy()
        for bound in bounds:
            bound[aside] = np.nan
            bound.attrs["coverage"] = float(coverage)
            if not isinstance(self.horizon_, tuple):
                bound.attrs["horizon"] = self.horizon_
        if X is not None and not isinstance(X, pd.DataFrame):
            return PredictionInterval(*(bound.to_numpy() for bound in bounds))
        return PredictionInterval(*bounds)

    @available_if(_is_calibrated)
    def predict_scenarios(
        self, X: Any = None, n_samples: int = 1000, random_state: Any = None
    ) -> pd.DataFrame:
        """Draw joint scenarios of the returns that follow the last date of `X`.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_dates, n_tickers), default=None
            All rows that follow the fitted ones, as for `forecast`. None draws from
            the last fitted date.
        n_samples : int, default=1000
            Number of scenarios.
        random_state : int, RandomState or None, default=None
            Seed; None takes the one of the forecaster.

        Returns
        -------
        DataFrame of shape (n_samples, n_tickers)
            Simple returns over the horizon; (horizon, ticker) columns for several
            horizons. Tickers of different batches move together as their recent
            returns did. NaN for a ticker without a calibrated forecast.

        Warns
        -----
        FallbackWarning
            Once, naming tickers that only a model without uncertainty serves.
        """
        check_is_fitted(self)
        check_n_samples(n_samples)
        panel, found = self._judged(X)
        quarantined = reasons_of(found)
        if X is not None:
            self.tickers_.warn_of_rows(panel)
        joint, state = JointScenarios(), random_state
        for member, features in self._calibrated(panel, last=True):
            joint.add(member.forecaster, features)
            state = member.forecaster.random_state if state is None else state
        labels = self.tickers_.label_columns
        if not joint.parts:
            index = pd.RangeIndex(n_samples, name="sample")
            return pd.DataFrame(np.nan, index, labels)
        scenarios = joint.draw(n_samples, state)
        table = pd.DataFrame(np.nan, scenarios.index, labels)
        table.loc[:, list(scenarios.columns)] = scenarios.to_numpy()
        table.loc[:, labels.get_level_values(-1).isin(list(quarantined))] = np.nan
        return table

    @available_if(_is_calibrated)
    def predict_rank_proba(
        self,
        X: Any = None,
        n_bins: int = 5,
        *,
        n_samples: int = 2000,
        random_state: Any = None,
    ) -> pd.DataFrame:
        """Give each ticker's chances to end in each quantile of the cross-section.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_dates, n_tickers), default=None
            As for `predict_scenarios`.
        n_bins : int, default=5
            Number of bins, from the lowest to the highest returns; 5 for quintiles.
        n_samples : int, default=2000
            Number of scenarios.
        random_state : int, RandomState or None, default=None
            Seed; None takes the one of the forecaster.

        Returns
        -------
        DataFrame of shape (n_tickers, n_bins)
            Probabilities, as of
            :meth:`ConformalForecaster.predict_rank_proba
            <skbatch.ConformalForecaster.predict_rank_proba>`, among all tickers of
            the system.
        """
        check_n_bins(n_bins)
        scenarios = self.predict_scenarios(X, n_samples, random_state)
        labels = scenarios.columns
        horizons: list[Any] = [self.horizon_] * len(labels)
        if labels.nlevels > 1:
            horizons = list(labels.get_level_values(0))
        return rank_table(scenarios.to_numpy(), horizons, labels, n_bins)

    def _judged(self, X: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Check and screen rows; None is the last fitted one."""
        tickers = self.tickers_
        if X is None:
            return tickers.recent.iloc[[-1]], tickers.findings
        rows = tickers.check(X, self.fitted_.extractor)
        return rows.panel, tickers.screen_new(rows)

    def _screened_rows(self, X: Any) -> tuple[pd.DataFrame, np.ndarray]:
        """Check rows, and find what is set aside at each, `(n_dates, n_labels)`."""
        tickers = self.tickers_
        if X is None:
            names = tickers.label_columns.get_level_values(-1)
            aside = names.isin(list(tickers.quarantined))[None, :]
            return tickers.recent.iloc[[-1]], aside
        rows = tickers.check(X, self.fitted_.extractor)
        return rows.panel, tickers.set_aside(rows)

    def _calibrated(
        self, panel: pd.DataFrame, *, last: bool = False
    ) -> Iterator[tuple[Member, FeatureBlocks]]:
        """Give members that know how sure they are, and name the others' tickers."""
        lacking: dict[str, None] = {}
        for member, features in self._served(panel, last=last):
            if isinstance(member.forecaster, UncertaintyMixin):
                yield member, features
            else:
                lacking.update(dict.fromkeys(member.tickers))
        if lacking:
            warn_user(
                f"{len(lacking)} of {len(self.tickers_.tickers)} tickers are served "
                f"by a model that is not calibrated: {format_tickers(lacking)}. They "
                "have a forecast, but no uncertainty. See provenance_ for reasons.",
                FallbackWarning,
            )
