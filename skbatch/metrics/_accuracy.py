"""Scores of accuracy: how far returns are missed, and how many are forecast."""

from __future__ import annotations

from typing import Literal

import numpy as np

from skbatch._kernels.scores import finite_mean, relative_squared_error, sign_agreement
from skbatch.metrics.alignment import Table, align, broadcast, broadcast_weights


def out_of_sample_r2(
    y_true: Table,
    y_pred: Table,
    benchmark: Table | Literal["mean"] = 0.0,
    sample_weight: Table | None = None,
) -> float:
    r"""Compute the share of a benchmark's squared error that the forecasts save.

    Greater is better: 1 is perfect, 0 is as good as the benchmark, negative is worse;
    there is no lower limit. Single stocks' returns are mostly noise: 0.01 is a lot,
    and a value below 0 against ``benchmark=0.0`` means that forecasting nothing would
    have been better.

    Parameters
    ----------
    y_true : DataFrame, Series or array-like of shape (n_dates, n_tickers)
        Realized returns; any real number, NaN where unknown. With columns
        (horizon, ticker), the score is the mean over the horizons that have one.
    y_pred : DataFrame, Series or array-like of the same shape
        Forecasts; any real number. Two tables with labels are aligned by them,
        whatever the order; otherwise the shapes must agree.
    benchmark : float, "mean", DataFrame, Series or array-like, default=0.0
        Forecasts to beat.

        - float: the same for all; 0.0 as in [2]_.
        - DataFrame: forecasts that cover the dates and tickers of `y_true`, such as
          those of :class:`~skbatch.HistoricalMeanForecaster`, the benchmark of [1]_.
          More dates and tickers than needed do no harm.
        - Series: one forecast per date, or one per column, recognized by its labels.
        - array: forecasts of the shape of `y_true`.
        - ``"mean"``: for each horizon, the mean of the labels that are scored, over
          all dates and tickers. It is known in hindsight only, so no forecaster
          could have used it, and no constant can beat it: the result is that of
          :func:`sklearn.metrics.r2_score` on all finite pairs. For the historical
          mean that was known at the time, pass its forecasts.
    sample_weight : array-like (n_dates,) or (n_dates, n_tickers), default=None
        Weight of each date, or of each label; those of weight 0 are left out. Tables
        with labels are matched by them.

    Returns
    -------
    float
        At most 1. NaN if there is no finite pair, or the benchmark makes no error.

    Raises
    ------
    PanelError
        If `y_true` and `y_pred` have other dates, tickers or shapes, or the benchmark
        does not cover them.
    ValueError
        If `benchmark` is another string than "mean".

    See Also
    --------
    coverage : Share of the labels that have a forecast at all.

    Notes
    -----
    Over the cells in which return :math:`y`, forecast :math:`\hat y` and benchmark
    :math:`b` are finite, all dates and tickers together,

    .. math:: R^2 = 1 - \frac{\sum (y - \hat y)^2}{\sum (y - b)^2}

    Labels without a forecast are left out, for the benchmark as well. Weights count in
    both sums, and in the mean of ``benchmark="mean"``.

    References
    ----------
    .. [1] Campbell, J. Y. and Thompson, S. B. (2008). Predicting excess stock returns
       out of sample: can anything beat the historical average? Review of Financial
       Studies, 21(4), 1509–1531. https://doi.org/10.1093/rfs/hhm055
    .. [2] Gu, S., Kelly, B. and Xiu, D. (2020). Empirical asset pricing via machine
       learning. Review of Financial Studies, 33(5), 2223–2273.
       https://doi.org/10.1093/rfs/hhaa009

    Examples
    --------
    >>> from skbatch.metrics import out_of_sample_r2
    >>> y_true = [[0.02, -0.02], [0.04, float("nan")]]
    >>> y_pred = [[0.01, -0.01], [0.02, 0.01]]
    >>> round(out_of_sample_r2(y_true, y_pred), 3)
    0.75
    """
    if isinstance(benchmark, str) and benchmark != "mean":
        raise ValueError(
            '`benchmark` must be a number, a table of forecasts or "mean". Got '
            f"{benchmark!r}. For the historical mean, pass its forecasts."
        )
    tables = align(y_true, y_pred)
    weights = broadcast_weights(sample_weight, y_true)
    if isinstance(benchmark, str):
        return tables.score(_r2_against_mean, weights)
    return tables.score(
        lambda *cells: 1.0 - relative_squared_error(*cells),
        broadcast(benchmark, y_true),
        weights,
    )


