"""Forecasts as the distribution of returns of skfolio's portfolios."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, clone
from sklearn.utils import get_tags

from skbatch._messages import check_int, format_tickers, warn_user
from skbatch._sklearn import Seed
from skbatch.exceptions import PortfolioError, PortfolioWarning
from skbatch.portfolio._fitting import draw_scenarios
from skbatch.portfolio._window import Window, fit_on_window

try:
    from skfolio.moments import BaseCovariance, LedoitWolf
    from skfolio.prior import BasePrior, ReturnDistribution
except ImportError as error:
    raise ImportError(
        "skfolio must be installed to use ForecastPrior. Got no such package. Run "
        "pip install 'skbatch[portfolio]'."
    ) from error


class ForecastPrior(BasePrior):
    r"""Forecasts and their uncertainty as the prior of a portfolio.

    A `prior_estimator` of skfolio. Where the forecaster is calibrated, as in a
    :class:`~skbatch.ConformalForecaster`, joint scenarios of the coming returns take
    the place of the past ones, with their mean and covariance. Else the forecasts come
    with the shrunken covariance of past returns.

    Parameters
    ----------
    forecaster : estimator, default=None
        As of :class:`ForecastMu`. None is a :class:`~skbatch.BatchForecastingSystem`
        with its defaults, which is not calibrated.
    horizon : int or "auto", default="auto"
        Rows that are forecast ahead. ``"auto"`` takes the horizon of `forecaster`,
        else 5.
    covariance_estimator : BaseCovariance, default=None
        Estimates the covariance of past returns, which is used in any case if this is
        given. None takes the covariance of the scenarios, or
        :class:`skfolio.moments.LedoitWolf` where there are none.
    n_scenarios : int, default=1000
        Number of scenarios that a calibrated forecaster draws.
    prices : DataFrame of shape (n_dates, n_columns), default=None
        As of :class:`ForecastMu`.
    random_state : int, RandomState or None, default=None
        Seed of the scenarios; None takes the one of the forecaster.

    Attributes
    ----------
    return_distribution_ : skfolio.prior.ReturnDistribution
        ``mu``, ``covariance`` and ``returns`` per row: scenarios, or past returns. NaN
        in all three for a ticker without forecast, or without covariance.
    scenarios_ : DataFrame of shape (n_scenarios, n_assets) or None
        What the forecaster drew: simple returns over the horizon.
    expected_returns_ : Series of shape (n_assets,)
        Expected simple return over the horizon, by ticker.
    provenance_ : DataFrame of shape (n_assets, 3)
        ``model``, ``batch`` and ``reason`` of each ticker.
    forecaster_ : estimator
        The fitted forecaster.
    covariance_estimator_ : BaseCovariance
        Fitted, where there is one.
    horizon_ : int
        Rows ahead.
    n_features_in_ : int
        Number of assets.
    feature_names_in_ : ndarray of shape (n_assets,)
        Their names, when `X` had string columns.

    Notes
    -----
    With scenarios R over h rows, their mean :math:`\bar R` and the forecast
    :math:`\hat r`, the scenarios per row are

    .. math:: (1 + \hat r)^{1/h} - 1 + (R - \bar R) / \sqrt h

    so that their mean is the forecast per row exactly, and their covariance that of R
    divided by h, as for independent rows. The shape of their distribution stays that
    of returns over h rows, which has thinner tails than that of single rows. Risks and
    returns of a portfolio are thus per row, as everywhere in skfolio, and so are
    transaction costs and risk-free rates that it is given.

    Without scenarios, the covariance is that of the tickers with a forecast, over the
    rows in which all of them have returns unless the estimator takes missing ones.
    Those rows are then the `returns` of the distribution: nothing is filled. A ticker
    that is listed late costs all others their history, which is warned of where fewer
    than half of the rows are left.

    Examples
    --------
    >>> from skfolio import RiskMeasure
    >>> from skfolio.optimization import MeanRisk
    >>> from skbatch import BatchLinearForecaster, ConformalForecaster
    >>> from skbatch.datasets import make_panel
    >>> from skbatch.portfolio import ForecastPrior
    >>> returns = make_panel(300, 4, random_state=0).pct_change().iloc[1:]
    >>> prior = ForecastPrior(ConformalForecaster(BatchLinearForecaster()))
    >>> prior.fit(returns).return_distribution_.returns.shape
    (1000, 4)
    >>> model = MeanRisk(risk_measure=RiskMeasure.CVAR, prior_estimator=prior)
    >>> round(float(model.fit(returns).weights_.sum()), 6)
    1.0
    """

    def __init__(
        self,
        forecaster: BaseEstimator | None = None,
        horizon: int | Literal["auto"] = "auto",
        *,
        covariance_estimator: BaseCovariance | None = None,
        n_scenarios: int = 1000,
        prices: pd.DataFrame | None = None,
        random_state: Seed = None,
    ) -> None:
        self.forecaster = forecaster
        self.horizon = horizon
        self.covariance_estimator = covariance_estimator
        self.n_scenarios = n_scenarios
        self.prices = prices
        self.random_state = random_state

    def fit(self, X: pd.DataFrame | np.ndarray, y: object = None) -> ForecastPrior:
        """Fit the forecaster on the prices behind the returns, and forecast.

        Parameters
        ----------
        X : array-like of shape (n_observations, n_assets)
            Simple returns of the assets per row; NaN is missing.
        y : Ignored
            Not used, present for API consistency by convention.

        Returns
        -------
        self : ForecastPrior
            Fitted estimator.

        Raises
        ------
        PanelError
            If the rows of `X` are not in the order of time, or malformed.
        PortfolioError
            If `prices` do not belong to `X`, or there are too few rows in which all
            tickers have returns.
        TypeError
            If `covariance_estimator` is not an estimator of skfolio.
        ValueError
            For another invalid parameter, or a horizon that is not less than the rows.

        Warns
        -----
        PortfolioWarning
            Once, naming the tickers without a forecast; once, those with gaps; and
            once, those because of which the covariance is of few rows.
        FallbackWarning
            Once, if the first choice does not serve some tickers.
        """
        self._check_parameters()
        window = fit_on_window(self, X)
        self.scenarios_ = None
        if self.expected_returns_.notna().any():
            self.scenarios_ = draw_scenarios(
                self.forecaster_,
                window.last,
                list(window.expected),
                int(self.n_scenarios),
                self.random_state,
            )
        self.return_distribution_ = self._distribution(window)
        window.warn()
        return self

    def _check_parameters(self) -> None:
        # A covariance of a single scenario is not defined.
        advice = "Pass 1000 or more for tails."
        check_int(self.n_scenarios, "n_scenarios", 2, advice)
        given = self.covariance_estimator
        if given is not None and not isinstance(given, BaseCovariance):
            raise TypeError(
                "`covariance_estimator` must be an estimator of skfolio.moments. Got "
                f"{type(given).__name__}. For example, pass "
                "skfolio.moments.LedoitWolf()."
            )

    def _distribution(self, window: Window) -> Any:
        """Combine mean, covariance and scenarios, all per row."""
        mu, returns = window.per_row, window.returns
        if self.scenarios_ is not None:
            drawn = self.scenarios_.to_numpy(dtype=np.float64)
            stray = (drawn - drawn.mean(axis=0)) / np.sqrt(self.horizon_)
            rows = mu + stray
            # Tickers that are served without uncertainty are not investable.
            mu = np.where(np.isfinite(rows).all(axis=0), mu, np.nan)
            covariance = stray.T @ stray / (len(stray) - 1)
            if self.covariance_estimator is not None:
                covariance = self._estimate(mu, returns)
        else:
            use = np.isfinite(mu)
            rows = returns.to_numpy()
            if use.any():
                rows = rows[_complete_rows(returns.loc[:, use])]
            covariance = self._estimate(mu, returns)
        return ReturnDistribution(mu=mu, covariance=covariance, returns=rows)

    def _estimate(self, mu: np.ndarray, returns: pd.DataFrame) -> np.ndarray:
        """Estimate the covariance of past returns of tickers with a forecast."""
        use = np.flatnonzero(np.isfinite(mu))
        covariance = np.full((len(mu), len(mu)), np.nan)
        if not len(use):
            return covariance
        known = returns.iloc[:, use]
        given = self.covariance_estimator
        estimator = LedoitWolf() if given is None else clone(given)
        takes_missing = get_tags(estimator).input_tags.allow_nan
        if not takes_missing:
            complete = _complete_rows(known)
            _warn_few_rows(known, complete)
            known = known[complete]
        self.covariance_estimator_ = estimator.fit(known)
        covariance[np.ix_(use, use)] = estimator.covariance_
        return covariance

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


def _complete_rows(returns: pd.DataFrame) -> np.ndarray:
    """Mark the rows in which all tickers have returns, of which there must be some."""
    complete = returns.notna().all(axis=1).to_numpy()
    if complete.sum() < 2:
        raise PortfolioError(
            "`X` must have rows in which all tickers with a forecast have returns. Got "
            f"{complete.sum()} of {len(returns)}; most are missing of "
            f"{format_tickers(_most_missing(returns))}. Leave these out, or pass a "
            "ConformalForecaster, whose scenarios need no past rows."
        )
    return complete


def _warn_few_rows(returns: pd.DataFrame, complete: np.ndarray) -> None:
    """Warn of tickers with too few returns to estimate a covariance."""
    if complete.mean() < 0.5:
        warn_user(
            f"The covariance is of the {complete.sum()} of {len(returns)} rows in "
            "which all tickers with a forecast have returns. Most are missing of "
            f"{format_tickers(_most_missing(returns))}. Leave these out, or pass a "
            "covariance_estimator that takes missing returns.",
            PortfolioWarning,
        )


def _most_missing(returns: pd.DataFrame) -> list[str]:
    """Name the tickers with missing returns, those with most first."""
    missing = returns.isna().sum().sort_values(ascending=False, kind="stable")
    return [str(ticker) for ticker in missing.index[missing > 0]]
