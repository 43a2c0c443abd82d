"""Where the skill of forecasts is: in which years, tickers and markets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from skbatch._kernels.attribution import (
    calibration_slope,
    rank_residuals,
    rolling_beta,
    within_dates,
)
from skbatch._kernels.evaluation import bandwidth
from skbatch._kernels.scores import finite_mean
from skbatch._messages import check_int
from skbatch.exceptions import PanelError
from skbatch.metrics import (
    directional_accuracy,
    mean_inference,
    out_of_sample_r2,
    quantile_returns,
    rank_information_coefficient_series,
)
from skbatch.model_selection._paired_tests import EQUAL_WEIGHT, ZERO
from skbatch.model_selection._ranking_rules import RANKING_RULES
from skbatch.model_selection._scorecard import delay_scores

# Rows over which volatility, volume and the market's past return are measured.
ROWS = 63
BETA_ROWS = 252
COLUMNS = ["rank_ic", "rank_ic_t", "r2_zero", "hit_rate", "spread", "n_dates"]
TERCILES = ("low", "middle", "high")


class SkillBreakdownMixin:
    """Break down the scores of a walk-forward."""

    horizons: Any
    forecasts: pd.DataFrame
    returns: Any
    closes: pd.DataFrame
    prices: pd.DataFrame | None
    n_quantiles: int
    of_horizon: Any
    named_forecasts: Any
    _returns_after: Any

    def skill_by(
        self, by: str | Mapping[str, Any] | pd.Series, horizon: int | None = None
    ) -> pd.DataFrame:
        """Score parts of the forecasts on their own.

        Parameters
        ----------
        by : str, dict or Series
            What makes a part:

            - ``"year"``: the calendar year.
            - ``"market"``: whether the mean of all tickers rose over the 63 rows before
              and was more volatile than in the median of all dates.
            - ``"volatility"``, ``"size"``: terciles of the tickers on each date, by the
              volatility or the mean value traded of the 63 rows before; the latter
              needs volumes.
            - ``"ticker"``: each ticker over time.
            - a dict or Series of tickers to groups, such as sectors.
        horizon : int, default=None
            One of `horizons`; None is the first.

        Returns
        -------
        DataFrame of shape (n_parts, 6)
            Columns rank_ic, rank_ic_t, r2_zero, hit_rate, spread and n_dates, as in the
            scorecard, with tickers ranked within the part. For ``"ticker"``, columns
            correlation over time, r2_zero, hit_rate, bias (mean forecast less mean
            return) and n_dates.

        Raises
        ------
        PanelError
            If the panel has no volumes for ``"size"``.
        ValueError
            If `by` is something else, or names no ticker.
        """
        returns, forecasts = self._of(self.returns, horizon), self._of(None, horizon)
        step = self._step(horizon)
        if isinstance(by, str) and by == "ticker":
            return _score_tickers(returns, forecasts)
        cells = self._label_cells(by, forecasts)
        if isinstance(by, str) and by in ("volatility", "size"):
            names = list(TERCILES)
        else:
            names = sorted(set(pd.unique(cells.to_numpy().ravel())) - {""})
        rows = {}
        for name in names:
            # Dates of other parts keep their place, for the lags of the tests.
            own = cells == name
            part = returns.where(own), forecasts.where(own)
            rows[name] = _score_part(*part, step, self.n_quantiles)
        table = pd.DataFrame.from_dict(rows, orient="index")
        table = table.reindex(columns=COLUMNS).astype({"n_dates": int})
        return table.rename_axis(by if isinstance(by, str) else "group")

    def by_delay(
        self, horizon: int | None = None, delays: Sequence[int] = (0, 1, 2)
    ) -> pd.DataFrame:
        """Test forecasts with returns that start at once, at the next close, and so on.

        Parameters
        ----------
        horizon : int, default=None
            One of `horizons`; None is the first.
        delays : sequence of int, default=(0, 1, 2)
            Rows from the date of a forecast to the close at which it is traded.

        Returns
        -------
        DataFrame of shape (n_forecasters * n_delays, 8)
            Indexed by (forecaster, delay): rank_ic and the quantile spread, each with
            its Newey–West standard error and t-statistic, and critical_t and n_dates of
            the rank IC.

        Raises
        ------
        ValueError
            If a delay is not an int, or negative.

        See Also
        --------
        skbatch.metrics.mean_inference : The test, with formula and references.

        Notes
        -----
        The forecasts are the same at every delay, and so are the dates, up to the last
        ones, whose later returns are not known. What is lost is the price of waiting;
        models trained on labels with that delay may lose less.
        """
        step = self._step(horizon)
        for delay in delays:
            check_int(delay, "delays", 0, "Pass numbers of rows, such as (0, 1, 2).")
        later = {delay: self._returns_after(step, delay) for delay in delays}
        scores = {}
        for name, table in self.named_forecasts():
            forecasts = self.of_horizon(table, horizon)
            ranks = name not in (ZERO, EQUAL_WEIGHT)
            for delay, returns in later.items() if ranks else ():
                returns = returns.set_axis(forecasts.columns, axis=1)
                scores[name, delay] = delay_scores(
                    returns, forecasts, step, self.n_quantiles
                )
        table = pd.DataFrame.from_dict(scores, orient="index")
        table.index = pd.MultiIndex.from_tuples(scores, names=["forecaster", "delay"])
        return table.astype({"n_dates": int})

    def calibration(self, horizon: int | None = None, n_bins: int = 10) -> pd.DataFrame:
        r"""Compare the size of forecasts with that of returns.

        Parameters
        ----------
        horizon : int, default=None
            One of `horizons`; None is the first.
        n_bins : int, default=10
            Bins of all forecasts, from the lowest to the highest, equally filled.

        Returns
        -------
        DataFrame of shape (n_bins, 3)
            Mean forecast, mean return and number of forecasts of each bin. Its
            ``attrs["slopes"]`` is a table of the slope of returns on forecasts, its
            standard_error and its 95% bounds lower and upper, over all (``"overall"``)
            and of what exceeds each date's mean (``"within dates"``).

        Notes
        -----
        A slope of 1 is calibrated; below it, forecasts are too far apart [1]_. Standard
        errors allow for errors that are correlated within and between neighboring
        dates [2]_.

        References
        ----------
        .. [1] Mincer, J. and Zarnowitz, V. (1969). The evaluation of economic
           forecasts. In Economic Forecasts and Expectations, NBER, 3–46.
        .. [2] Driscoll, J. C. and Kraay, A. C. (1998). Consistent covariance matrix
           estimation with spatially dependent panel data. Review of Economics and
           Statistics, 80(4), 549–560. https://doi.org/10.1162/003465398557825
        """
        check_int(n_bins, "n_bins", 2, "Pass 10 for deciles.")
        actual = self._of(self.returns, horizon).to_numpy(np.float64)
        forecast = self._of(None, horizon).to_numpy(np.float64)
        use = np.isfinite(actual) & np.isfinite(forecast)
        order = np.argsort(forecast[use], kind="stable")
        cells = pd.DataFrame({"forecast": forecast[use], "return": actual[use]})
        places = np.array_split(order, n_bins)
        bins = [cells.iloc[place].mean() for place in places]
        table = pd.DataFrame(bins, index=pd.RangeIndex(1, n_bins + 1, name="bin"))
        table["n_forecasts"] = [len(place) for place in places]
        table.attrs["slopes"] = _slopes(actual, forecast, use, self._step(horizon))
        return table

    def factor_skill(self, horizon: int | None = None) -> pd.DataFrame:
        """Compare forecasts with known factors, and score what these do not explain.

        Parameters
        ----------
        horizon : int, default=None
            One of `horizons`; None is the first.

        Returns
        -------
        DataFrame of shape (5, 6)
            Rows are the factors momentum (twelve months without the latest), reversal
            (the loss over the last row), volatility (63 rows) and beta (252 rows, on
            the mean of all tickers), and ``all``. Columns are the mean over dates of
            the rank correlation of forecasts and factor; the factor's own rank IC and
            its t; and the rank IC, t and number of dates of the residual: what is left
            of the ranks of the forecasts after a regression on those of the factor, or
            of all factors, date by date.
        """
        returns, forecasts = self._of(self.returns, horizon), self._of(None, horizon)
        step, factors = self._step(horizon), self._factors(forecasts)
        rows = {}
        for name in (*factors, "all"):
            used = list(factors) if name == "all" else [name]
            arrays = np.array([factors[part].to_numpy() for part in used])
            left = rank_residuals(forecasts.to_numpy(np.float64), arrays)
            residual = pd.DataFrame(left, forecasts.index, forecasts.columns)
            test = _test_ic(returns, residual, step)
            row = dict.fromkeys(["correlation", "factor_ic", "factor_ic_t"], np.nan)
            if name != "all":
                own = _test_ic(returns, factors[name], step)
                shared = rank_information_coefficient_series(factors[name], forecasts)
                row = {
                    "correlation": finite_mean(np.asarray(shared)),
                    "factor_ic": own.mean,
                    "factor_ic_t": own.t_statistic,
                }
            rows[name] = row | {
                "residual_ic": test.mean,
                "residual_ic_t": test.t_statistic,
                "n_dates": test.n_dates,
            }
        table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("factor")
        return table.astype({"n_dates": int})

    @property
    def has_volumes(self) -> bool:
        """Whether the panel has volumes, which the size of tickers needs."""
        return self._history("volume") is not None

    @property
    def whole_closes(self) -> pd.DataFrame:
        """Closing prices of the whole panel, `(n_rows, n_tickers)`."""
        closes = self._history()
        assert closes is not None
        return closes

    def _of(self, table: pd.DataFrame | None, horizon: int | None) -> pd.DataFrame:
        """Select the tickers of one horizon."""
        found = self.of_horizon(self.forecasts if table is None else table, horizon)
        return found.set_axis(found.columns.get_level_values(-1), axis=1)

    def _step(self, horizon: int | None) -> int:
        return int(self.horizons[0] if horizon is None else horizon)

    def _history(self, field: str = "close") -> pd.DataFrame | None:
        """Look up closes or volumes of the whole panel."""
        prices: Any = self.closes if self.prices is None else self.prices
        if prices.columns.nlevels == 1:
            return prices if field == "close" else None
        return prices[field] if field in prices.columns.get_level_values(0) else None

    def _moves(self) -> pd.DataFrame:
        closes = self.whole_closes
        filled = closes.ffill()
        return (closes / filled.shift(1)).apply(np.log)

    def _label_dates(self, by: str) -> np.ndarray:
        """Name the part that each date belongs to, empty for none."""
        index = self.forecasts.index
        if by == "year":
            if not isinstance(index, pd.DatetimeIndex | pd.PeriodIndex):
                return np.full(len(index), "", object)
            return np.asarray(index.year, dtype=object)
        market = self._moves().mean(axis=1).rolling(ROWS, min_periods=ROWS // 2)
        past, spread = market.sum().reindex(index), market.std().reindex(index)
        way = np.where(past > 0, "rising", "falling").astype(object)
        mood = np.where(spread > spread.median(), ", volatile", ", calm")
        return np.where(past.notna() & spread.notna(), way + mood, "")

    def _label_cells(self, by: Any, forecasts: pd.DataFrame) -> pd.DataFrame:
        """Name the part that each forecast belongs to, empty for none."""
        shape = forecasts.index, forecasts.columns
        if isinstance(by, str) and by in ("year", "market"):
            labels = self._label_dates(by)[:, None]
            return pd.DataFrame(np.tile(labels, (1, forecasts.shape[1])), *shape)
        if isinstance(by, Mapping | pd.Series):
            groups = dict(by)
            if not set(groups) & set(forecasts.columns):
                raise ValueError(
                    "`by` must name tickers of the forecasts. Got "
                    f"{list(groups)[:3]}. Use the panel's tickers as keys."
                )
            found = [groups.get(ticker) for ticker in forecasts.columns]
            row = np.array(
                ["" if pd.isna(name) else str(name) for name in found], object
            )
            return pd.DataFrame(
                [row] * len(forecasts), forecasts.index, forecasts.columns
            )
        if by == "volatility":
            values = self._moves().rolling(ROWS, min_periods=ROWS // 2).std()
        elif by == "size":
            volumes = self._history("volume")
            if volumes is None:
                raise PanelError(
                    "`prices` must have volumes for the size of tickers. Got closes "
                    "only. Walk forward over a panel with the field volume."
                )
            values = (
                (self.whole_closes * volumes)
                .rolling(ROWS, min_periods=ROWS // 2)
                .mean()
            )
        else:
            raise ValueError(
                "`by` must be 'year', 'market', 'volatility', 'size', 'ticker', or a "
                f"table of groups. Got {by!r}. Pass {{ticker: sector}}, for example."
            )
        ranks = values.reindex(forecasts.index)[forecasts.columns].rank(
            axis=1, pct=True
        )
        bounds = [ranks <= 1 / 3, ranks <= 2 / 3, ranks > 2 / 3]
        return pd.DataFrame(np.select(bounds, list(TERCILES), ""), *shape)

    def _factors(self, forecasts: pd.DataFrame) -> dict[str, pd.DataFrame]:
        """Compute the factors on the dates of the forecasts."""
        closes, moves = self.whole_closes, self._moves()
        market = moves.mean(axis=1).to_numpy()
        beta = rolling_beta(moves.to_numpy(), market, BETA_ROWS)
        tables = {
            "momentum": RANKING_RULES["momentum"](closes),
            "reversal": RANKING_RULES["reversal"](closes),
            "volatility": moves.rolling(ROWS, min_periods=ROWS // 2).std(),
            "beta": pd.DataFrame(beta, moves.index, moves.columns),
        }
        return {
            name: table.reindex(forecasts.index)[forecasts.columns]
            for name, table in tables.items()
        }


def _score_part(
    returns: pd.DataFrame, forecasts: pd.DataFrame, horizon: int, n_quantiles: int
) -> dict[str, float]:
    """Score one part as the scorecard scores all."""
    test = _test_ic(returns, forecasts, horizon)
    bins = quantile_returns(returns, forecasts, n_quantiles)
    return {
        "rank_ic": test.mean,
        "rank_ic_t": test.t_statistic,
        "r2_zero": out_of_sample_r2(returns, forecasts),
        "hit_rate": directional_accuracy(returns, forecasts),
        "spread": finite_mean(np.asarray(bins[n_quantiles] - bins[1])),
        "n_dates": test.n_dates,
    }


def _test_ic(returns: pd.DataFrame, scores: pd.DataFrame, horizon: int) -> Any:
    series = rank_information_coefficient_series(returns, scores)
    return mean_inference(series, horizon=horizon)


def _score_tickers(returns: pd.DataFrame, forecasts: pd.DataFrame) -> pd.DataFrame:
    """Score each ticker over time."""
    both = returns.notna() & forecasts.notna()
    actual, forecast = returns.where(both), forecasts.where(both)
    signed = both & (actual != 0)
    hits = (np.sign(actual) == np.sign(forecast)).where(signed).astype(np.float64)
    squares = (actual**2).sum()
    missed = ((actual - forecast) ** 2).sum()
    return pd.DataFrame(
        {
            "correlation": actual.corrwith(forecast),
            "r2_zero": 1 - missed / squares.where(squares > 0),
            "hit_rate": hits.mean(),
            "bias": (forecast - actual).mean(),
            "n_dates": both.sum(),
        }
    ).rename_axis("ticker")


def _slopes(
    actual: np.ndarray, forecast: np.ndarray, use: np.ndarray, horizon: int
) -> pd.DataFrame:
    """Regress returns on forecasts, over all and within dates."""
    lags = bandwidth(len(actual), horizon)
    everywhere = {
        "overall": [np.where(use, v - v[use].mean(), 0.0) for v in (actual, forecast)],
        "within dates": [within_dates(v, use) for v in (actual, forecast)],
    }
    rows = {}
    for name, (y, x) in everywhere.items():
        slope, error, critical = calibration_slope(y, x, lags)
        rows[name] = {
            "slope": slope,
            "standard_error": error,
            "lower": slope - critical * error,
            "upper": slope + critical * error,
        }
    return pd.DataFrame.from_dict(rows, orient="index")