def directional_accuracy(
    y_true: Table, y_pred: Table, sample_weight: Table | None = None
) -> float:
    """Compute the share of forecasts with the sign of the realized return.

    Greater is better: 1 is perfect, the range is [0, 1]. In markets that rise more
    often than they fall, a forecaster that always predicts "up" scores above one half:
    compare with that share, not with 0.5 [1]_.

    Parameters
    ----------
    y_true : DataFrame, Series or array-like of shape (n_dates, n_tickers)
        Realized returns; any real number, NaN where unknown. Returns of exactly zero
        have no direction and are left out. With columns (horizon, ticker), the score
        is the mean over the horizons that have one.
    y_pred : DataFrame, Series or array-like of the same shape
        Forecasts; any real number. A forecast of exactly zero takes no side and
        counts as a miss; a missing one is left out. Two tables with labels are
        aligned by them, whatever the order; otherwise the shapes must agree.
    sample_weight : array-like (n_dates,) or (n_dates, n_tickers), default=None
        Weight of each date, or of each label; those of weight 0 are left out. Tables
        with labels are matched by them.

    Returns
    -------
    float
        Share of the finite pairs, over all dates and tickers; NaN if there is none.

    Raises
    ------
    PanelError
        If `y_true` and `y_pred` have other dates, tickers or shapes.

    See Also
    --------
    coverage : Share of the labels that have a forecast at all.

    References
    ----------
    .. [1] Pesaran, M. H. and Timmermann, A. (1992). A simple nonparametric test of
       predictive performance. Journal of Business & Economic Statistics, 10(4),
       461–465. https://doi.org/10.1080/07350015.1992.10509922

    Examples
    --------
    >>> from skbatch.metrics import directional_accuracy
    >>> directional_accuracy([0.01, -0.02, 0.03, 0.0], [0.02, 0.01, 0.0, 0.01])
    0.333...
    """
    weights = broadcast_weights(sample_weight, y_true)
    return align(y_true, y_pred).score(sign_agreement, weights)


def coverage(y_true: Table, y_pred: Table) -> float:
    """Compute the share of the realized returns that have a forecast.

    The other scores leave out what was not forecast; this one counts those.
    Greater is better: 1 is complete, the range is [0, 1].

    Parameters
    ----------
    y_true : DataFrame, Series or array-like of shape (n_dates, n_tickers)
        Realized returns, NaN where unknown. With columns (horizon, ticker), the score
        is the mean over the horizons that have one.
    y_pred : DataFrame, Series or array-like of the same shape
        Forecasts, NaN where there is none. Two tables with labels are aligned by
        them, whatever the order; otherwise the shapes must agree.

    Returns
    -------
    float
        Share of the finite labels whose forecast is finite; NaN without any label.

    Raises
    ------
    PanelError
        If `y_true` and `y_pred` have other dates, tickers or shapes.

    Examples
    --------
    >>> from skbatch.metrics import coverage
    >>> coverage([[0.01, 0.02], [0.03, float("nan")]], [[0.1, 0.1], [float("nan")] * 2])
    0.666...
    """
    return align(y_true, y_pred).score(
        lambda actual, forecast: finite_mean(
            np.isfinite(forecast[np.isfinite(actual)]).astype(np.float64)
        )
    )


def _r2_against_mean(
    actual: np.ndarray, forecast: np.ndarray, weights: np.ndarray | None = None
) -> float:
    """R² against the mean of the labels that are scored."""
    scored = np.where(np.isfinite(forecast), actual, np.nan)
    mean = np.full(actual.shape, finite_mean(scored, weights))
    return 1.0 - relative_squared_error(actual, forecast, mean, weights)
