"""The part of forecasts that known exposures do not explain."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from skbatch.exceptions import PanelError
from skbatch.metrics.alignment import Table, align, as_floats


def residual_forecasts(
    y_pred: Table, exposures: Mapping[str, Table]
) -> pd.DataFrame | np.ndarray:
    r"""Compute the part of each date's forecasts that exposures do not explain.

    A score of this part, such as its rank IC, shows what a model knows beyond betas,
    sectors or factors that could be bought more cheaply.

    Parameters
    ----------
    y_pred : DataFrame or array-like of shape (n_dates, n_tickers)
        Forecasts of one horizon, NaN where there is none.
    exposures : dict of str to DataFrame or array-like of the same shape
        Exposures by name, such as betas, the logarithm of size, or 1 for the members
        of a sector and 0 for others. DataFrames are aligned by their labels.

    Returns
    -------
    DataFrame or ndarray of shape (n_dates, n_tickers)
        Residuals, as `y_pred` was. NaN where the forecast or an exposure is missing,
        and on dates with no more tickers than different exposures and an intercept.

    Raises
    ------
    PanelError
        If an exposure has other dates, tickers or shapes, or there is none.

    See Also
    --------
    rank_information_coefficient : Scores residuals like any forecasts.

    Notes
    -----
    On each date forecasts are regressed on the exposures and an intercept by ordinary
    least squares, over the tickers that have all of them [1]_. Exposures that are
    collinear share their effect, which does not change the residuals.

    References
    ----------
    .. [1] Frisch, R. and Waugh, F. V. (1933). Partial time regressions as compared with
       individual trends. Econometrica, 1(4), 387–401. https://doi.org/10.2307/1907330

    Examples
    --------
    >>> from skbatch.metrics import residual_forecasts
    >>> beta = [[1.0, 2.0, 3.0, 4.0]]
    >>> residual_forecasts([[0.1, 0.2, 0.3, 0.9]], {"beta": beta}).round(2)
    array([[ 0.1 , -0.05, -0.2 ,  0.15]])
    """
    if not exposures:
        raise PanelError(
            "`exposures` must hold an exposure. Got none. Pass a dict of tables, such "
            'as {"beta": beta}.'
        )
    tables = [align(y_pred, table).forecast for table in exposures.values()]
    forecasts = as_floats(y_pred, "y_pred")
    stacked = np.stack([np.ones_like(forecasts), *tables], axis=2)
    known = np.isfinite(forecasts) & np.isfinite(stacked).all(axis=2)
    residuals = np.full(forecasts.shape, np.nan)
    for date in np.flatnonzero(known.any(axis=1)):
        use = known[date]
        inputs, target = stacked[date, use], forecasts[date, use]
        coef, _, rank, _ = np.linalg.lstsq(inputs, target, rcond=None)
        if len(target) > rank:
            residuals[date, use] = target - inputs @ coef
    if isinstance(y_pred, pd.DataFrame):
        return pd.DataFrame(residuals, y_pred.index, y_pred.columns)
    return residuals.reshape(np.shape(y_pred))
