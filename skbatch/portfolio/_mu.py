"""Forecasts as the expected returns of skfolio's portfolios."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from skbatch.portfolio._window import fit_on_window

try:
    from skfolio.moments import BaseMu
except ImportError as error:
    raise ImportError(
        "skfolio must be installed to use ForecastMu. Got no such package. Run "
        "pip install 'skbatch[portfolio]'."
    ) from error


class ForecastMu(BaseMu):
    r"""Expected returns that are forecast from the assets' own past.

    A `mu_estimator` of skfolio: it takes asset returns as skfolio passes them, makes
    prices of them, fits a forecaster anew at each `fit`, and forecasts from the last
    row.

    Parameters
    ----------
    forecaster : estimator, default=None
        A :class:`~skbatch.BatchForecastingSystem`; a pipeline from prices to forecasts,
        such as ``make_pipeline(SharedFeatureExtractor(), BatchLinearForecaster())``; a
        search over one of these; or a batch forecaster, of which a system is made. None
        is a system with its defaults.
    horizon : int or "auto", default="auto"
        Rows that are forecast ahead. ``"auto"`` takes the horizon of `forecaster`,
        else 5.
    prices : DataFrame of shape (n_dates, n_columns), default=None
        The panel of prices that the returns are made of, for what returns do not hold:
        opens, highs, lows, volumes, the history before the window, other tickers to
        learn from. Only its rows up to the last date of `X` are used, whatever follows.
        None uses the returns alone, whose first row has no price before it: the
        forecaster sees a row less than with prices, and may train on other dates
        (`thin`).

    Attributes
    ----------
    mu_ : ndarray of shape (n_assets,)
        Expected simple return per row; NaN where there is no forecast.
    expected_returns_ : Series of shape (n_assets,)
        Expected simple return over the horizon, by ticker.
    provenance_ : DataFrame of shape (n_assets, 3)
        ``model``, ``batch`` and ``reason`` of each ticker.
    forecaster_ : estimator
        The fitted forecaster.
    horizon_ : int
        Rows ahead.
    n_features_in_ : int
        Number of assets.
    feature_names_in_ : ndarray of shape (n_assets,)
        Their names, when `X` had string columns.

    Notes
    -----
    A forecast r over h rows becomes :math:`(1 + r)^{1/h} - 1` per row, the frequency of
    the other moments in skfolio: h independent rows of that expectation have the
    expected return r.

    `X` holds simple returns, so ``EmpiricalPrior(is_log_normal=True)``, which passes
    logarithmic ones, is not for this estimator. Rows are taken to follow each other in
    time, as in :class:`skfolio.model_selection.WalkForward`; cross-validation that
    trains on rows after the test fold lets the future in, whatever the estimator.

    A ticker without a forecast is NaN in `mu_`, never a default number. skfolio treats
    it as not investable: it gets a weight of 0, and the others share the portfolio.
    Leading and trailing NaN in `X` mean that a ticker was not traded. Across a missing
    return between others, the price change is unknown, so only what follows the last
    one is used; `prices` has no such gap. With NaN in `X`, skfolio also needs a
    covariance estimator that takes them, such as ``EWCovariance``; its default does
    not. :class:`ForecastPrior` does without.

    Where every forecast is below the risk-free rate there is no portfolio of maximum
    ratio, and skfolio raises an error. ``MeanRisk(..., fallback=MeanRisk())`` then
    uses the portfolio of least risk instead.

    Examples
    --------
    >>> from skfolio.optimization import MeanRisk
    >>> from skfolio.prior import EmpiricalPrior
    >>> from skbatch import BatchLinearForecaster
    >>> from skbatch.datasets import make_panel
    >>> from skbatch.portfolio import ForecastMu
    >>> returns = make_panel(300, 4, random_state=0).pct_change().iloc[1:]
    >>> mu = ForecastMu(BatchLinearForecaster(), horizon=5)
    >>> model = MeanRisk(prior_estimator=EmpiricalPrior(mu_estimator=mu)).fit(returns)
    >>> round(float(model.weights_.sum()), 6)
    1.0
    """

    def __init__(
        self,
        forecaster: BaseEstimator | None = None,
        horizon: int | Literal["auto"] = "auto",
        *,
        prices: pd.DataFrame | None = None,
    ) -> None:
        self.forecaster = forecaster
        self.horizon = horizon
        self.prices = prices

    def fit(self, X: pd.DataFrame | np.ndarray, y: object = None) -> ForecastMu:
        """Fit the forecaster on the prices behind the returns, and forecast.

        Parameters
        ----------
        X : array-like of shape (n_observations, n_assets)
            Simple returns of the assets per row; NaN is missing.
        y : Ignored
            Not used, present for API consistency by convention.

        Returns
        -------
        self : ForecastMu
            Fitted estimator.

        Raises
        ------
        PanelError
            If the rows of `X` are not in the order of time, or malformed.
        PortfolioError
            If `prices` do not belong to `X`.
        ValueError
            For an invalid parameter, or a horizon that is not less than the rows.

        Warns
        -----
        PortfolioWarning
            Once, naming the tickers without a forecast; and once, those with gaps.
        FallbackWarning
            Once, if the first choice does not serve some tickers.
        """
        window = fit_on_window(self, X)
        self.mu_: np.ndarray = window.per_row
        window.warn()
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags
