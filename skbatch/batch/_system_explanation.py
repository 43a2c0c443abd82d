"""Where the forecasts of a system come from."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skbatch.batch._screen import reasons_of
from skbatch.batch._ticker_provenance import labels_of_member
from skbatch.forecasting.engine import explained_by, joined_parts, layout_of
from skbatch.model_selection import ForecastExplanation
from skbatch.panel.engine import are_among


class SystemExplanationMixin:
    """Explain the forecasts of the models of a system."""

    tickers_: Any
    fitted_: Any
    horizon_: int | tuple[int, ...]
    _judged: Any
    _served: Any

    @property
    def forecasters_(self) -> list[Any]:
        """The fitted forecasters, one per batch."""
        check_is_fitted(self)
        return [member.forecaster for member in self.fitted_.members]

    def explain(self, X: Any = None) -> ForecastExplanation:
        """Split the forecasts of the last date into what they consist of.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_dates, n_tickers), default=None
            All rows that follow the fitted ones, as for :meth:`forecast`; None explains
            the forecasts of the last fitted date.

        Returns
        -------
        ForecastExplanation
            Contribution of each feature and of its family to each ticker's forecast,
            beside shrinkage and market expectation; NaN where there is no forecast.

        Raises
        ------
        TypeError
            If a forecaster is neither of trees nor linear.
        ValueError
            If it is of trees with several outputs (``strategy="vector"``).
        """
        check_is_fitted(self)
        panel, found = self._judged(X)
        index, parts = self.tickers_.label_index, []
        for member, features in self._served(panel, n_last=1):
            columns = labels_of_member(member, index)
            layout = layout_of(columns, self.horizon_)
            parts.append(explained_by(member.forecaster, features.last(), layout))
        table = joined_parts(parts, index)
        quarantined = {**self.tickers_.quarantined, **reasons_of(found)}
        table[are_among(index.get_level_values(-1), quarantined)] = np.nan
        date, horizon = panel.index[-1], self.horizon_
        return ForecastExplanation.of_parts(table, date, horizon, self)
